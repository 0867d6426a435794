"""Layers that are moved out of a loop compute the same as in it; and which are moved."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from eager import dense, gradients, random_parameters, run, sparse, weighted_gradients
from hypothesis import HealthCheck, given, note, settings
from hypothesis import strategies as st
from models import FEATURES, Net, transducer_net, transducer_streams

from returnn_lite.errors import NetworkError
from returnn_lite.network import Network

SIZE = 2
LENGTHS = [3, 1, 2]
STREAMS = {
    "data": {"dim": SIZE},
    "words": {"dim": 3, "sparse": True},
    "classes": {"dim": 3, "sparse": True, "same_dim_tags_as": {"t": "data"}},
}
# Layers outside of the loop, and what the unit begins with.
OUTSIDE: Net = {
    "count": {"class": "length", "from": "data"},
    "position": {"class": "eval", "from": "count", "eval": "source(0) - 1"},
    "last": {"class": "gather", "from": "data", "position": "position"},
    "wide": {"class": "linear", "activation": "tanh", "n_out": SIZE, "from": "other"},
    "other": {"class": "copy", "from": "data:words"},
}
SELF: Net = {"class": "self_attention", "num_heads": 1, "total_key_dim": 2, "n_out": SIZE}
SELF["attention_left_only"] = True
INSIDE: Net = {
    "m0": {"class": "compare", "from": "data:classes", "value": 1, "initial_output": 1},
    "m1": {"class": "compare", "from": "data:classes", "value": 2, "kind": "not_equal"},
    "frame": {"class": "eval", "from": "data:source", "eval": "source(0)"},
}
SOURCES = ("data:source", "base:last", "frame")
MASKS = ("m0", "m1", "prev:m0", "prev:m1")


def _linear(**more: Any) -> Net:
    return {"class": "linear", "activation": "tanh", "n_out": SIZE, **more}


def _unit(kind: int) -> Net:
    """Return a layer for masked_computation."""
    nested: Net = {
        "a": _linear(**{"from": ["data", "prev:b"]}),
        "b": {"class": "eval", "from": "a", "eval": "0.5 * source(0)", "initial_output": 0.5},
        "output": {"class": "combine", "kind": "add", "from": ["b", "prev:a"]},
    }
    return [
        _linear(),
        {"class": "rec", "unit": "lstm", "n_out": SIZE},
        {"class": "subnetwork", "subnetwork": nested},
        {"class": "copy", "dropout": 0.5},
    ][kind]


@st.composite
def layers(draw: st.DrawFn) -> Net:
    """Return a unit: layers that read one another, now or in the step before."""
    net = dict(INSIDE)
    names = [f"l{i}" for i in range(draw(st.integers(2, 6)))]
    known = list(SOURCES)
    for name in names:
        now = draw(st.sampled_from(known))
        other = draw(st.sampled_from([*known, *(f"prev:{n}" for n in names)]))
        kind = draw(st.integers(0, 13))
        net[name] = [
            _linear(**{"from": [now, other]}),
            _linear(**{"from": other, "dropout": draw(st.sampled_from([0.0, 0.5]))}),
            {"class": "eval", "from": [now, other], "eval": "tf.tanh(source(0)) - source(1)"},
            {"class": "combine", "kind": draw(st.sampled_from(["add", "mul", "maximum"]))},
            {"class": "rec", "unit": "lstm", "n_out": SIZE, "from": [now, other]},
            {"class": "masked_computation", "mask": draw(st.sampled_from(MASKS))},
            {"class": "reduce_out", "mode": "max", "num_pieces": 2, "from": f"{name}w"},
            {
                "class": "eval",
                "from": [now, ":i"],
                "eval": "source(0) * tf.cast(source(1), 'float32')",
            },
            {"class": "dropout", "dropout": 0.5, "from": now},
            # Axis words mean the same dims wherever a layer is: the steps, or the time around.
            {"class": "cumsum", "axis": "T", "from": now},
            {**SELF, "from": now},
            {"class": "eval", "from": [f"{name}w", now], "eval": "source(0) + source(1)"},
            # What is random, and what has side effects.
            {"class": "combine", "kind": "add", "from": [f"{name}w", now]},
            {"class": "print", "from": now},
        ][kind]
        net[name].setdefault("from", [now, other] if kind == 3 else other)
        if kind == 5:
            unit = draw(st.integers(0, 3))
            net[name] |= {"unit": _unit(unit), "from": now if unit == 3 else other}
        if kind == 11:
            net[f"{name}w"] = {"class": "reduce", "mode": "mean", "axis": "T", "from": f"{name}v"}
            net[f"{name}v"] = {"class": "combine", "kind": "mul", "from": ["base:wide", now]}
        if kind == 12:
            net[f"{name}w"] = {"class": "random", "distribution": "normal", "shape": []}
        if kind == 6:
            net[f"{name}w"] = _linear(**{"from": [now, other], "n_out": 2 * SIZE})
        if draw(st.booleans()):
            net[name]["initial_output"] = draw(st.sampled_from([0.3, "ones", "base:last"]))
        known.append(name)
    return {**net, "output": {"class": "copy", "from": names}}


@pytest.fixture(scope="module")
def batch() -> dict[str, Any]:
    words = sparse([2, 4, 3], 3, seed=1)
    return {"data": dense(LENGTHS, SIZE), "classes": sparse(LENGTHS, 3), "words": words}


@settings(
    max_examples=40,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(unit=layers())
def test_moved_layers_compute_the_same(batch: dict[str, Any], unit: Net) -> None:
    results = []
    note(str(unit))
    for moved in (True, False):
        rec = {"class": "rec", "from": "data", "unit": unit, "optimize_move_layers_out": moved}
        network = Network({**OUTSIDE, "output": rec}, extern_data=STREAMS, train=True)
        random_parameters(network)
        template = network.template("output")
        weights = np.random.default_rng(0).standard_normal((3, 3, template.feature_dim.size))  # type: ignore[union-attr]
        weights *= (np.arange(3)[None] < np.array(LENGTHS)[:, None])[..., None]
        values, found, data = weighted_gradients(network, batch, "output", weights)
        results.append({**found, "values": values * (weights != 0), "data": data})
    for name in results[0]:
        np.testing.assert_allclose(
            results[0][name], results[1][name], rtol=2e-4, atol=2e-5, err_msg=name
        )


@settings(
    max_examples=10,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(unit=layers())
def test_moved_layers_search_the_same(batch: dict[str, Any], unit: Net) -> None:
    note(str(unit))
    unit = {
        **unit,
        # What is random may depend on the choice before, or not.
        "feedback": _linear(**{"from": "prev:output"}),
        "frame": {"class": "combine", "kind": "add", "from": ["data:source", "feedback"]},
        "all": unit["output"],
        "p": {"class": "linear", "activation": "log_softmax", "n_out": 3},
        "output": {"class": "choice", "beam_size": 4, "target": "none", "input_type": "log_prob"},
    }
    unit["p"]["from"] = ["all", "feedback"]
    unit["output"]["from"] = "p"
    found = []
    for moved in (True, False):
        rec = {"class": "rec", "from": "data", "unit": unit, "optimize_move_layers_out": moved}
        names = ["output", "output/all", "output/output/log_prob"]
        net = {**OUTSIDE, "output": rec}
        network = Network(net, extern_data=STREAMS, search=True, outputs=names)
        random_parameters(network)
        found.append(run(network, batch))
    one, other = found
    np.testing.assert_allclose(one["output"].scores, other["output"].scores, atol=1e-4)
    for name in one:
        a, b = one[name].canonical(), other[name].canonical()
        np.testing.assert_allclose(a, b, rtol=2e-4, atol=2e-4, err_msg=name)


@pytest.mark.parametrize("company", ["h", ["h"], []])
def test_collocated_layers_stay_or_leave_together(company: str | list[str]) -> None:
    unit = {
        "h": {"class": "linear", "n_out": 2, "from": ["data:source", "prev:h"]},
        "early": {"class": "copy", "from": "data:source", "collocate_with": company},
        "late": {"class": "copy", "from": "h", "collocate_with": company},
        "output": {"class": "copy", "from": ["h", "early", "late"]},
    }
    net = {"output": {"class": "rec", "from": "data", "unit": unit}}
    network = Network(net, extern_data=STREAMS)
    rec = network.scope.get("output")
    place = rec.layer.placement(rec).place  # type: ignore[attr-defined]
    found = [place[network.scope.get(f"output/{n}")] for n in ("h", "early", "late", "output")]
    assert found == ["in", *(["in", "in"] if company else ["before", "after"]), "after"]


def transducers(**how: Any) -> list[Network]:
    """Return the transducer with layers moved out of the loop, and with all of them in it."""
    networks = []
    for moved in (True, False):
        net = transducer_net(labels=3)
        net["output"] = {**net["output"], "optimize_move_layers_out": moved}
        net["output"]["unit"]["fast"]["dropout"] = 0.4
        networks.append(Network(net, extern_data=transducer_streams(3), **how))
        networks[-1].set_params(random_parameters(networks[0]))
    return networks


def test_the_transducer_computes_the_same_in_the_loop() -> None:
    batch = {"data": dense([4, 2, 3], FEATURES), "alignment": sparse([4, 2, 3], 4)}
    moved, stepwise = transducers(train=True)
    names = ["output", "output/output_log_prob", "output/slow", "labels"]
    one, other = (run(n, batch, names, step=3) for n in (moved, stepwise))
    for name in names:
        np.testing.assert_allclose(one[name].canonical(), other[name].canonical(), atol=1e-5)
    (loss, found), (loss2, found2) = (gradients(n, batch, step=3) for n in (moved, stepwise))
    assert loss == pytest.approx(loss2, abs=1e-5)
    for name in found:
        np.testing.assert_allclose(found[name], found2[name], atol=1e-5, err_msg=name)
    assert gradients(moved, batch, step=4)[0] != pytest.approx(loss, abs=1e-4)


def test_the_transducer_searches_the_same_in_the_loop() -> None:
    one, other = (run(n, {"data": dense([4, 2, 3], FEATURES)}) for n in transducers(search=True))
    for name in one:
        np.testing.assert_array_equal(one[name].canonical(), other[name].canonical())
        np.testing.assert_allclose(one[name].scores, other[name].scores, atol=1e-5)


def placed(network: Network, place: str) -> set[str]:
    """Return the names of the layers that are computed in one place."""
    node = network.scope.get("output")
    placement = node.layer.placement(node)  # type: ignore[attr-defined]
    own = [n for n in placement.at(place) if n.scope is node.inner and ":" not in n.name]
    return {n.name for n in own}


def test_in_training_every_layer_of_the_transducer_leaves_the_loop() -> None:
    streams = transducer_streams(3)
    forced = Network(transducer_net(labels=3), extern_data=streams)
    assert placed(forced, "in") == set()
    search = Network(transducer_net(labels=3), extern_data=streams, search=True)
    assert placed(search, "before") == placed(search, "after") == set()
    assert placed(search, "in") == placed(forced, "before") - {"output_prob"}


# The decoder as the tutorial's pages on recurrency have it; `state` is what its LSTM sees.
def attention(*state: str) -> Net:
    linear = {"class": "linear", "activation": None}
    unit: Net = {
        "output": {"class": "choice", "target": "classes", "beam_size": 12, "from": "output_prob"},
        "end": {"class": "compare", "from": "output", "value": 0},
        "embed": {**linear, "from": "output", "n_out": 3, "initial_output": 0},
        "readout_in": {**linear, "from": ["s", "prev:embed", "att"], "n_out": 4},
        "readout": {"class": "reduce_out", "mode": "max", "num_pieces": 2, "from": "readout_in"},
        "output_prob": {"class": "softmax", "from": "readout", "target": "classes", "loss": "ce"},
        "s": {"class": "rec", "unit": "NativeLstm2", "from": list(state), "n_out": 4},
        "att0": {"class": "generic_attention", "weights": "att_weights", "base": "base:encoder"},
        "att": {"class": "merge_dims", "axes": "static", "from": "att0"},
        "att_weights": {"class": "softmax_over_spatial", "from": "energy"},
        "enc_ctx": {**linear, "from": "base:encoder", "n_out": 5},
        "s_transformed": {**linear, "with_bias": False, "from": "s", "n_out": 5},
        "energy_in": {"class": "combine", "kind": "add", "from": ["enc_ctx", "s_transformed"]},
        "energy_tanh": {"class": "activation", "activation": "tanh", "from": "energy_in"},
        "energy": {**linear, "with_bias": False, "from": "energy_tanh", "n_out": 1},
    }
    loop = {"class": "rec", "from": [], "target": "classes", "unit": unit}
    return {"encoder": {**linear, "from": "data", "n_out": 6}, "output": loop}


ATTENDING = {"s", "s_transformed", "energy_in", "energy_tanh", "energy", "att_weights"}
ATTENDING |= {"att0", "att"}
READOUT = {"readout_in", "readout", "output_prob"}


def test_the_attention_model_is_placed_as_on_the_tutorials_pages() -> None:
    streams = {"data": {"dim": 5}, "classes": {"dim": 7, "sparse": True}}
    net = attention("prev:embed", "prev:att")
    forced = Network(net, extern_data=streams)
    places = [placed(forced, p) for p in ("before", "in", "after")]
    assert places == [{"output", "embed", "enc_ctx"}, ATTENDING, READOUT]
    search = Network(net, extern_data=streams, search=True)
    inside = {*ATTENDING, *READOUT, "output", "end", "embed"}
    assert [placed(search, p) for p in ("before", "in", "after")] == [{"enc_ctx"}, inside, set()]
    assert "Unused layers:\n    end" in forced.describe()
    assert "Unused layers:\n    None" in search.describe()


def test_a_decoupled_lstm_and_all_after_it_leave_the_loop() -> None:
    streams = {"data": {"dim": 5}, "classes": {"dim": 7, "sparse": True}}
    network = Network(attention("prev:embed"), extern_data=streams)
    assert placed(network, "in") == placed(network, "after") == set()
    search = Network(attention("prev:embed"), extern_data=streams, search=True)
    assert placed(search, "before") == {"enc_ctx"}


def over_its_own_frames(state: list[str], *, optimise: bool = True) -> Net:
    """Return a loop over the frames of an encoder, in each step with a mean of all of them."""
    unit: Net = {
        "keys": _linear(**{"from": "base:encoder"}),
        "s": _linear(**{"from": state}),
        "energy": {"class": "dot", "from": ["keys", "s"], "red1": "F", "red2": "F"},
        "weights": {"class": "softmax_over_spatial", "from": "energy"},
        "mean": {"class": "generic_attention", "weights": "weights", "base": "base:encoder"},
        "output": _linear(**{"from": ["mean", "s"]}),
    }
    unit["energy"] |= {"var1": "T", "var2": "T?"}
    rec = {"class": "rec", "from": "encoder", "unit": unit}
    rec["optimize_move_layers_out"] = optimise
    return {"encoder": _linear(**{"from": "data"}), "output": rec}


@pytest.mark.parametrize("state", [["data:source"], ["data:source", "prev:mean"]])
def test_steps_over_all_frames_of_what_the_loop_runs_over(state: list[str]) -> None:
    streams, batch = {"data": {"dim": SIZE}}, {"data": dense(LENGTHS, SIZE)}
    moved = Network(over_its_own_frames(state), extern_data=streams)
    assert placed(moved, "before") == ({"keys"} if len(state) > 1 else {"keys", "s"})
    assert placed(moved, "after") == {"output"}
    inside = Network(over_its_own_frames(state, optimise=False), extern_data=streams)
    params = random_parameters(moved)
    inside.set_params(params)
    found, needed = (run(n, batch)["output"].canonical() for n in (moved, inside))
    np.testing.assert_allclose(found, needed, atol=1e-6)


def test_what_has_the_dim_of_the_loop_is_no_output_of_it() -> None:
    net = over_its_own_frames(["data:source"])
    net["output"]["unit"]["output"] = {"class": "copy", "from": "keys"}
    needed = "found output/output .* in a loop over 'time:.*', needed one without that dim; "
    with pytest.raises(NetworkError, match=needed + "try name_axis"):
        Network(net, extern_data={"data": {"dim": SIZE}})


# The LSTM as the tutorial writes it.
GATE: Net = {"class": "linear", "from": "input", "activation": "sigmoid", "n_out": 4}
EXPLICIT_LSTM: Net = {
    "input": {"class": "copy", "from": ["prev:output", "data:source"]},
    "input_gate": GATE,
    "forget_gate": GATE,
    "output_gate": GATE,
    "cell_in": {**GATE, "activation": "tanh"},
    "c": {
        "class": "eval",
        "from": ["input_gate", "cell_in", "forget_gate", "prev:c"],
        "eval": "source(0) * source(1) + source(2) * source(3)",
    },
    "output": {
        "class": "eval",
        "from": ["output_gate", "c"],
        "eval": "source(0) * source(1)",
    },
}


def test_the_tutorials_lstm_is_a_loop_in_numpy() -> None:
    network = Network(
        {"output": {"class": "rec", "from": "data", "unit": EXPLICIT_LSTM}},
        extern_data={"data": {"dim": FEATURES}},
    )
    params = random_parameters(network)
    x, lengths = dense([5, 2], FEATURES)
    out = run(network, {"data": (x, lengths)})["output"].canonical()
    h = c = np.zeros((2, 4))
    for t in range(5):
        z = np.concatenate([h, x[:, t]], axis=1)
        i, f, o, j = (
            z @ params[f"output/rec/{gate}/W"] + params[f"output/rec/{gate}/b"]
            for gate in ("input_gate", "forget_gate", "output_gate", "cell_in")
        )
        c = np.tanh(j) / (1 + np.exp(-i)) + c / (1 + np.exp(-f))
        h = c / (1 + np.exp(-o))
        active = t < np.array(lengths)
        np.testing.assert_allclose(out[active, t], h[active], atol=1e-5)
        assert not out[~active, t].any()


def test_what_reads_a_loop_in_the_loop_differs_by_steps_as_that_does() -> None:
    start = {"c": "base:h", "h": "zeros"}
    cell: Net = {"class": "rec", "unit": "nativelstm2", "n_out": SIZE, "from": "prev:cell"}
    inner: Net = {
        "cell": {**cell, "initial_state": start},
        "output": {"class": "copy", "from": ["cell", "data:source"]},
    }
    unit: Net = {
        "h": _linear(**{"from": ["data:source", "prev:h"]}),
        "inner": {"class": "rec", "from": "base:wide", "unit": inner},
        "state": {"class": "get_last_hidden_state", "key": "c", "n_out": SIZE},
        "output": {"class": "copy", "from": ["state", "h"]},
    }
    unit["state"]["from"] = "inner/cell"
    found = []
    for moved in (True, False):
        rec = {"class": "rec", "from": "data", "unit": unit, "optimize_move_layers_out": moved}
        network = Network({**OUTSIDE, "output": rec}, extern_data=STREAMS)
        random_parameters(network)
        data, words = dense(LENGTHS, SIZE), sparse([2, 4, 3], 3)
        found.append(run(network, {"data": data, "words": words})["output"].canonical())
    np.testing.assert_allclose(*found, atol=1e-6)
    assert len(np.unique(found[0][0, :, 0])) == 3
