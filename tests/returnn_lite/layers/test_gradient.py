"""Layers that change the gradient alone."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from eager import Array, weighted_gradients
from shapes import LENGTHS, batch, fails, network, same, sequences

LAYER: dict[str, Any] = {"class": "scaled_grad", "from": "data"}


def gradients(**options: Any) -> tuple[list[Array], list[Array], list[Array]]:
    """Return output, weights and gradients of the sum of the output with these, by sequence."""
    net = network({**LAYER, **options})
    weights = np.random.default_rng(0).standard_normal((3, 4, 4)).astype(np.float32)
    values, _, data = weighted_gradients(net, batch(), "output", weights)
    parts = [[x[:n] for x, n in zip(a, LENGTHS, strict=True)] for a in (values, weights, data)]
    return parts[0], parts[1], parts[2]


@pytest.mark.parametrize("scale", [0, 0.3, -1.0])
def test_scale(scale: float) -> None:
    values, g, found = gradients(scale=scale)
    same(values, sequences())
    same(found, [scale * x for x in g])


def test_shift_and_bound() -> None:
    options = {"scale_shift_by_sum_over_axis": "T", "clip_max_axis": "F"}
    _, g, found = gradients(scale=2.0, shift=0.1, **options)
    needed = [2.0 * x + 0.1 * abs(x).sum(axis=0) for x in g]
    bounds = [abs(x).max(axis=1, keepdims=True) for x in g]
    same(found, [np.clip(x, -b, b) for x, b in zip(needed, bounds, strict=True)])


def test_scale_by_a_layer() -> None:
    _, g, found = gradients(scale="data")
    same(found, [x * w for x, w in zip(sequences(), g, strict=True)])


def test_linear_filters_gradients_of_whole_sequences() -> None:
    layer = {"class": "linear", "activation": "tanh", "n_out": 4, "from": "data"}
    options: dict[str, Any] = {"forward_weights_init": "glorot_uniform"}
    found = {}
    for bound in (None, 0.0, 1e9, 0.9):
        net = network({**layer, **options, "grad_filter": bound})
        net.set_params({"output/W": np.eye(4, dtype=np.float32), "output/b": np.zeros(4, "f")})
        weights = np.zeros((3, 4, 4), np.float32)
        weights[0], weights[1, 0, 0], weights[2] = 0.5, 2.0, 0.7
        values, _, found[bound] = weighted_gradients(net, batch(), "output", weights)
        grows = weights * (1.0 - values**2)
    most = [(grows[i, :n] ** 2).max() for i, n in enumerate(LENGTHS)]
    kept = np.array([m < 0.9 for m in most])
    assert kept.any() and not kept.all()
    np.testing.assert_array_equal(found[0.0], found[None])
    np.testing.assert_array_equal(found[1e9], found[None])
    np.testing.assert_array_equal(found[0.9], found[None] * kept[:, None, None])


def test_mistakes() -> None:
    fails({**LAYER, "scale": "heads"}, "found scale .*, needed dims of the input alone")
    fails({**LAYER, "scale": 1.0, "clip_max_axis": "B"}, "found axis 'B' .* needed one of the seq")
