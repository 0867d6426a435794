"""Layers of random numbers: their distributions, and that they depend on seed and step alone."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from eager import Array, dense, run

from returnn_lite.dim import BATCH, FeatureDim, SpatialDim
from returnn_lite.errors import NetworkError
from returnn_lite.network import Network

STREAMS = {"data": {"dim": 2}}
BATCHED = {"data": dense([3, 2], 2)}


def drawn(layer: dict[str, Any], *, step: int = 0) -> Array:
    two = {"class": "constant", "value": 2}
    network = Network({"two": two, "output": layer}, extern_data=STREAMS)
    return run(network, BATCHED, step=step)["output"].canonical()


@pytest.mark.parametrize(
    ("opts", "mean", "deviation", "ends"),
    [
        ({"distribution": "uniform", "maxval": 3.0, "minval": 1.0}, 2.0, 1 / 3**0.5, (1, 3)),
        ({"distribution": "uniform", "maxval": "two"}, 1.0, 1 / 3**0.5, (0, 2)),
        ({"distribution": "uniform", "bound": 2.0}, 0.0, 2 / 3**0.5, (-2, 2)),
        ({"distribution": "uniform", "mean": 1.0, "stddev": 0.5}, 1.0, 0.5, (0, 2)),
        ({"distribution": "normal"}, 0.0, 1.0, (-6, 6)),
        ({"distribution": "normal", "mean": 3, "stddev": 2}, 3.0, 2.0, (-9, 15)),
        # Of a normal distribution without what is beyond two standard deviations.
        ({"distribution": "truncated_normal", "stddev": 2.0}, 0.0, 2 * 0.8796, (-4, 4)),
    ],
)
def test_distributions(
    opts: dict[str, Any], mean: float, deviation: float, ends: tuple[float, float]
) -> None:
    x = drawn({"class": "random", "shape": [200, 100], **opts})
    assert x.shape == (200, 100)
    assert x.dtype == np.float32
    assert x.mean() == pytest.approx(mean, abs=0.03 * deviation)
    assert x.std() == pytest.approx(deviation, rel=0.03)
    assert ends[0] <= x.min() < x.max() <= ends[1]


@pytest.mark.parametrize(
    "layer",
    [{"class": "rand_int", "maxval": 3}, {"class": "random", "distribution": "normal"}],
)
def test_a_dim_of_a_layer_that_is_built_later(layer: dict[str, Any]) -> None:
    short = SpatialDim("short")
    half = {"class": "slice", "axis": "T", "slice_step": 2, "from": "data", "out_dim": short}
    for option in ("shape_deps", "from"):
        net = {"output": {**layer, "shape": [BATCH, short], option: ["half"]}, "half": half}
        network = Network(net, extern_data=STREAMS)
        assert run(network, {"data": dense([5, 2], 2)})["output"].values.shape == (2, 3)


def test_the_last_fixed_dim_is_the_features_and_may_be_empty() -> None:
    net = {
        "none": {
            "class": "random",
            "distribution": "normal",
            "shape": [BATCH, FeatureDim("none", 0)],
        },
        "mean": {"class": "reduce", "mode": "mean", "axis": "T", "from": "data"},
        "output": {"class": "copy", "from": ["mean", "none"]},
    }
    network = Network(net, extern_data=STREAMS)
    assert run(network, BATCHED)["output"].values.shape == (2, 2)


def test_whole_numbers_are_as_likely() -> None:
    for layer in (
        {"class": "rand_int", "shape": [BATCH, 5000], "maxval": 3, "minval": -1},
        {
            **{"class": "random", "distribution": "uniform", "shape": [BATCH, 5000]},
            **{"dtype": "int32", "minval": -1, "maxval": 3},
        },
    ):
        x = drawn(layer)
        assert x.shape == (2, 5000)
        assert x.dtype == np.int32
        values, counts = np.unique(x, return_counts=True)
        assert values.tolist() == [-1, 0, 1, 2]
        np.testing.assert_allclose(counts, 2500, rtol=0.1)


def test_one_of_more_numbers_than_a_float_has() -> None:
    x = drawn({"class": "rand_int", "shape": [20000], "maxval": 2**30})
    assert 0 <= x.min() < 2**20 and 2**30 - 2**20 < x.max() < 2**30
    np.testing.assert_allclose(np.mean(x % 2), 0.5, atol=0.02)


def test_a_dim_that_nothing_makes() -> None:
    layer = {"class": "rand_int", "shape": [BATCH, SpatialDim("short")], "maxval": 2}
    needed = "found Dim 'short', which no stream and no layer before makes; try shape_deps"
    with pytest.raises(NetworkError, match=needed):
        drawn(layer)


def test_numbers_depend_on_step_and_seed() -> None:
    layer = {"class": "random", "shape": [3], "distribution": "normal"}
    first = drawn(layer)
    np.testing.assert_array_equal(drawn(layer), first)
    assert not np.any(drawn(layer, step=1) == first)
    assert not np.any(drawn({**layer, "seed": 3}) == first)
    static = drawn({**layer, "static": True})
    np.testing.assert_array_equal(drawn({**layer, "static": True}, step=1), static)


@pytest.mark.parametrize("moved", [True, False])
def test_in_a_loop_every_step_draws_anew(moved: bool) -> None:
    unit = {
        "x": {"class": "random", "shape": [2], "distribution": "normal"},
        "output": {"class": "combine", "kind": "add", "from": ["x", "data:source"]},
    }
    rec = {"class": "rec", "from": "data", "unit": unit, "optimize_move_layers_out": moved}
    network = Network({"output": rec}, extern_data=STREAMS)
    x = run(network, BATCHED, ["output/x"])["output/x"].values
    assert len(np.unique(x)) == 6


@pytest.mark.parametrize(
    ("layer", "text"),
    [
        (
            {"class": "random", "distribution": "uniform", "shape": [2]},
            r"found \[\] for distribution 'uniform', needed maxval and minval, or bound, or",
        ),
        (
            {"class": "random", "distribution": "normal", "shape": [2], "maxval": 1},
            r"found \['maxval'\] for distribution 'normal', needed mean and stddev",
        ),
        ({"class": "random", "distribution": "normal", "shape": [0]}, "found 0 in shape"),
        (
            {"class": "random", "distribution": "normal", "shape": [2], "dtype": "int32"},
            "found dtype 'int32', needed floats",
        ),
        ({"class": "rand_int", "shape": [2], "maxval": 0}, "found minval and maxval"),
        ({"class": "rand_int", "shape": [2], "maxval": "data"}, "found maxval .*, needed one"),
    ],
)
def test_mistakes(layer: dict[str, Any], text: str) -> None:
    with pytest.raises(NetworkError, match=rf"output \({layer['class']}\): {text}"):
        Network({"output": layer}, extern_data=STREAMS)
