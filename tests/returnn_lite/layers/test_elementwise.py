"""Elementwise layers: against numpy, how they broadcast, and mistakes in them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from eager import Array, dense, run
from reference import check

from returnn_lite.errors import NetworkError
from returnn_lite.network import Network

LENGTHS = [3, 1, 2]
STREAMS = {
    "data": {"dim": 2},
    "same": {"dim": 2, "same_dim_tags_as": {"t": "data"}},
    "classes": {"dim": 5, "sparse": True},
}
LABELS = (np.array([[0, 4, 2], [1, 0, 0], [2, 2, 0]], np.int32), LENGTHS)


def result(layer: dict[str, Any], *, config: dict[str, Any] | None = None) -> Array:
    """Return the output of one layer on random input."""
    network = Network({"output": layer}, extern_data=STREAMS, config=config)
    batch = {"data": dense(LENGTHS, 2), "same": dense(LENGTHS, 2, seed=1), "classes": LABELS}
    return run(network, batch)["output"].values


def inputs() -> tuple[Array, Array]:
    """Return what `result` gives to the layers, zero behind the ends."""
    mask = np.arange(3)[None, :, None] < np.array(LENGTHS)[:, None, None]
    return dense(LENGTHS, 2)[0] * mask, dense(LENGTHS, 2, seed=1)[0] * mask


KINDS: dict[str, Callable[[Array, Array], Array]] = {
    "add": np.add,
    "sub": np.subtract,
    "mul": np.multiply,
    "maximum": np.maximum,
    "minimum": np.minimum,
    "truediv": np.divide,
}


@pytest.mark.parametrize("kind", KINDS)
def test_combine_is_the_operation_on_all_sources_in_order(kind: str) -> None:
    net = {
        "shifted": {"class": "eval", "eval": "tf.exp(source(0))", "from": "data"},
        "mean": {"class": "linear", "activation": None, "n_out": 1, "from": "data"},
        "output": {"class": "combine", "kind": kind, "from": ["data", "shifted", "mean"]},
    }
    network = Network(net, extern_data=STREAMS)
    network.set_params({"mean/b": [2.0]})

    def formula(p: Any, data: Array) -> list[Array]:
        mean = data @ p["mean/W"] + p["mean/b"]
        y = KINDS[kind](KINDS[kind](data, np.exp(data)), mean)
        return [x[:n] for x, n in zip(y, LENGTHS, strict=True)]

    check(network, {"data": dense(LENGTHS, 2)}, formula, seed=4)


def test_logical_kinds_and_activation() -> None:
    net: dict[str, Any] = {
        "a": {"class": "compare", "from": "data", "kind": "greater", "value": 0},
        "b": {"class": "compare", "from": "data:same", "kind": "greater", "value": 0},
        "and": {"class": "combine", "kind": "logical_and", "from": ["a", "b"]},
        "or": {"class": "combine", "kind": "logical_or", "from": ["a", "b"]},
        "relu": {
            "class": "combine",
            "kind": "add",
            "activation": "relu",
            "from": ["data", "data:same"],
        },
    }
    network = Network(net, extern_data=STREAMS, outputs=["and", "or", "relu"])
    out = run(network, {"data": dense(LENGTHS, 2), "same": dense(LENGTHS, 2, seed=1)})
    x, y = inputs()
    np.testing.assert_array_equal(out["and"].values, (x > 0) & (y > 0))
    np.testing.assert_array_equal(out["or"].values, (x > 0) | (y > 0))
    np.testing.assert_allclose(out["relu"].values, np.maximum(x + y, 0))


COMPARISONS: dict[str, Callable[[Array, Any], Array]] = {
    "equal": np.equal,
    "not_equal": np.not_equal,
    "less": np.less,
    "less_equal": np.less_equal,
    "greater": np.greater,
    "greater_equal": np.greater_equal,
}


@pytest.mark.parametrize("kind", COMPARISONS)
def test_compare_labels_with_a_value_and_sources_with_each_other(kind: str) -> None:
    found = result({"class": "compare", "kind": kind, "value": 2, "from": "data:classes"})
    mask = np.arange(3)[None, :] < np.array(LENGTHS)[:, None]
    np.testing.assert_array_equal(found, COMPARISONS[kind](LABELS[0] * mask, 2))
    assert found.dtype == bool
    found = result({"class": "compare", "kind": kind, "from": ["data", "data:same"]})
    np.testing.assert_array_equal(found, COMPARISONS[kind](*inputs()))


def test_eval_knows_its_sources_locals_tensorflow_and_the_config() -> None:
    text = "a * source(0) + tf.abs(source(1)) * self.network.get_config().typed_value('scale')"
    layer = {
        "class": "eval",
        "eval": text,
        "eval_locals": {"a": 3.0},
        "from": ["data", "data:same"],
    }
    found = result(layer, config={"scale": 0.5})
    x, y = inputs()
    np.testing.assert_allclose(found, 3 * x + np.abs(y) * 0.5, rtol=1e-6)


def test_a_variable_of_the_config_may_change_between_runs() -> None:
    import tensorflow as tf

    scale = tf.Variable(2.0)
    text = "source(0) * self.network.get_config().typed_value('scale')"
    network = Network(
        {"output": {"class": "eval", "eval": text, "from": "data"}},
        extern_data=STREAMS,
        config={"scale": scale},
    )
    batch = {"data": dense([3], 2)}
    first = network.run(batch)["output"].values
    scale.assign(-1.0)
    np.testing.assert_allclose(network.run(batch)["output"].values, first / -2.0)


def test_out_type_changes_dtype_and_dim() -> None:
    layer = {
        "class": "eval",
        "eval": "tf.cast(tf.concat([source(0)] * 2, axis=-1) > 0, 'int32')",
        "out_type": {"dtype": "int32", "dim": 4},
        "from": "data",
    }
    found = result(layer)
    assert (found.dtype, found.shape) == (np.int32, (3, 3, 4))


def make(**layer: Any) -> dict[str, Any]:
    return {"output": {"from": "data", **layer}}


@pytest.mark.parametrize(
    ("net", "text"),
    [
        (
            make(**{"class": "combine", "kind": "ad"}),
            r"output \(combine\): unknown kind 'ad'; did you mean 'add'\?",
        ),
        (
            make(**{"class": "combine", "kind": "add", "n_out": 3}),
            r"output \(combine\): found n_out 3, needed that of \[B,T\|.*,F\|2\]",
        ),
        (
            make(**{"class": "combine", "kind": "add", "activation": "rely"}),
            r"output \(combine\): unknown activation 'rely'; did you mean 'relu'\?",
        ),
        (
            {
                "three": {"class": "linear", "n_out": 3, "from": "data"},
                **make(**{"class": "combine", "kind": "add", "from": ["data", "three"]}),
            },
            r"output \(combine\): found feature dims 2 and 3, needed equal ones or 1",
        ),
        (
            make(**{"class": "compare", "kind": "equals", "value": 1}),
            r"output \(compare\): unknown kind 'equals'; did you mean 'equal'\?",
        ),
        (
            make(**{"class": "compare"}),
            r"output \(compare\): needed two sources, or one and the option 'value'",
        ),
        (
            make(**{"class": "eval", "eval": "source(0"}),
            r"output \(eval\): found no expression in 'eval': .*: source\(0$",
        ),
        (
            make(**{"class": "eval", "eval": "source(0)", "out_type": {"shapes": 1}}),
            r"output \(eval\): unknown out_type 'shapes'; did you mean 'shape'\?",
        ),
        (
            make(**{"class": "copy", "from": ["data", "data:classes"]}),
            r"output \(copy\): found source 'data:classes' .*, needed one with a feature dim",
        ),
        (
            make(**{"class": "combine", "kind": "add", "from": ["data", "data:classes"]}),
            r"found sources of float32 and int32 for the kind 'add', needed one dtype; try the",
        ),
        (
            make(**{"class": "compare", "from": ["data", "data:classes"]}),
            r"found sources of float32 and int32 for the kind 'equal', needed one dtype",
        ),
        (
            make(**{"class": "combine", "kind": "logical_and", "from": ["data", "data"]}),
            r"output \(combine\): found source .* for the kind 'logical_and', needed bool; try the",
        ),
        (
            {
                "mask": {"class": "compare", "value": 0, "from": "data"},
                **make(**{"class": "combine", "kind": "sub", "from": ["mask", "mask"]}),
            },
            r"found source .*, bool,? .*for the kind 'sub', needed numbers; try 'cast'",
        ),
        (make(**{"class": "copy", "from": []}), r"output \(copy\): found no source, needed one"),
        (
            make(**{"class": "combine", "kind": "add", "from": []}),
            r"output \(combine\): found no source, needed one",
        ),
    ],
)
def test_mistakes_seen_without_data(net: dict[str, Any], text: str) -> None:
    with pytest.raises(NetworkError, match=text):
        Network(net, extern_data=STREAMS)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("source(1)", "found source\\(1\\) in 'eval', needed one of 1 sources"),
        ("sauce(0)", r"found the name 'sauce' in 'eval'; did you mean 'source'\?"),
        ("source(0) > 0", r"found 3 axes of bool from .*, needed 3 of float32; try out_type"),
        ("tf.reduce_sum(source(0))", r"found 0 axes of float32 from .*, needed 3 of float32"),
        ("[source(0)]", r"found <class 'list'> from '\[source\(0\)\]', needed a tensor"),
        (
            "self.network.get_config().typed_value('scales')",
            r"config: no value 'scales'; did you mean 'scale'\?",
        ),
    ],
)
def test_mistakes_in_an_expression(text: str, message: str) -> None:
    with pytest.raises(NetworkError, match=message) as error:
        result({"class": "eval", "eval": text, "from": "data"}, config={"scale": 1.0})
    assert str(error.value).startswith("output (eval): ")
