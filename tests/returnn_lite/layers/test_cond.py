"""Of two layers only the chosen one is computed."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from eager import Array, dense, frame_of, random_parameters, run
from reference import check

from returnn_lite import FeatureDim, SpatialDim, batch_dim
from returnn_lite.errors import NetworkError
from returnn_lite.network import Network

STREAMS = {"data": {"dim": 2}}
LENGTHS = [3, 1, 2]
LINEAR = {"class": "linear", "activation": "tanh", "n_out": 2}


def _net(value: int) -> dict[str, Any]:
    return {
        "count": {"class": "constant", "value": value},
        "double": {"class": "eval", "eval": "2.0 * source(0)", "from": "data"},
        "output": {
            "class": "cond",
            "condition": {"class": "compare", "value": 0, "kind": "greater", "from": "count"},
            "true_layer": {**LINEAR, "from": "double"},
            "false_layer": "double",
        },
    }


@pytest.mark.parametrize("value", [1, 0])
def test_the_condition_chooses(value: int) -> None:
    network = Network(_net(value), extern_data=STREAMS)
    assert network.param_shapes() == {"output/W": (2, 2), "output/b": (2,)}

    def formula(p: Any, data: Array) -> list[Array]:
        x = 2 * data
        x = np.tanh(x @ p["output/W"] + p["output/b"]) if value else x
        return [x[b, :n] for b, n in enumerate(LENGTHS)]

    check(network, {"data": dense(LENGTHS, 2)}, formula)


@pytest.mark.parametrize("moved", [True, False])
def test_in_a_loop_it_may_depend_on_the_step(moved: bool) -> None:
    unit = {
        "early": {"class": "compare", "value": 1, "kind": "less", "from": ":i"},
        "output": {
            "class": "cond",
            "condition": "early",
            "true_layer": {**LINEAR, "from": "data:source"},
            "false_layer": "data:source",
        },
    }
    rec = {"class": "rec", "from": "data", "unit": unit, "optimize_move_layers_out": moved}
    network = Network({"output": rec}, extern_data=STREAMS)

    def formula(p: Any, data: Array) -> list[Array]:
        x = np.tanh(data @ p["output/rec/output/W"] + p["output/rec/output/b"])
        x = np.concatenate([x[:, :1], data[:, 1:]], axis=1)
        return [x[b, :n] for b, n in enumerate(LENGTHS)]

    check(network, {"data": dense(LENGTHS, 2)}, formula)


def test_the_other_layer_is_not_computed() -> None:
    """In a compiled network, where the condition is known in the run alone."""
    net = _net(1)
    net["count"] = {"class": "reduce", "mode": "max", "axis": "B", "from": "lengths"}
    net["lengths"] = {"class": "length", "from": "data"}
    bad = {"class": "eval", "eval": "tf.debugging.check_numerics(source(0) / 0.0, 'computed')"}
    net["output"]["false_layer"] = {**bad, "from": "double"}
    network = Network(net, extern_data=STREAMS)
    random_parameters(network)
    assert np.isfinite(network.run({"data": dense(LENGTHS, 2)})["output"].values).all()


@pytest.mark.parametrize(
    ("opts", "text"),
    [
        ({"condition": "double"}, r"found condition .*, needed one bool; try 'switch'"),
        (
            {"true_layer": {**LINEAR, "n_out": 3, "from": "data"}},
            "found .* and .*, needed the same dims and dtype",
        ),
        (
            {
                "true_layer": {
                    "class": "postfix_in_time",
                    "postfix": 1.0,
                    "from": "data",
                }
            },
            "found .* and .*, needed the same dims and dtype",
        ),
    ],
)
def test_mistakes(opts: dict[str, Any], text: str) -> None:
    net = _net(1)
    net["output"] |= opts
    with pytest.raises(NetworkError, match=rf"output \(cond\): {text}"):
        Network(net, extern_data=STREAMS)


@pytest.mark.parametrize("value", [1, 0])
def test_running_means_change_in_the_branch_that_is_computed(value: int) -> None:
    norm = {"class": "batch_norm", "momentum": 0.5, "from": "data"}
    net = _net(value)
    net["output"]["true_layer"] = norm
    network = Network(net, extern_data=STREAMS)
    before = random_parameters(network)
    data = dense([3, 3], 2)
    frame = frame_of(network, {"data": data}, train=True)
    frame.value(network.scope.get("output"))
    name = next(n for n in network.param_shapes() if n.endswith("mean"))
    needed = before[name]
    if value:
        needed = needed + 0.5 * (data[0].mean(axis=(0, 1)) - needed)
    np.testing.assert_allclose(frame.run.updates[name], needed, rtol=1e-5)
    assert len(frame.run.updates) == 2


@pytest.mark.parametrize("moved", [True, False])
def test_a_part_in_a_loop(moved: bool) -> None:
    def branch(factor: float) -> dict[str, Any]:
        a = {"class": "eval", "eval": f"{factor} * source(0)", "from": "data"}
        layers = {"a": {**a, "is_output_layer": True}, "output": {"class": "copy", "from": "a"}}
        return {"class": "subnetwork", "from": "data:source", "subnetwork": layers}

    unit = {
        "early": {"class": "compare", "value": 1, "kind": "less", "from": ":i"},
        "c": {
            **{"class": "cond", "condition": "early"},
            **{"true_layer": branch(2.0), "false_layer": branch(3.0)},
        },
        "output": {"class": "combine", "kind": "sub", "from": ["c/a", "prev:output"]},
    }
    rec = {"class": "rec", "from": "data", "unit": unit, "optimize_move_layers_out": moved}
    network = Network({"output": rec}, extern_data=STREAMS)

    def formula(p: Any, data: Array) -> list[Array]:
        found, y = [], np.zeros_like(data[:, 0])
        for t in range(data.shape[1]):
            y = (3.0 if t else 2.0) * data[:, t] - y
            found.append(y)
        return [np.stack(found, axis=1)[b, :n] for b, n in enumerate(LENGTHS)]

    check(network, {"data": dense(LENGTHS, 2)}, formula)


@pytest.mark.parametrize("value", [1, 0])
def test_a_dim_of_both_that_is_a_formula_of_a_stream(value: int) -> None:
    time, features = SpatialDim("time"), FeatureDim("in", 2)
    twice, double = time + time, time * 2
    yes = {
        "c": {"class": "concat", "from": [("data", time), ("data", time)], "out_dim": twice},
        "output": {"class": "reinterpret_data", "set_dim_tags": {twice: double}, "from": "c"},
    }
    ones = {"class": "constant", "value": 1.0, "shape": [batch_dim, double, features]}
    net = _net(value) | {"count": {"class": "length", "axis": "B", "from": "data"}}
    net["output"]["condition"]["value"] = 2 if value else 3
    net["output"] |= {
        "true_layer": {"class": "subnetwork", "from": "double", "subnetwork": yes},
        "false_layer": ones,
    }
    streams = {"data": {"dim_tags": [batch_dim, time, features]}}
    network = Network(net, extern_data=streams)
    (values, _), lengths = dense(LENGTHS, 2), [2 * n for n in LENGTHS]
    found = network.run({"data": (values, LENGTHS)})["output"]
    assert found.lengths[double.name].tolist() == lengths
    needed = np.concatenate([2 * values[0]] * 2) if value else np.ones((6, 2))
    np.testing.assert_allclose(found.canonical()[0], needed)


def test_a_branch_has_no_state() -> None:
    unit = {
        "early": {"class": "compare", "value": 1, "kind": "less", "from": ":i"},
        "output": {
            "class": "cond",
            "condition": "early",
            "true_layer": {"class": "rnn_cell", "unit": "gru", "n_out": 2, "from": "data:source"},
            "false_layer": "data:source",
        },
    }
    network = Network(
        {"output": {"class": "rec", "from": "data", "unit": unit}}, extern_data=STREAMS
    )
    random_parameters(network)
    with pytest.raises(NetworkError, match="which has a state, in a branch"):
        run(network, {"data": dense(LENGTHS, 2)})
