"""Templates: of recurrences by repetition, and of a loop's layers seen from outside."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from eager import dense, random_parameters, run

from returnn_lite.data import Data
from returnn_lite.dim import BATCH, FeatureDim, SpatialDim
from returnn_lite.errors import NetworkError
from returnn_lite.network import Network

STREAMS = {"data": {"dim": 3}}


def linear(source: Any, n_out: int = 2) -> dict[str, Any]:
    return {"class": "linear", "activation": "tanh", "from": source, "n_out": n_out}


def templates(unit: dict[str, Any]) -> dict[str, str]:
    """Return the templates of a loop's layers."""
    network = Network(
        {"output": {"class": "rec", "from": "data", "unit": unit}}, extern_data=STREAMS
    )
    random_parameters(network)
    out = run(network, {"data": dense([3, 2], 3)})["output"]
    assert np.isfinite(out.canonical()).all()
    return {n.name: repr(n.out) for n in network.nodes() if n.path.startswith("output/")}


def test_layers_that_need_one_another_in_the_step_before() -> None:
    found = templates(
        {
            "a": {"class": "combine", "kind": "add", "from": ["prev:b", "c"]},
            "b": {"class": "eval", "eval": "tf.tanh(source(0))", "from": "prev:a"},
            "c": linear(["prev:b", "data:source"], 4),
            "output": {"class": "copy", "from": ["a", "b"]},
        }
    )
    assert {k: found[k] for k in ("a", "b", "c", "output", "prev:a", "prev:b")} == {
        "a": "[B,F|4]",
        "b": "[B,F|4]",
        "c": "[B,F|4]",
        "output": "[B,F|8]",
        "prev:a": "[B,F|4]",
        "prev:b": "[B,F|4]",
    }


def test_layers_whose_size_is_that_of_the_target_begin_a_recurrence() -> None:
    unit = {
        "label": {"class": "reinterpret_data", "set_sparse": False, "from": "prev:output"},
        "frame": {"class": "gather", "from": "base:data", "axis": "T", "position": "label"},
        "prob": {"class": "softmax", "from": "frame", "loss": "ce", "target": "classes"},
        "output": {
            "class": "choice",
            "from": "prob",
            "target": "classes",
            "beam_size": 2,
            "initial_output": 0,
        },
    }
    net = {"output": {"class": "rec", "from": "data", "unit": unit}}
    streams = {**STREAMS, "classes": {"dim": 5, "sparse": True}}
    found = Network(net, extern_data=streams, search=True)
    assert repr(found.template("output/prob")).endswith("F|5]")


def test_layers_whose_dims_are_given_begin_a_recurrence() -> None:
    time, n_in, n_out = SpatialDim("time"), FeatureDim("in", 3), FeatureDim("out", 2)
    unit = {
        "x": {"class": "rec_unstack", "from": "base:data:data", "axis": time},
        "both": {"class": "concat", "from": [("x", n_in), ("prev:y", n_out)]},
        "w": {"class": "variable", "shape": [n_in + n_out, n_out]},
        "dot": {"class": "dot", "from": ["both", "w"], "reduce": n_in + n_out},
        "y": {"class": "copy", "from": "dot", "out_shape": {BATCH, n_out}},
        "output": {"class": "copy", "from": "y"},
    }
    net = {"output": {"class": "rec", "from": [], "axis": time, "unit": unit}}
    found = Network(net, extern_data={"data": {"dim_tags": [BATCH, time, n_in]}})
    assert repr(found.template("output/both")) == "[B,F|5]"
    assert repr(found.template("output/output")) == "[B,F|2]"


def test_layers_that_know_their_own_size_begin_a_recurrence() -> None:
    found = templates(
        {
            "a": linear("prev:b", 2),
            "b": linear(["prev:a", "prev:b"], 3),
            "output": {"class": "copy", "from": ["a", "b"]},
        }
    )
    assert (found["a"], found["b"], found["output"]) == ("[B,F|2]", "[B,F|3]", "[B,F|5]")


def test_a_recurrence_begins_with_the_dims_of_its_initial_output() -> None:
    unit = {
        "joined": {"class": "concat", "from": [("data:source", "F"), ("prev:s", "F")]},
        "weights": {"class": "variable", "shape": [5, 2]},
        "s": {"class": "dot", "from": ["joined", "weights"], "red1": "F", "red2": "static:0"},
        "output": {"class": "copy", "from": "s"},
    }
    unit["s"] |= {"var1": "B", "var2": "F", "initial_output": "base:ones"}
    ones = {"class": "constant", "value": 1.0, "shape": [2], "with_batch_dim": True}
    net = {"ones": ones, "output": {"class": "rec", "from": "data", "unit": unit}}
    network = Network(net, extern_data=STREAMS)
    (weights,) = random_parameters(network).values()
    data, lengths = dense([3, 2], 3)
    found = run(network, {"data": (data, lengths)})["output"].canonical()
    for b, length in enumerate(lengths):
        s = np.ones(2)
        for t in range(length):
            s = np.concatenate([data[b, t], s]) @ weights
            np.testing.assert_allclose(found[b, t], s, rtol=1e-5)
    del unit["s"]["initial_output"]
    with pytest.raises(NetworkError, match=r"depend on one another only; .* or a layer as initial"):
        Network(net, extern_data=STREAMS)


@pytest.mark.parametrize("order", [["y", "output"], ["output", "y"]])
def test_a_layer_of_a_loop_has_all_steps_outside(order: list[str]) -> None:
    unit = {
        "h": linear(["data:source", "prev:h"]),
        "base": linear("base:last"),
        "output": {"class": "copy", "from": ["h", "base"]},
    }
    net = {
        "count": {"class": "length", "from": "data"},
        "last": {"class": "gather", "from": "data", "position": "count"},
        "y": {"class": "rec", "unit": "lstm", "n_out": 2, "from": ["output/h", "output/base"]},
        "output": {"class": "rec", "from": "data", "unit": unit},
    }
    network = Network(net, extern_data=STREAMS, outputs=order)
    assert repr(network.template("y")) == "[T|'time:var:extern_data:data',B,F|2]"
    random_parameters(network)
    out = run(network, {"data": dense([3, 2], 3)}, ["y", "output/h", "output/base", "output"])
    assert out["y"].canonical().shape == (2, 3, 2)
    joined = np.concatenate([out[f"output/{n}"].canonical() for n in ("h", "base")], axis=-1)
    np.testing.assert_array_equal(joined, out["output"].canonical())


def nested(**inner: Any) -> dict[str, Any]:
    """Return a loop in a loop, which sees what the loop around gave in its step before."""
    h = linear(["prev:h", "data:source", "base:prev:output", "base:data:source"])
    unit = {"h": h, "output": {"class": "copy", "from": "h"}, **inner}
    outer = {
        "inner": {"class": "rec", "from": "base:encoder", "unit": unit},
        "mean": {"class": "reduce", "mode": "mean", "axis": "T", "from": "inner"},
        "output": linear(["mean", "data:source"]),
    }
    loop = {"class": "rec", "from": "data", "unit": outer}
    return {"encoder": linear("data:words"), "output": loop}


def test_a_loop_in_a_loop_sees_the_step_before_of_that_around() -> None:
    streams = {**STREAMS, "words": {"dim": 3}}
    network = Network(nested(), extern_data=streams)
    p = random_parameters(network)
    data, words = dense([3, 2], 3), dense([2, 4], 3, seed=1)
    found = run(network, {"data": data, "words": words})["output"].canonical()
    inner, outer = "output/rec/inner/rec/h", "output/rec/output"
    for b in range(2):
        encoder = np.tanh(words[0][b, : words[1][b]] @ p["encoder/W"] + p["encoder/b"])
        out = np.zeros(2)
        for t, x in enumerate(data[0][b, : data[1][b]]):
            states = [np.zeros(2)]
            for e in encoder:
                z = np.concatenate([states[-1], e, out, x])
                states.append(np.tanh(z @ p[f"{inner}/W"] + p[f"{inner}/b"]))
            z = np.concatenate([np.mean(states[1:], axis=0), x])
            out = np.tanh(z @ p[f"{outer}/W"] + p[f"{outer}/b"])
            np.testing.assert_allclose(found[b, t], out, atol=1e-5)


def test_layers_of_a_loop_in_a_loop_whose_dims_are_not_known() -> None:
    net = nested(h={"class": "combine", "kind": "add", "from": ["prev:h", "base:prev:mean"]})
    text = "^output .*: the dims of output/inner/h, .* depend on one another only; try to give one"
    with pytest.raises(NetworkError, match=text):
        Network(net, extern_data={**STREAMS, "words": {"dim": 3}})


def test_templates_have_no_tensors() -> None:
    network = Network({"output": linear("data")}, extern_data=STREAMS)
    random_parameters(network)
    run(network, {"data": dense([3, 2], 3)})
    outs = [n.out for n in network.nodes()]
    assert all(isinstance(x, Data) and x.tensor is None for x in outs)


def test_a_template_from_a_part_of_the_sources_is_no_mistake() -> None:
    linear = {"class": "linear", "activation": "tanh", "n_out": 2}
    unit = {
        "last": {**linear, "from": "prev:last"},
        "timed": {
            "class": "eval",
            "from": ["last", ":i"],
            "eval": "source(0) * tf.cast(source(1), 'float32')",
        },
        "output": {"class": "copy", "from": ["last", "timed"]},
    }
    net = {"output": {"class": "rec", "from": "data", "unit": unit}}
    out = Network(net, extern_data={"data": {"dim": 3}}).template("output")
    assert out.feature_size == 4


def test_residual_connections_in_a_loop_cost_no_more_than_others() -> None:
    # Each layer is needed by two; while `prev:` is unknown, nothing before it is asked twice.
    unit: dict[str, Any] = {"l0": {"class": "linear", "n_out": 2, "from": "prev:output"}}
    for i in range(60):
        unit[f"f{i}"] = {"class": "linear", "n_out": 2, "from": f"l{i}"}
        unit[f"l{i + 1}"] = {"class": "combine", "kind": "add", "from": [f"l{i}", f"f{i}"]}
    unit["output"] = {"class": "copy", "from": "l60"}
    net = {"output": {"class": "rec", "from": "data", "unit": unit}}
    assert Network(net, extern_data={"data": {"dim": 3}}).template("output").feature_size == 2
