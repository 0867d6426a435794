"""States that go on from batch to batch: two batches give what both of them joined give."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from eager import Array, dense, random_parameters
from reference import softmax

from returnn_lite.errors import NetworkError
from returnn_lite.network import Network
from returnn_lite.stream import Stream

Net = dict[str, Any]

STREAMS: Net = {"data": {"dim": 3}, "wide": {"shape": (None, None, 3)}}
LENGTHS = [[4, 2, 3], [1, 5, 2]]
KEEP: Net = {"initial_state": "keep_over_epoch"}
LSTM: Net = {"class": "rec", "unit": "lstm", "n_out": 2, "from": "data"}


def in_loop(moved: bool = True, **unit: Any) -> Net:
    rec = {"class": "rec", "from": "data", "unit": unit, "optimize_move_layers_out": moved}
    return {"output": rec}


def make(net: Net, **more: Any) -> Network:
    network = Network(net, extern_data=STREAMS, **more)
    random_parameters(network)
    return network


def parts() -> list[tuple[Array, list[int]]]:
    return [dense(n, 3, seed=i) for i, n in enumerate(LENGTHS)]


def joined(pairs: list[tuple[Array, list[int]]]) -> tuple[Array, list[int]]:
    """Return one batch of sequences that are those of all batches, one after the other."""
    rows = zip(*([x[:n] for x, n in zip(*pair, strict=True)] for pair in pairs), strict=True)
    whole = [np.concatenate(row) for row in rows]
    values = np.zeros((len(whole), max(map(len, whole)), 3), np.float32)
    for row, x in zip(values, whole, strict=True):
        row[: len(x)] = x
    return values, [len(x) for x in whole]


def outputs(network: Network, data: tuple[Array, list[int]]) -> list[Array]:
    """Return the frames of each sequence."""
    values = network.run({"data": data})["output"].canonical()
    return [v[:n] for v, n in zip(values, data[1], strict=True)]


def without_keep(value: Any) -> Any:
    """Return a dict in which each state begins with zeros."""
    if isinstance(value, dict):
        return {k: without_keep(v) for k, v in value.items()}
    return "zeros" if isinstance(value, str) and value.startswith("keep_over_epoch") else value


def check(net: Net) -> None:
    network, whole = make(net), make(without_keep(net))
    assert network.keeps_states
    assert not whole.keeps_states
    batches = parts()
    needed = outputs(whole, joined(batches))
    for _ in range(2):
        found = [outputs(network, batch) for batch in batches]
        for row, pair in zip(needed, zip(*found, strict=True), strict=True):
            np.testing.assert_allclose(np.concatenate(pair), row, rtol=1e-5, atol=1e-6)
        network.reset()


S: Net = {**LSTM, **KEEP, "from": ["data:source", "prev:s"]}
NETS: dict[str, Net] = {
    "lstm": {"output": {**LSTM, **KEEP}},
    "no_init": {"output": {**LSTM, "initial_state": "keep_over_epoch_no_init"}},
    "gru": {"output": {**LSTM, **KEEP, "unit": "gru"}},
    "moved_out": in_loop(output={**LSTM, **KEEP, "from": "data:source"}),
    "in_loop": in_loop(False, output={**LSTM, **KEEP, "from": "data:source"}),
    "recurrent": in_loop(s=S, output={"class": "copy", "from": "s"}),
    "frozen": in_loop(
        s={**S, "from": "data:source"},
        output={"class": "get_last_hidden_state", "from": "s", "n_out": 4},
    ),
}


@pytest.mark.parametrize("name", NETS)
def test_two_batches_are_one_of_both(name: str) -> None:
    check(NETS[name])


def test_a_part_of_the_state_is_kept_without_a_gradient() -> None:
    streams = {**STREAMS, "c": {"dim": 2, "shape": (2,)}}
    loss: Net = {"class": "reduce", "axis": "F", "mode": "sum", "from": "x", "loss": "as_is"}

    def with_state(c: Any) -> Network:
        net = {"x": {**LSTM, "initial_state": {"c": c, "h": 0}}, "output": loss}
        network = Network(net, extern_data=streams)
        random_parameters(network)
        return network

    network, given = with_state("keep_over_epoch"), with_state("data:c")
    first, second = parts()
    zeros = np.zeros((3, 2), np.float32)
    network.run({"data": first, "c": (zeros, None)}, gradients=True)
    state = network._carried.states
    assert list(state) == ["x:c"]
    batch = {"data": second, "c": (state["x:c"].numpy(), None)}
    needed = given.run(batch, gradients=True)
    found = network.run(batch, gradients=True)
    assert found.gradients is not None and needed.gradients is not None
    for name, value in needed.gradients.items():
        np.testing.assert_allclose(found.gradients[name], value, rtol=1e-5, atol=1e-6)


def test_another_number_of_sequences_needs_a_reset() -> None:
    network, (first, second) = make(NETS["lstm"]), parts()
    network.run({"data": first})
    fewer = (second[0][:2], second[1][:2])
    text = r"^batch: found 2 sequences, needed 3 as in the batch before, whose states go .* reset"
    with pytest.raises(NetworkError, match=text):
        network.run({"data": fewer})
    network.reset()
    network.run({"data": fewer})


CHOICE: Net = {"class": "choice", "from": "p", "beam_size": 2, "target": "none"}
SEARCH: Net = {
    "s": {**LSTM, **KEEP, "from": "prev:output"},
    "p": {"class": "softmax", "from": ["s", "data:source"], "n_out": 3},
    "output": CHOICE,
}
END: Net = {
    "s": {**LSTM, **KEEP, "from": "prev:output"},
    "p": {"class": "softmax", "from": "s", "n_out": 3},
    "output": {"class": "copy", "from": "p"},
    "end": {"class": "compare", "kind": "greater", "from": "x", "value": 0.5},
    "x": {"class": "reduce", "mode": "max", "axis": "F", "from": "p"},
}
NESTED: Net = {
    "class": "rec",
    "unit": {"output": {**LSTM, **KEEP, "from": "data:source"}},
    "from": "base:data",
}


@pytest.mark.parametrize(
    ("net", "text"),
    [
        (
            in_loop(x={**LSTM, **KEEP, "from": "base:data"}, output={"class": "copy", "from": "x"}),
            r"^output/x \(rec\): found .* begins anew in each step of a loop, needed a layer outsi",
        ),
        (in_loop(x=NESTED, output={"class": "copy", "from": "x"}), r"^output/x/output \(rec\): fo"),
        (
            {"output": {**LSTM, **KEEP, "from": "data:wide"}},
            r"^output \(rec\): found .* for a state .*, needed one of fixed size; try 'zeros'",
        ),
        (in_loop(**SEARCH), r"^output/s \(rec\): found .* the hypotheses of a search, needed one "),
        (
            {"output": {"class": "rec", "from": [], "unit": END, "max_seq_len": 4}},
            "its layer 'end' ends, need",
        ),
    ],
)
def test_mistakes(net: Net, text: str) -> None:
    with pytest.raises(NetworkError, match=text):
        make(net, search=True).run({"data": parts()[0]})


ATTENTION: Net = {"class": "self_attention", "num_heads": 2, "total_key_dim": 4, "n_out": 4}
LEFT: Net = {**ATTENTION, "attention_left_only": True}
SHARED: Net = {**LEFT, "class": "self_attention_share_kv", "share_kv": True}
MASKED: Net = {
    "mask": {"class": "compare", "kind": "greater", "from": "f", "value": 0.0},
    "f": {"class": "reduce", "axis": "F", "mode": "sum", "from": "data:source"},
    "m": {
        "class": "masked_computation",
        "mask": "mask",
        "from": "data:source",
        "unit": {**LEFT, **KEEP, "from": "data"},
    },
    "output": {"class": "copy", "from": "m"},
}
ATTENTIONS: dict[str, Net] = {
    "left": {"output": {**LEFT, **KEEP, "from": "data"}},
    "shared": {"output": {**SHARED, **KEEP, "from": "data"}},
    "moved_out": in_loop(output={**LEFT, **KEEP, "from": "data:source"}),
    "in_loop": in_loop(False, output={**LEFT, **KEEP, "from": "data:source"}),
    "shared_in_loop": in_loop(False, output={**SHARED, **KEEP, "from": "data:source"}),
}


@pytest.mark.parametrize("name", ATTENTIONS)
def test_frames_attend_to_those_of_the_batches_before(name: str) -> None:
    check(ATTENTIONS[name])


PLACES: dict[str, Any] = {
    "outside": lambda layer: {"output": {**layer, "from": "data"}},
    "moved_out": lambda layer: in_loop(output={**layer, "from": "data:source"}),
    "in_loop": lambda layer: in_loop(False, output={**layer, "from": "data:source"}),
}


def formula(weights: Array, x: Array, before: Array, *, left: bool) -> Array:
    """Return the frames x, which attend to one another and to those before."""
    found = []
    for own, other in zip(*(np.split(y @ weights, 2, axis=-1) for y in (x, before)), strict=True):
        q, k, v = np.split(own, 3, axis=-1)
        _, old_k, old_v = np.split(other, 3, axis=-1)
        energy = q @ np.concatenate([old_k, k]).T / np.sqrt(2)
        if left:
            mask = np.tri(len(x), dtype=bool)
            energy[:, len(before) :] = np.where(mask, energy[:, len(before) :], -np.inf)
        found.append(softmax(energy) @ np.concatenate([old_v, v]))
    return np.concatenate(found, axis=-1)


COUNTS = [3, 0, 1]
THREE = [*LENGTHS, [2, 1, 4]]


@pytest.mark.parametrize(
    ("place", "left"), [("outside", False), *((place, True) for place in PLACES)]
)
@pytest.mark.parametrize("restrict", [False, True])
@pytest.mark.parametrize("count", [False, True])
def test_what_counts_of_the_batches_before(
    place: str, left: bool, restrict: bool, count: bool
) -> None:
    layer = {**ATTENTION, **KEEP, "attention_left_only": left}
    lengths = (lambda: np.array(COUNTS, np.int32)) if count else None
    more = {"restrict_state_to_last_seq": restrict, "state_var_lengths": lengths}
    network = make(PLACES[place]({**layer, **more}))
    (weights,) = network.get_params().values()
    before = [np.zeros((0, 3))] * 3
    for i, n in enumerate(THREE):
        data = dense(n, 3, seed=i)
        found = outputs(network, data)
        for b, values in enumerate(found):
            x = data[0][b, : n[b]]
            start = max(len(before[b]) - COUNTS[b], 0) if count else 0
            needed = formula(weights, x, before[b][start:], left=left)
            np.testing.assert_allclose(values, needed, rtol=1e-4, atol=1e-5)
            before[b] = x if restrict else np.concatenate([before[b], x])


def test_layers_and_arrays_say_what_counts() -> None:
    count: Net = {"class": "eval", "eval": "source(0) // 2", "from": "n"}
    net = {"n": {"class": "length", "from": "data"}, "count": count}
    layer = {**LEFT, **KEEP, "from": "data"}
    second = parts()[1][1]
    array = [n // 2 for n in second]
    pairs = [({**layer, "state_var_lengths": given}, net) for given in ("count", array)]
    found = []
    for output, more in pairs:
        network = make({**more, "output": output})
        found.append([outputs(network, batch) for batch in parts()][1])
    for one, two in zip(*found, strict=True):
        np.testing.assert_allclose(one, two, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("moved", [True, False])
def test_masked_frames_are_not_kept(moved: bool) -> None:
    network = make(in_loop(moved, **MASKED))
    (weights,) = network.get_params().values()
    before, held = [np.zeros((0, 3))] * 3, [np.zeros((1, 4))] * 3
    for data in parts():
        for b, values in enumerate(outputs(network, data)):
            x = data[0][b, : data[1][b]]
            mask = x.sum(axis=1) > 0
            y = held[b]
            if mask.any():
                y = np.concatenate([y, formula(weights, x[mask], before[b], left=True)])
            np.testing.assert_allclose(values, y[np.cumsum(mask)], rtol=1e-4, atol=1e-5)
            before[b] = np.concatenate([before[b], x[mask]])


def test_dropout_is_the_same_in_a_loop_and_out_of_it() -> None:
    found = []
    for moved in (True, False):
        layer = {**LEFT, **KEEP, "attention_dropout": 0.4, "from": "data:source"}
        network = make(in_loop(moved, output=layer), train=True)
        found.append([outputs(network, batch) for batch in parts()])
    for one, two in zip(found[0][1], found[1][1], strict=True):
        np.testing.assert_allclose(one, two, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(
    ("more", "text"),
    [
        ({"initial_state": "ones"}, "found initial_state 'ones', needed None, 'zeros' or 'keep_ov"),
        ({**KEEP, "key_shift": "data"}, "found key_shift with initial_state 'keep_over_epoch', ne"),
        ({**KEEP, "state_var_lengths": "data"}, r"found state_var_lengths .*, needed whole numb"),
        ({**KEEP, "state_var_lengths": 2}, r"found state_var_lengths .*, needed whole numbers"),
        ({**KEEP, "state_var_lengths": [1, 2]}, "found other state_var_lengths than needed, one"),
    ],
)
def test_mistakes_of_self_attention(more: Net, text: str) -> None:
    with pytest.raises(NetworkError, match=rf"^output \(self_attention\): {text}"):
        make({"output": {**ATTENTION, **more, "from": "data"}}).run({"data": parts()[0]})


def test_a_branch_keeps_no_state() -> None:
    net: Net = {
        "lstm": {**LSTM, **KEEP},
        "output": {
            "class": "cond",
            "condition": {"class": "constant", "value": True, "dtype": "bool"},
            "true_layer": {**LSTM, **KEEP},
            "false_layer": "lstm",
        },
    }
    with pytest.raises(
        NetworkError, match=r"found a state that is kept in .*, needed none in a br"
    ):
        make(net).run({"data": parts()[0]})


@pytest.mark.parametrize("name", ["lstm", "recurrent"])
def test_a_stream_goes_on_by_its_own_means(name: str) -> None:
    stream = Stream(NETS[name], extern_data={"data": STREAMS["data"]})
    network = Network(without_keep(NETS[name]), extern_data=STREAMS)
    network.set_params(random_parameters(stream.network))
    needed = outputs(network, joined(parts()))
    for _ in range(2):
        stream.reset()
        for batch in parts():
            found = stream.push({"data": batch})["output"]
        for row, value in zip(needed, found.values, strict=True):
            np.testing.assert_allclose(value[: len(row)], row, rtol=1e-5, atol=1e-6)
