"""Normalisation: against numpy over ragged lengths, and the running values of training."""

from __future__ import annotations

from typing import Any
from unittest.mock import Mock

import numpy as np
import pytest
from eager import Array, dense, frame_of, run
from reference import check, sigmoid

from returnn_lite import native
from returnn_lite.errors import NetworkError
from returnn_lite.network import Network

LENGTHS = [4, 2]
STREAMS = {"data": {"dim": 4}}


def make(layer: dict[str, Any]) -> Network:
    return Network({"output": {"from": "data", **layer}}, extern_data=STREAMS)


def test_layer_norm_is_its_formula() -> None:
    def formula(p: Any, data: Array) -> list[Array]:
        centred = data - data.mean(axis=-1, keepdims=True)
        scale = np.sqrt(np.mean(centred**2, axis=-1, keepdims=True) + 1e-6)
        y = centred / scale * p["output/scale"] + p["output/bias"]
        return [x[:n] for x, n in zip(y, LENGTHS, strict=True)]

    check(make({"class": "layer_norm"}), {"data": dense(LENGTHS, 4)}, formula)


@pytest.mark.parametrize("scale", [True, False])
def test_norm_over_time_is_its_formula_without_padding(*, scale: bool) -> None:
    def formula(p: Any, data: Array) -> list[Array]:
        found = []
        for x, n in zip(data, LENGTHS, strict=True):
            y = x[:n] - x[:n].mean(axis=0)
            y /= np.sqrt(x[:n].var(axis=0) + 1e-6)
            found.append(y * p.get("output/scale", 1.0) + p["output/bias"])
        return found

    check(
        make({"class": "norm", "axes": "T", "scale": scale}), {"data": dense(LENGTHS, 4)}, formula
    )


def test_norm_over_time_and_features_with_parameters_of_other_dims() -> None:
    net = {
        "heads": {"class": "split_dims", "axis": "F", "dims": [2, 2], "from": "data"},
        "norm": {"class": "norm", "axis": ["T", "F"], "epsilon": 0.1},
        "output": {
            "class": "merge_dims",
            "axes": ["static:0", "F"],
            "keep_order": True,
            "from": "norm",
        },
    }
    net["norm"] |= {"from": "heads", "param_shape": ["F", "static:0"]}
    network = Network(net, extern_data=STREAMS)
    assert network.param_shapes() == {"norm/scale": (2, 2), "norm/bias": (2, 2)}

    def formula(p: Any, data: Array) -> list[Array]:
        found = []
        for x, n in zip(data, LENGTHS, strict=True):
            y = x[:n].reshape(n, 2, 2)
            y = y - y.mean(axis=(0, 2), keepdims=True)
            y /= np.sqrt(np.mean(y**2, axis=(0, 2), keepdims=True) + 0.1)
            found.append((y * p["norm/scale"].T + p["norm/bias"].T).reshape(n, 4))
        return found

    check(network, {"data": dense(LENGTHS, 4)}, formula)


@pytest.mark.parametrize(
    ("opts", "text"),
    [
        ({}, r"output \(norm\): found both or none of axes and axis, needed one"),
        ({"axis": "F", "axes": "T"}, r"found both or none of axes and axis, needed one"),
        ({"axes": "T", "param_shape": "T"}, r"found param_shape .*, needed dims of fixed size"),
        ({"axes": None, "axis": []}, r"needed floats with axes to normalise over"),
    ],
)
def test_wrong_axes_of_norm(opts: dict[str, Any], text: str) -> None:
    with pytest.raises(NetworkError, match=text):
        make({"class": "norm", **opts})


def test_gating_is_its_formula() -> None:
    def formula(p: Any, data: Array) -> list[Array]:
        y = np.tanh(data[..., :2]) * sigmoid(data[..., 2:])
        return [x[:n] for x, n in zip(y, LENGTHS, strict=True)]

    check(make({"class": "gating", "activation": "tanh"}), {"data": dense(LENGTHS, 4)}, formula)


@pytest.mark.parametrize("name", [None, "identity", "linear", "none"])
def test_gated_linear_unit(name: str | None, monkeypatch: pytest.MonkeyPatch) -> None:
    operation = Mock(wraps=native.glu)
    monkeypatch.setattr(native, "glu", operation)

    def formula(p: Any, data: Array) -> list[Array]:
        y = data[..., :2] * sigmoid(data[..., 2:])
        return [x[:n] for x, n in zip(y, LENGTHS, strict=True)]

    check(make({"class": "gating", "activation": name}), {"data": dense(LENGTHS, 4)}, formula)
    assert operation.called


def test_gating_of_two_sources() -> None:
    net = {
        "a": {"class": "eval", "eval": "2.0 * source(0)", "from": "data"},
        "output": {"class": "gating", "activation": None, "gate_activation": "relu"},
    }
    net["output"]["from"] = ["data", "a"]
    x = dense([3], 4)[0]
    found = run(Network(net, extern_data=STREAMS), {"data": (x, [3])})["output"].values
    np.testing.assert_allclose(found, x * np.maximum(2 * x, 0), rtol=1e-6)


def frames(x: Array) -> Array:
    return np.concatenate([row[:n] for row, n in zip(x, LENGTHS, strict=True)]).astype(np.float64)


def test_batch_norm_in_training_is_its_formula_without_padding() -> None:
    net = {
        "shifted": {"class": "eval", "eval": "source(0) + 3.0", "from": "data"},
        "output": {"class": "batch_norm", "from": "shifted", "param_version": 2},
    }
    network = Network(net, extern_data=STREAMS, train=True)

    def formula(p: Any, data: Array) -> list[Array]:
        x = data + 3.0
        mean, variance = frames(x).mean(axis=0), frames(x).var(axis=0)
        y = (x - mean) / np.sqrt(variance + 1e-3)
        y = y * p["output/batch_norm/v2_gamma"] + p["output/batch_norm/v2_beta"]
        return [x[:n] for x, n in zip(y, LENGTHS, strict=True)]

    check(network, {"data": dense(LENGTHS, 4)}, formula)


@pytest.mark.parametrize("version", [0, 2])
@pytest.mark.parametrize("affine", [True, False])
def test_with_padding_it_is_the_formula_over_all_frames(*, version: int, affine: bool) -> None:
    options = {"param_version": version, "masked_time": False, "momentum": 0.25}
    options |= {"use_std": affine, "use_shift": affine}
    network = make({"class": "batch_norm", **options})
    rng = np.random.default_rng(1)
    params = {n: rng.uniform(0.5, 2.0, s) for n, s in network.param_shapes().items()}
    network.set_params(params)
    data = dense(LENGTHS, 4)
    frame = frame_of(network, {"data": data}, train=True)
    found = frame.value(network.scope.get("output")).tensor.numpy()
    padded = [np.pad(x[:n], [[0, 4 - n], [0, 0]]) for x, n in zip(*data, strict=True)]
    x = np.concatenate(padded).astype(np.float64)
    needed = (x - x.mean(axis=0)) / np.sqrt(x.var(axis=0) + 1e-3)
    given = {n.rsplit("_", 1)[-1]: v.reshape(-1) for n, v in params.items()}
    if affine:
        needed = needed * given["gamma"] + given["beta"]
    np.testing.assert_allclose(found.reshape(-1, 4), needed, rtol=1e-4, atol=1e-5)
    unbiased = version == 2 and affine
    own = {"mean": x.mean(axis=0), "variance": x.var(axis=0, ddof=int(unbiased))}
    assert len(frame.run.updates) == 2
    for name, value in frame.run.updates.items():
        short = name.rsplit("_", 1)[-1]
        new = given[short] + 0.25 * (own[short] - given[short])
        np.testing.assert_allclose(value.numpy().reshape(-1), new, rtol=1e-5)


TRANSPOSED = {"class": "transpose", "perm": {"B": "T", "T": "B"}, "from": "data"}


@pytest.mark.parametrize(
    ("options", "needed"),
    [
        ({}, [(LENGTHS, 1)]),
        ({"masked_time": False}, [(None, 1)]),
        ({"use_sample": 0.5}, []),
        ({"from": "transposed"}, [(LENGTHS, 0)]),
    ],
)
def test_moments_of_this_batch_alone_are_of_one_operation(
    monkeypatch: pytest.MonkeyPatch, options: dict[str, Any], needed: list[Any]
) -> None:
    found, own = [], native.batch_norm

    def batch_norm(*args: Any) -> Any:
        lengths, axis = args[4:]
        found.append((lengths if lengths is None else lengths.numpy().tolist(), axis))
        return own(*args)

    monkeypatch.setattr(native, "batch_norm", batch_norm)
    net = {"transposed": TRANSPOSED, "output": {"class": "batch_norm", "from": "data", **options}}
    network = Network(net, extern_data=STREAMS)
    for train in (True, False):
        frame = frame_of(network, {"data": dense(LENGTHS, 4)}, train=train)
        frame.value(network.scope.get("output"))
        assert found == needed


@pytest.mark.parametrize("option", [{"use_sample": 0.5}, {"update_sample_only_in_training": True}])
def test_running_values_are_one_pass(
    monkeypatch: pytest.MonkeyPatch, option: dict[str, Any]
) -> None:
    passes, own = [], native.scale_shift
    monkeypatch.setattr(native, "scale_shift", lambda *a: passes.append(1) or own(*a))
    network = make({"class": "batch_norm", **option})
    frame = frame_of(network, {"data": dense(LENGTHS, 4)}, train="use_sample" in option)
    frame.value(network.scope.get("output"))
    assert passes == [1]


RUNNING = {"mean": 0.5, "variance": 2.0}


@pytest.mark.parametrize("train", [True, False])
@pytest.mark.parametrize("delayed", [True, False])
@pytest.mark.parametrize("only", [True, False])
def test_running_values(*, train: bool, delayed: bool, only: bool) -> None:
    layer = {
        "class": "batch_norm",
        "param_version": 1,
        "momentum": 0.25,
        "use_std": False,
        "use_shift": False,
        "delay_sample_update": delayed,
        "update_sample_only_in_training": only,
        "epsilon": 0.1,
    }
    network = make(layer)
    name = "output/batch_norm/{}".format
    assert network.param_shapes() == {name(n): (1, 1, 4) for n in RUNNING}
    assert not any(v.trainable for v in network.variables.values())
    network.set_params({name(n): np.full((1, 1, 4), v) for n, v in RUNNING.items()})
    data = dense(LENGTHS, 4)
    frame = frame_of(network, {"data": data}, train=train)
    found = frame.value(network.scope.get("output")).tensor.numpy()
    own = {"mean": frames(data[0]).mean(axis=0), "variance": frames(data[0]).var(axis=0)}
    new = {n: v + 0.25 * (own[n] - v) for n, v in RUNNING.items()}
    updates = train or not only
    for n in RUNNING if updates else []:
        np.testing.assert_allclose(frame.run.updates[name(n)].numpy()[0, 0], new[n], rtol=1e-5)
    assert len(frame.run.updates) == (2 if updates else 0)
    used = own if train else new if updates and not delayed else RUNNING
    x = frames(data[0])
    needed = (x - used["mean"]) / np.sqrt(used["variance"] + 0.1)
    np.testing.assert_allclose(frames(found), needed, rtol=1e-4, atol=1e-6)


def test_names_of_the_versions() -> None:
    layer = {"class": "batch_norm"}
    names = [list(make({**layer, "param_version": v}).param_shapes()) for v in range(3)]
    assert [n[-1] for n in names] == [
        "output/batch_norm/output_output_output_variance",
        "output/batch_norm/variance",
        "output/batch_norm/v2_variance",
    ]


def test_batch_norm_as_an_option_of_a_layer() -> None:
    layer = {"class": "activation", "activation": "relu"}
    network = make({**layer, "batch_norm": {"param_version": 2, "masked_time": True}})
    other = {"class": "batch_norm", "param_version": 2, "from": "relu"}
    net = {"relu": {**layer, "from": "data"}, "output": other}
    batch = {"data": dense(LENGTHS, 4)}
    found = run(network, batch, train=True)["output"].canonical()
    needed = run(Network(net, extern_data=STREAMS), batch, train=True)["output"].canonical()
    np.testing.assert_allclose(found, needed, rtol=1e-5)


def test_a_running_mean_of_probabilities() -> None:
    network = make({"class": "accumulate_mean", "exp_average": 0.1, "is_prob_distribution": True})
    data = dense(LENGTHS, 4)
    frame = frame_of(network, {"data": data}, train=True)
    np.testing.assert_allclose(frame.value(network.scope.get("output")).tensor, [0.25] * 4)
    needed = 0.25 + 0.1 * (frames(data[0]).mean(axis=0) - 0.25)
    np.testing.assert_allclose(frame.run.updates["output/mean_1"], needed, rtol=1e-5)


@pytest.mark.parametrize(
    ("layer", "text"),
    [
        ({"class": "gating", "activation": None, "n_out": 3}, "found n_out 3, needed half of"),
        ({"class": "layer_norm", "from": "n"}, r"found source \[B\], int32, needed a feature dim"),
        ({"class": "batch_norm", "from": "n"}, r"found \[B\], int32, needed a feature dim"),
        (
            {"class": "batch_norm", "axes": ["f", "t"]},
            r"found axes \['f', 't'\] of .*, needed the fea",
        ),
        ({"class": "accumulate_mean", "exp_average": 0.1, "axes": "t"}, "found axes 't' of"),
        (
            {"class": "copy", "batch_norm": {"momentun": 0.1}},
            "batch_norm: unknown option 'momentun'; did you mean 'momentum'?",
        ),
        (
            {"class": "rec", "unit": {"output": {"class": "batch_norm", "from": "data:source"}}},
            "found batch_norm in the unit of a rec layer",
        ),
    ],
)
def test_mistakes(layer: dict[str, Any], text: str) -> None:
    net = {"n": {"class": "length", "from": "data"}, "output": {"from": "data", **layer}}
    with pytest.raises(NetworkError, match=text):
        Network(net, extern_data=STREAMS)
