"""Affine layers: against their formula, their parameters, and how many outputs they have."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from eager import Array, dense, random_parameters, run, sparse
from reference import check, sigmoid, softmax

from returnn_lite.errors import NetworkError
from returnn_lite.network import Network

STREAMS = {"data": {"dim": 3}, "classes": {"dim": 4, "sparse": True}}
LENGTHS = [4, 2]

ACTIVATIONS: dict[str | None, Callable[[Array], Array]] = {
    None: lambda x: x,
    "tanh": np.tanh,
    "sigmoid": sigmoid,
    "log_sigmoid": lambda x: np.log(sigmoid(x)),
    "softmax": softmax,
    "log_softmax": lambda x: np.log(softmax(x)),
    "exp": np.exp,
    "swish": lambda x: x * sigmoid(x),
    "elu": lambda x: np.where(x > 0, x, np.expm1(x)),
    "abs": np.abs,
    "neg": np.negative,
    "softplus": lambda x: np.log1p(np.exp(x)),
    "square": np.square,
    "identity + 1": lambda x: x + 1,
    "10.000000*sigmoid": lambda x: 10 * sigmoid(x),
    "1 + 2 * softmax / 3": lambda x: 1 + 2 * softmax(x) / 3,
}


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_linear_is_its_formula(name: str | None) -> None:
    network = Network(
        {"output": {"class": "linear", "activation": name, "n_out": 2, "from": "data"}},
        extern_data=STREAMS,
    )

    def formula(p: Any, data: Array) -> list[Array]:
        y = ACTIVATIONS[name](data @ p["output/W"] + p["output/b"])
        return [x[:n] for x, n in zip(y, LENGTHS, strict=True)]

    check(network, {"data": dense(LENGTHS, 3)}, formula)


@pytest.mark.parametrize(
    "name", ["relu", "gelu", "sqrt", "log", "safe_log", "safe_exp", "tf.nn.relu(2 * x) + x"]
)
def test_activations_of_positive_input(name: str) -> None:
    from math import erf

    network = Network(
        {
            "positive": {"class": "eval", "eval": "tf.abs(source(0)) + 0.1", "from": "data"},
            "output": {"class": "activation", "activation": name, "from": "positive"},
        },
        extern_data=STREAMS,
    )
    functions: dict[str, Callable[[Array], Array]] = {
        "relu": lambda x: x,
        "gelu": lambda x: 0.5 * x * (1 + np.vectorize(erf)(x / np.sqrt(2))),
        "sqrt": np.sqrt,
        "log": np.log,
        "safe_log": np.log,
        "safe_exp": np.exp,
        "tf.nn.relu(2 * x) + x": lambda x: 3 * x,
    }

    def formula(p: Any, data: Array) -> list[Array]:
        y = functions[name](np.abs(data) + 0.1)
        return [x[:n] for x, n in zip(y, LENGTHS, strict=True)]

    check(network, {"data": dense(LENGTHS, 3)}, formula)


def test_relu_is_zero_below_zero_and_safe_log_finite_at_zero() -> None:
    net = {
        "zero": {"class": "eval", "eval": "0.0 * source(0)", "from": "data"},
        "log": {"class": "activation", "activation": "safe_log", "from": "zero"},
        "relu": {"class": "activation", "activation": "relu", "from": "data"},
    }
    network = Network(net, extern_data=STREAMS, outputs=["log", "relu"])
    x, lengths = dense(LENGTHS, 3)
    out = run(network, {"data": (x, lengths)})
    np.testing.assert_array_equal(out["relu"].values[0], np.maximum(x[0], 0))
    np.testing.assert_allclose(out["log"].values, np.log(1e-20), rtol=1e-5)


def test_several_sources_are_joined_and_sparse_ones_looked_up() -> None:
    net = {
        "embed": {"class": "linear", "activation": None, "with_bias": False, "n_out": 2},
        "wide": {"class": "linear", "activation": "tanh", "n_out": 2, "from": ["data", "data"]},
        "output": {"class": "softmax", "n_out": 3, "from": ["wide", "embed", "data"]},
    }
    net["embed"]["from"] = "data:classes"
    streams = {**STREAMS, "classes": {**STREAMS["classes"], "same_dim_tags_as": {"t": "data"}}}
    network = Network(net, extern_data=streams)
    labels, _ = sparse(LENGTHS, 4)
    assert network.param_shapes() == {
        "embed/W": (4, 2),
        "output/W": (7, 3),
        "output/b": (3,),
        "wide/W": (6, 2),
        "wide/b": (2,),
    }

    def formula(p: Any, data: Array) -> list[Array]:
        wide = np.tanh(np.concatenate([data, data], axis=-1) @ p["wide/W"] + p["wide/b"])
        joined = np.concatenate([wide, p["embed/W"][labels], data], axis=-1)
        y = softmax(joined @ p["output/W"] + p["output/b"])
        return [x[:n] for x, n in zip(y, LENGTHS, strict=True)]

    check(network, {"data": dense(LENGTHS, 3), "classes": (labels, LENGTHS)}, formula)


@pytest.mark.parametrize(("loss", "outputs"), [("ce", 4), ("ctc", 5), (None, 4)])
def test_the_target_gives_the_number_of_outputs(loss: str | None, outputs: int) -> None:
    output = {"class": "softmax", "from": "data", "target": "classes"}
    if loss:
        output["loss"] = loss
    network = Network({"output": output}, extern_data=STREAMS)
    assert network.param_shapes()["output/W"] == (3, outputs)


def test_neither_n_out_nor_target() -> None:
    net = {"output": {"class": "linear", "from": "data"}}
    with pytest.raises(
        NetworkError,
        match=r"output \(linear\): found neither n_out nor a target, needed one of them",
    ):
        Network(net, extern_data=STREAMS)


def test_input_without_features() -> None:
    net = {
        "count": {"class": "length", "from": "data"},
        "output": {"class": "linear", "n_out": 2, "from": "count"},
    }
    with pytest.raises(
        NetworkError, match=r"output \(linear\): found source \[B\], int32, needed a feature dim"
    ):
        Network(net, extern_data=STREAMS)


@pytest.mark.parametrize("name", ["hidden", "forward"])
def test_older_names_of_linear(name: str) -> None:
    layer = {"class": name, "activation": "tanh", "n_out": 2, "from": "data"}
    shapes = Network({"output": layer}, extern_data=STREAMS).param_shapes()
    assert shapes == {"output/W": (3, 2), "output/b": (2,)}


def test_transposed_weights_and_the_bias() -> None:
    layer = {"class": "linear", "activation": None, "n_out": 2, "from": "data"}
    network = Network({"output": {**layer, "use_transposed_weights": True}}, extern_data=STREAMS)
    assert network.param_shapes()["output/W"] == (2, 3)

    def formula(p: Any, data: Array) -> list[Array]:
        y = data @ p["output/W"].T + p["output/b"]
        return [x[:n] for x, n in zip(y, LENGTHS, strict=True)]

    check(network, {"data": dense(LENGTHS, 3)}, formula)


def test_safe_log_has_the_gradient_of_log_below_its_limit() -> None:
    import tensorflow as tf

    from returnn_lite.layers.activations import activation

    x = tf.constant([1e-30, 0.5])
    with tf.GradientTape() as tape:
        tape.watch(x)
        y = activation("safe_log", {"eps": 1e-3})(x)
    np.testing.assert_allclose(y, np.log([1e-3, 0.5]), rtol=1e-6)
    np.testing.assert_allclose(tape.gradient(y, x), [1e3, 2.0], rtol=1e-5)


def test_safe_exp_is_finite_and_has_the_gradient_of_its_ends() -> None:
    import tensorflow as tf

    from returnn_lite.layers.activations import activation

    x = tf.constant([-1e3, 0.5, 1e3])
    with tf.GradientTape() as tape:
        tape.watch(x)
        y = activation("safe_exp", {"eps": 1e-3})(x)
    np.testing.assert_allclose(y, [1e-3, np.exp(0.5), 1e3], rtol=1e-5)
    np.testing.assert_allclose(tape.gradient(y, x), y, rtol=1e-5)


@pytest.mark.parametrize(("name", "needed"), [("softmax", -100.0), ("exp", -100.0)])
def test_safe_log_of_what_a_graph_has_just_made_is_exact(name: str, needed: float) -> None:
    net = {
        "far": {"class": "eval", "from": "data"},
        "p": {"class": "activation", "activation": name, "from": "far"},
        "output": {"class": "activation", "activation": "safe_log", "from": "p"},
    }
    net["far"]["eval"] = "0.0 * source(0) + tf.constant([-100.0, 0.0, -1000.0])"
    network = Network(net, extern_data=STREAMS)
    out = network.run({"data": dense(LENGTHS, 3)})["output"].values[0, 0]
    np.testing.assert_allclose(out, [needed, 0.0, 10 * needed], rtol=1e-6)


@pytest.mark.parametrize(
    ("layer", "text"),
    [
        ({"activation": "sigmod"}, r"unknown activation 'sigmod'; did you mean 'sigmoid'\?"),
        ({"activation": "2 * sigmod"}, r"unknown activation 'sigmod'; did you mean 'sigmoid'\?"),
        ({"activation": "2 *"}, r"unknown activation '2 \*'"),
        ({"activation": "f(1)"}, r"found 'f' in activation 'f\(1\)', needed tf and x alone"),
        ({"activation": "2 % relu"}, r"found '2 % relu' in .*, needed names, numbers and"),
        (
            {"activation": "safe_log", "opts": {"epsilon": 1}},
            r"unknown option 'epsilon' of the activation 'safe_log'",
        ),
        ({"activation": "2 * relu", "opts": {"a": 1}}, r"found opts of the expression '2 \* relu'"),
        ({"activation": None, "n_out": 2}, r"found n_out 2, needed that of \[B,"),
    ],
)
def test_mistakes_in_activations(layer: dict[str, Any], text: str) -> None:
    net = {"output": {"class": "activation", "from": "data", **layer}}
    with pytest.raises(NetworkError, match=r"output \(activation\): " + text):
        Network(net, extern_data=STREAMS)


# -- dropout


def dropped(network: Network, step: int) -> Array:
    x = np.ones((4, 50, 3), np.float32)
    return run(network, {"data": (x, [50] * 4)}, train=True, step=step)["output"].values


def test_dropout_keeps_the_mean_and_depends_on_seed_step_and_place() -> None:
    each = {"dropout_noise_shape": {"*": None}}
    net = {"output": {"class": "dropout", "dropout": 0.4, "from": "data", **each}}
    network = Network(net, extern_data=STREAMS)
    x = dropped(network, step=1)
    assert set(np.unique(x)) == {0.0, np.float32(1 / 0.6)}
    assert np.mean(x == 0) == pytest.approx(0.4, abs=0.06)
    np.testing.assert_array_equal(x, dropped(Network(net, extern_data=STREAMS), step=1))
    other = {"class": "copy", "from": "other"}
    moved = Network({"other": net["output"], "output": other}, extern_data=STREAMS)
    for y in (
        dropped(network, step=2),
        dropped(Network(net, extern_data=STREAMS, seed=2), step=1),
        dropped(moved, step=1),
    ):
        assert 0.3 < np.mean(x != y) < 0.65


def test_dropout_is_only_in_training() -> None:
    net = {"output": {"class": "linear", "n_out": 2, "dropout": 0.5, "from": "data"}}
    network = Network(net, extern_data=STREAMS)
    random_parameters(network)
    batch = {"data": dense(LENGTHS, 3)}
    plain = run(network, batch)["output"].values
    np.testing.assert_array_equal(plain, run(network, batch, train=False)["output"].values)
    assert np.abs(plain - run(network, batch, train=True)["output"].values).max() > 0.1


def test_a_softmax_needs_features() -> None:
    net = {
        "mean": {"class": "reduce", "mode": "mean", "axis": "F", "from": "data"},
        "output": {"class": "activation", "activation": "log_softmax", "from": "mean"},
    }
    text = r"found activation 'log_softmax' of .*, needed a feature dim; try softmax_over_spatial"
    with pytest.raises(NetworkError, match=text):
        Network(net, extern_data=STREAMS).run({"data": dense(LENGTHS, 3)})
