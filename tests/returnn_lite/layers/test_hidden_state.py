"""Hidden states: read after a sequence or in every step, given before it, and mistakes in them."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from eager import Array, dense, random_parameters, run, sparse
from reference import check, sigmoid

from returnn_lite import single_step_dim
from returnn_lite.errors import NetworkError
from returnn_lite.network import Network

Net = dict[str, Any]

LENGTHS = [4, 1, 3]
STREAMS = {"data": {"dim": 2}, "classes": {"dim": 3, "sparse": True}}
LSTM: Net = {"class": "rec", "unit": "lstm", "n_out": 2, "from": "data"}
LAST: Net = {"class": "get_last_hidden_state", "n_out": 2}


def states(z: Array, recurrent: Array, h: Array, c: Array) -> tuple[Array, Array, Array]:
    """Return outputs [time, n], and the last output and cell of an LSTM; gates j, i, f, o."""
    out = np.zeros((len(z), recurrent.shape[0]))
    for t, frame in enumerate(z):
        j, i, f, o = np.split(frame + h @ recurrent, 4)
        c = sigmoid(f) * c + sigmoid(i) * np.tanh(j)
        h = out[t] = sigmoid(o) * np.tanh(c)
    return out, h, c


@pytest.mark.parametrize("direction", [1, -1])
def test_a_decoder_begins_with_the_state_of_an_encoder(direction: int) -> None:
    # As on the tutorial's page on beam search: all parts of the state in one layer, cell first.
    net = {
        "enc": {**LSTM, "direction": direction},
        "last": {**LAST, "from": "enc", "n_out": 4},
        "output": {**LSTM, "initial_state": "last"},
    }
    network = Network(net, extern_data=STREAMS)

    def formula(p: Any, data: Array) -> list[Array]:
        found = []
        for x, n in zip(data, LENGTHS, strict=True):
            z = (x[:n] @ p["enc/rec/W"] + p["enc/rec/b"])[::direction]
            _, h, c = states(z, p["enc/rec/W_re"], np.zeros(2), np.zeros(2))
            z = x[:n] @ p["output/rec/W"] + p["output/rec/b"]
            found.append(states(z, p["output/rec/W_re"], h, c)[0])
        return found

    check(network, {"data": dense(LENGTHS, 2)}, formula)


def test_the_output_before_the_first_step_is_that_of_the_initial_state() -> None:
    unit = {
        "s": {**LSTM, "from": ["data:source", "prev:s"], "initial_state": {"c": 0, "h": "base:h"}},
        "output": {"class": "copy", "from": "prev:s"},
    }
    net: Net = {
        "enc": LSTM,
        "h": {**LAST, "from": "enc", "key": "h"},
        "output": {"class": "rec", "from": "data", "unit": unit},
    }
    network = Network(net, extern_data=STREAMS)
    random_parameters(network)
    out = run(network, {"data": dense(LENGTHS, 2)}, ["output", "h"])
    np.testing.assert_allclose(out["output"].canonical()[:, 0], out["h"].canonical(), atol=1e-6)


@pytest.mark.parametrize("unit", ["lstm", "gru", "zoneoutlstm"])
def test_the_state_after_a_step_is_the_same_moved_out_or_not(unit: str) -> None:
    found = []
    for optimise in (True, False):
        body: Net = {
            "s": {**LSTM, "unit": unit, "from": "data:source"},
            "output": {**LAST, "from": "s", "key": None if unit == "gru" else "h"},
        }
        loop = {"class": "rec", "from": "data", "unit": body, "optimize_move_layers_out": optimise}
        network = Network({"output": loop}, extern_data=STREAMS)
        random_parameters(network)
        found.append(run(network, {"data": dense(LENGTHS, 2)})["output"].canonical())
    np.testing.assert_allclose(*found, atol=1e-6)
    plain = Network({"output": {**LSTM, "unit": unit}}, extern_data=STREAMS)
    params = network.get_params()
    plain.set_params({k.replace("output/rec/s", "output"): v for k, v in params.items()})
    out = run(plain, {"data": dense(LENGTHS, 2)})["output"].canonical()
    np.testing.assert_allclose(found[0], out, atol=1e-6)


def test_the_state_of_a_masked_unit_is_that_of_its_last_frame() -> None:
    streams = {**STREAMS, "classes": {**STREAMS["classes"], "same_dim_tags_as": {"t": "data"}}}
    unit = {k: v for k, v in LSTM.items() if k != "from"}
    mask: Net = {"class": "compare", "kind": "not_equal", "value": 0, "from": "data:classes"}
    masked: Net = {"class": "masked_computation", "mask": "mask", "from": "data", "unit": unit}
    net = {"mask": mask, "masked": masked, "output": {**LAST, "from": "masked", "key": "h"}}
    network = Network(net, extern_data=streams)
    random_parameters(network)
    labels = sparse(LENGTHS, 3)
    batch = {"data": dense(LENGTHS, 2), "classes": labels}
    out = run(network, batch, ["output", "masked"])
    masked_out = out["masked"].canonical()
    for b, n in enumerate(LENGTHS):
        count = int((labels[0][b, :n] != 0).sum())
        needed = masked_out[b, count - 1] if count else np.zeros(2)
        np.testing.assert_allclose(out["output"].canonical()[b], needed, atol=1e-6)


def test_a_search_carries_the_state_with_its_hypotheses() -> None:
    body: Net = {
        "e": {"class": "linear", "activation": None, "n_out": 3, "from": "prev:output"},
        "before": {**LAST, "from": "prev:s", "key": "h"},
        "s": {**LSTM, "class": "rnn_cell", "unit": "standardlstm", "from": ["e", "data:source"]},
        "same": {"class": "eval", "from": ["before", "prev:s"], "eval": "source(0) - source(1)"},
        "p": {"class": "softmax", "from": ["s", "before"], "n_out": 3},
        "output": {"class": "choice", "from": "p", "beam_size": 3, "target": "classes"},
    }
    body["same"]["is_output_layer"] = True
    loop = {"class": "rec", "from": "data", "unit": body}
    network = Network(
        {"output": loop}, extern_data=STREAMS, search=True, outputs=["output", "output/same"]
    )
    random_parameters(network)
    out = run(network, {"data": dense(LENGTHS, 2)})
    assert np.abs(out["output/same"].canonical()).max() < 1e-6


def in_loop(**unit: Net) -> Net:
    """Return a loop over the frames, whose output has what else is in the unit."""
    last = {**LAST, "from": "s", "key": "h"}
    out = {"class": "linear", "n_out": 2, "from": ["data:source", "h"]}
    loop = {"class": "rec", "from": "data", "unit": {"h": last, "output": out, **unit}}
    return {"x": loop, "output": {"class": "copy", "from": "x"}}


@pytest.mark.parametrize(
    ("net", "text"),
    [
        (
            {"output": {**LAST, "from": "data"}},
            r"output \(get_last_hidden_state\): found data:data .*, which has no hidden state",
        ),
        (
            {"enc": LSTM, "output": {**LAST, "from": "enc", "key": "x"}},
            r"output \(get_last_hidden_state\): found key 'x' for enc \(rec\), needed one of c, h",
        ),
        (
            {"enc": LSTM, "output": {**LAST, "from": "enc"}},
            r"found n_out 2, needed that of the state .*F\|4",
        ),
        (
            {"enc": LSTM, "output": {**LSTM, "initial_state": {"c": "enc"}}},
            r"output \(rec\): found initial_state {'c': 'enc'}, needed the keys \['c', 'h'\]",
        ),
        (
            {"output": {**LSTM, "initial_state": "one"}},
            r"output \(rec\): no layer 'one'.*, or one of zeros, ones, var",
        ),
        (
            {"output": {**LSTM, "initial_state": {"c": 0, "h": "placeholder"}}},
            r"output \(rec\): found initial_state 'placeholder', needed one that is the same "
            "in each batch",
        ),
        ({"output": {**LSTM, "initial_state": 3}}, r"found initial_state 3, needed 0, 1, zeros"),
        ({"output": {**LSTM, "initial_state": [0]}}, r"needed one for each of \['c', 'h'\]"),
        ({"output": {**LSTM, "state": "data"}}, r"found state \['data'\], needed layers for \['c'"),
        (
            {"output": {**LSTM, "state": ["data"] * 2, "axis": "T"}},
            "found state and axis 'T', needed one of them",
        ),
        (
            {"output": {**LSTM, "state": ["data"] * 2, "initial_state": 0}},
            "found both state and initial_state, needed one of them",
        ),
        (
            {"enc": {**LSTM, "n_out": 3}, "output": {**LSTM, "state": ["enc"] * 2}},
            r"output \(rec\): state: found feature dims 3 and 2",
        ),
        (
            {"h": {**LAST, "from": "enc"}, "enc": LSTM, "output": {**LSTM, "initial_state": "h"}},
            r"found n_out 2, needed that of",
        ),
        (
            {
                "h": {**LAST, "from": "enc", "key": "h"},
                "enc": LSTM,
                "output": {**LSTM, "initial_state": "h"},
            },
            r"found initial_state .*, needed 4 features for c, h; try a dict with these keys",
        ),
        (
            in_loop(s={**LSTM, "from": "data:source", "initial_state": "prev:output"}),
            r"x/s \(rec\): found initial_state 'prev:output', needed a layer outside of the loop, "
            "such as 'base:x'",
        ),
        (
            in_loop(
                s={**LSTM, "from": ["base:data:classes"]},
                h={**LAST, "from": "prev:s", "n_out": 4},
            ),
            r"x/h .*: found the state of x/prev:s, which runs over 'time:.*classes' in each step, "
            "needed a unit that runs over the loop; try 'prev:' of a get_last_hidden_state",
        ),
    ],
)
def test_mistakes(net: Net, text: str) -> None:
    with pytest.raises(NetworkError, match=text):
        Network(net, extern_data=STREAMS)


@pytest.mark.parametrize("unit", ["lstm", "standardlstm", "gru"])
@pytest.mark.parametrize("search", [False, True])
def test_a_step_from_a_given_state(unit: str, search: bool) -> None:
    """Whose parts go from step to step by layers of the loop is the unit itself."""
    keys = ["h"] if unit == "gru" else ["c", "h"]
    step: Net = {"class": "rec", "unit": unit, "n_out": 2, "from": "data:source"}
    step |= {"axis": single_step_dim, "state": {k: f"prev:{k}" for k in keys}}
    if unit == "gru":
        step["state"] = "prev:h"
    parts = {k: {**LAST, "from": "s", "key": k if len(keys) > 1 else None} for k in keys}
    network = Network(in_loop(s=step, **parts), extern_data=STREAMS, search=search)
    params = random_parameters(network)
    found = run(network, {"data": dense(LENGTHS, 2)})["output"].canonical()
    plain = in_loop(s={**LSTM, "unit": unit, "from": "data:source"}, **parts)
    other = Network(plain, extern_data=STREAMS, search=search)
    other.set_params(params)
    needed = run(other, {"data": dense(LENGTHS, 2)})["output"].canonical()
    np.testing.assert_allclose(found, needed, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("initial", [{}, {"initial_state": "ones"}, {"state": ["count", "count"]}])
def test_a_step_for_each_frame(initial: Net) -> None:
    """Each of them is a sequence of its own."""
    x, y = dense(LENGTHS, 2), dense([1] * 12, 2)
    y[0][:] = x[0].reshape(12, 1, 2)
    count = {"class": "constant", "value": 2.0, "shape": [2], "with_batch_dim": True}
    net = {"count": count, "output": {**LSTM, "axis": single_step_dim, **initial}}
    network = Network(net, extern_data=STREAMS)
    params = random_parameters(network)
    out = run(network, {"data": x})["output"]
    assert [d.kind for d in out.dims] == ["batch", "spatial", "feature"]
    state = {"initial_state": initial["state"]} if "state" in initial else initial
    plain = Network({"count": count, "output": {**LSTM, **state}}, extern_data=STREAMS)
    plain.set_params(params)
    needed = run(plain, {"data": y})["output"].canonical().reshape(3, 4, 2)
    for b, n in enumerate(LENGTHS):
        np.testing.assert_allclose(out.values[b, :n], needed[b, :n], rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("optimise", [True, False])
@pytest.mark.parametrize("unit", ["lstm", "gru"])
def test_the_state_of_a_cell_in_a_loop_is_read_at_the_end_of_each_sequence(
    unit: str, optimise: bool
) -> None:
    body: Net = {
        "s": {"class": "rec", "unit": unit, "n_out": 2, "from": "data:source"},
        "output": {"class": "copy", "from": "s"},
    }
    loop = {"class": "rec", "from": "data", "unit": body, "optimize_move_layers_out": optimise}
    key = None if unit == "gru" else "h"
    net = {"loop": loop, "output": {**LAST, "from": "loop/s", "key": key}}
    network = Network(net, extern_data=STREAMS)
    random_parameters(network)
    out = run(network, {"data": dense(LENGTHS, 2)}, ["output", "loop"])
    for b, n in enumerate(LENGTHS):
        needed = out["loop"].canonical()[b, n - 1]
        np.testing.assert_allclose(out["output"].canonical()[b], needed, atol=1e-6)


def test_a_second_decoder_begins_with_the_states_of_the_hypotheses_of_the_first() -> None:
    body: Net = {
        "e": {"class": "linear", "activation": None, "n_out": 3, "from": "prev:output"},
        "s": {**LSTM, "class": "rnn_cell", "from": ["e", "data:source"]},
        "p": {"class": "softmax", "from": "s", "n_out": 3},
        "output": {"class": "choice", "from": "p", "beam_size": 2, "target": "classes"},
    }
    net: Net = {
        "first": {"class": "rec", "from": "data", "unit": body},
        "h": {**LAST, "from": "first/s", "key": "h"},
        "outputs": {"class": "copy", "from": "first/s"},
        "output": {"class": "copy", "from": "h"},
    }
    names = ["output", "outputs"]
    network = Network(net, extern_data=STREAMS, search=True, outputs=names)
    random_parameters(network)
    out = run(network, {"data": dense(LENGTHS, 2)}, names)
    for b, n in enumerate(LENGTHS):
        for k in (2 * b, 2 * b + 1):
            needed = out["outputs"].canonical()[k, n - 1]
            np.testing.assert_allclose(out["output"].canonical()[k], needed, atol=1e-6)
