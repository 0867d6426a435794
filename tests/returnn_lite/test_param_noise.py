"""Noise on parameters in training: dropout, and variational noise."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from eager import Array, dense, frame_of, random_parameters, run

from returnn_lite.errors import NetworkError
from returnn_lite.network import Network

VARIABLE = {"class": "variable", "shape": (30, 40)}
BATCH = {"data": dense([3, 2], 4)}


def network(net: dict[str, Any], *, train: bool = True, **config: Any) -> Network:
    streams = {"data": {"dim": 4}}
    return Network(net, extern_data=streams, train=train, config=config, outputs=list(net))


def outputs(net: dict[str, Any], *, train: bool = True, **config: Any) -> dict[str, Array]:
    """Return the outputs of all layers, and the parameters."""
    built = network(net, train=train, **config)
    params = random_parameters(built)
    return {n: o.values for n, o in run(built, BATCH).items()} | params


def others(found: Array, exact: Array) -> Array:
    """Return the entries that are not what dropout of a quarter leaves."""
    return found[(found != 0.0) & ~np.isclose(found, exact / 0.75)]


@pytest.mark.parametrize("where", ["layer", "config"])
def test_dropout_of_parameters_in_training_alone(where: str) -> None:
    noise: dict[str, Any] = {"param_dropout": 0.25, "param_dropout_min_ndim": 2}
    own, config = (noise, {}) if where == "layer" else ({}, noise)
    net = {"output": {**VARIABLE, **own}, "b": {"class": "variable", "shape": (40,), **own}}
    found = outputs(net, **config)
    assert others(found["output"], found["output/output"]).size == 0
    assert 0.65 < (found["output"] != 0.0).mean() < 0.85
    np.testing.assert_array_equal(found["b"], found["b/b"])
    found = outputs(net, train=False, **config)
    np.testing.assert_array_equal(found["output"], found["output/output"])


def test_variational_noise_is_added_in_training() -> None:
    found = outputs({"output": {**VARIABLE, "param_variational_noise": 0.1}})
    noise = found["output"] - found["output/output"]
    assert abs(noise.std() - 0.1) < 0.01
    assert abs(noise.mean()) < 0.01


def test_a_layer_that_reuses_parameters_has_the_noise_of_its_own_options() -> None:
    reused = {**VARIABLE, "param_name": "a", "reuse_params": "a"}
    net = {
        "a": {**VARIABLE, "param_dropout": 0.25},
        "b": {**reused, "param_dropout": 0.25},
        "output": reused,
    }
    found = outputs(net)
    np.testing.assert_array_equal(found["output"], found["a/a"])
    assert not others(found["a"], found["a/a"]).size
    assert not others(found["b"], found["a/a"]).size
    assert (found["a"] != found["b"]).any()


def test_what_training_changes_otherwise_has_no_noise() -> None:
    net = {"output": {"class": "batch_norm", "masked_time": True, "from": "data"}}
    found: list[dict[str, Any]] = []
    for share in (0.0, 0.5):
        built = network(net, param_dropout=share)
        random_parameters(built)
        frame = frame_of(built, BATCH)
        frame.value(built.outputs[0])
        found.append(frame.run.updates)
    assert len(found[0]) == 2
    for name, value in found[0].items():
        np.testing.assert_array_equal(value, found[1][name])


def test_in_a_loop_the_noise_is_that_of_all_steps() -> None:
    unit = {
        "w": {"class": "variable", "shape": (4,), "param_variational_noise": 1.0},
        "output": {"class": "combine", "kind": "sub", "from": ["data:source", "w"]},
    }
    found = []
    for out in (True, False):
        net = {"output": {"class": "rec", "from": "data", "unit": unit}}
        net["output"]["optimize_move_layers_out"] = out
        found.append(outputs(net)["output"])
    np.testing.assert_allclose(found[0], found[1], rtol=1e-5)


@pytest.mark.parametrize(
    ("own", "config", "text"),
    [
        ({"param_dropout": 1.0}, {}, "param_dropout 1.0, needed a number from 0 on, below 1"),
        ({"param_dropout_min_ndim": -1}, {}, "needed a whole number from 0 on$"),
        ({}, {"param_variational_noise": "x"}, "^config: found param_variational_noise 'x'"),
    ],
)
def test_mistakes(own: dict[str, Any], config: dict[str, Any], text: str) -> None:
    with pytest.raises(NetworkError, match=text):
        network({"output": {**VARIABLE, **own}}, **config)
