"""Pooling: a network gives the same with the kernel and with TensorFlow's own operations."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import tensorflow as tf
from both_forms import NEEDS_COMPILER

from cupy_kernels.backend import host
from returnn_lite import Network, native
from returnn_lite.native import pooling

LENGTHS = np.array([9, 4, 1], np.int32)
STREAMS = {"data": {"dim": 5}, "other": {"dim": 5}}
# Over the frames; over frames and 4 columns; over the frames of both streams.
OPTIONS: dict[str, dict[str, Any]] = {
    "apart": {"pool_size": [2]},
    "same": {"pool_size": [2], "padding": "same"},
    "around the middle": {"pool_size": [3], "padding": "same"},
    "same_static": {"pool_size": [4], "strides": 3, "padding": "same_static"},
    "overlapping": {"pool_size": [3], "strides": 1, "padding": "same"},
    "by a number": {"pool_size": [3], "strides": 2, "padding": 2},
    "windows of no frame": {"pool_size": [2], "padding": 4},
    "dilated": {"pool_size": [2], "strides": 2, "dilation_rate": 3, "padding": "same"},
    "far from each other": {"pool_size": [1], "strides": 3},
    "larger than a sequence": {"pool_size": [6]},
    "columns": {"pool_size": [1, 2]},
    "squares": {"pool_size": [2, 2], "padding": "same"},
    "squares around": {"pool_size": [3, 2], "padding": "same", "strides": 1},
    "squares by numbers": {"pool_size": [2, 3], "padding": [0, 1], "dilation_rate": [1, 2]},
    "columns before frames": {"pool_size": [2, 3], "in_spatial_dims": ["dim:4", "T"]},
    "of each column": {"pool_size": [2], "in_spatial_dims": ["T"]},
    "of both streams": {"pool_size": [2, 3], "padding": "same", "from": "both"},
}
BY_TENSORFLOW = ("columns before frames", "of both streams")


def _net(name: str, mode: str) -> dict[str, Any]:
    options = OPTIONS[name]
    columns = len(options["pool_size"]) == 2 or "in_spatial_dims" in options
    linear = {"class": "linear", "activation": None, "n_out": 12, "from": "data"}
    split = {"class": "split_dims", "axis": "F", "dims": (4, 3), "from": "linear"}
    both = {"class": "combine", "kind": "add", "from": ["linear", "data:other"]}
    layers = {"linear": linear}
    if "from" in options:
        linear["n_out"] = 5
        layers["both"] = {**both, "allow_broadcast_all_sources": True}
    elif columns:
        layers["split"] = split
    source = "split" if columns else "linear"
    pool = {"class": "pool", "mode": mode, "from": source, **options}
    # A number without a pattern for each, so that gradients of all of them are seen.
    sine = {"class": "eval", "eval": "tf.sin(17.0 * source(0)) * source(0)", "from": "pool"}
    return {**layers, "pool": pool, "output": {**sine, "loss": "as_is"}}


def _run(name: str, mode: str) -> list[Any]:
    rng = np.random.default_rng(1)
    data: dict[str, Any] = {"data": (rng.standard_normal((3, 9, 5), np.float32), LENGTHS)}
    if "from" in OPTIONS[name]:
        data["other"] = rng.standard_normal((3, 7, 5), np.float32), np.array([7, 2, 5], np.int32)
    streams = {key: STREAMS[key] for key in data}
    network = Network(_net(name, mode), extern_data=streams, seed=3)
    out = network.run(data, ["pool"], gradients=True)
    assert out.gradients is not None
    return [out["pool"].canonical(), *(out.gradients[n] for n in sorted(out.gradients))]


@pytest.mark.parametrize("mode", ["max", "avg"])
@pytest.mark.parametrize("name", OPTIONS)
def test_both_forms(name: str, mode: str, monkeypatch: pytest.MonkeyPatch) -> None:
    called = []

    def count(*arguments: Any, launch: Any = pooling.launch) -> Any:
        called.append(arguments[1])
        return launch(*arguments)

    monkeypatch.setattr(pooling, "launch", count)
    found = _run(name, mode)
    if host._compiler() is not None:
        passes = ["pool_forward", "pool_gradient_of_rows"]
        assert called == ([] if name in BY_TENSORFLOW else passes)
    with native.tensorflow_only():
        wanted = _run(name, mode)
    for a, b in zip(found, wanted, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-5 * max(np.abs(b).max(), 1e-3))


@NEEDS_COMPILER
def test_sizes_that_a_graph_does_not_know() -> None:
    of = native.Pooling(mode="max", window=(2, 2), strides=(2, 2), dilation=(1, 1))

    @tf.function(input_signature=[tf.TensorSpec([None, None, 4, 3])], autograph=False)
    def compute(x: Any) -> Any:
        assert native.pools(x, of)
        y = native.pool(x, None, [(0, tf.shape(x)[1] // 2), (0, 2)], of)
        assert y.shape.as_list() == [None, None, 2, 3]
        return y, tf.gradients(y, x)[0]

    for batch, height in ((2, 5), (1, 6), (0, 4), (2, 0), (2, 1)):
        x = np.random.default_rng(0).standard_normal((batch, height, 4, 3), np.float32)
        y, dx = compute(x)
        assert y.shape == (batch, height // 2, 2, 3) and dx.shape == x.shape
        np.testing.assert_array_equal(y, tf.nn.max_pool2d(x, 2, 2, "VALID") if y.shape[1] else y)
        assert np.count_nonzero(dx) == y.numpy().size


@NEEDS_COMPILER
def test_lengths_that_are_none() -> None:
    """A network may make any numbers of them: below 0 it is none, above all frames it is these."""
    x = np.random.default_rng(0).standard_normal((2, 5, 6), np.float32)
    of = native.Pooling(mode="mean", window=(2,), strides=(1,), dilation=(1,))
    found, wanted = (
        native.pool(tf.constant(x), tf.constant(lengths), [(0, 5)], of)
        for lengths in ([-2, 9], [0, 5])
    )
    np.testing.assert_array_equal(found, wanted)


def test_what_has_no_kernel() -> None:
    of = native.Pooling(mode="max", window=(1, 2, 3), strides=(1, 1, 1), dilation=(1, 1, 1))
    assert not native.pools(tf.zeros([2, 3, 4, 5, 6]), of)
    of = native.Pooling(mode="max", window=(2,), strides=(1,), dilation=(1,))
    assert not native.pools(tf.zeros([2, 3, 4], tf.float64), of)
    with native.tensorflow_only():
        assert not native.pools(tf.zeros([2, 3, 4]), of)
