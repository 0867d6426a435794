"""Layers against their formula, written in numpy with float64."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np
from eager import Array, random_parameters, weighted_gradients

from returnn_lite.network import Network

Formula = Callable[[Mapping[str, Array], Array], list[Array]]


def sigmoid(x: Array) -> Array:
    return 1.0 / (1.0 + np.exp(-x))


def softmax(x: Array) -> Array:
    e = np.exp(x - x.max(axis=-1, keepdims=True))
    return e / e.sum(axis=-1, keepdims=True)


def gradients(function: Callable[[], float], arrays: Mapping[str, Array]) -> dict[str, Array]:
    """Return the gradients of a function of arrays, by central differences."""
    found = {}
    for name, array in arrays.items():
        gradient = np.zeros_like(array)
        for index in np.ndindex(array.shape):
            value = array[index]
            array[index] = value + 1e-5
            up = function()
            array[index] = value - 1e-5
            gradient[index] = (up - function()) / 2e-5
            array[index] = value
        found[name] = gradient
    return found


def check(
    network: Network,
    batch: Mapping[str, tuple[Array, Sequence[int]]],
    formula: Formula,
    *,
    layer: str = "output",
    seed: int = 0,
) -> None:
    """Assert that values and gradients are those of a formula.

    formula: from parameters and the stream `data` [batch, time, dim], float64, to the output of
    each sequence without padding. The gradients are those of a random weighted sum.
    """
    random_parameters(network, seed=seed)
    params = {k: v.astype(np.float64) for k, v in network.get_params().items()}
    data = batch["data"][0].astype(np.float64)
    needed = formula(params, data)
    shape = np.max([x.shape for x in needed], axis=0)
    weights = np.zeros((len(needed), *shape))
    rng = np.random.default_rng(seed)
    for row, x in zip(weights, needed, strict=True):
        row[tuple(slice(n) for n in x.shape)] = rng.standard_normal(x.shape)

    def total() -> float:
        parts = zip(weights, formula(params, data), strict=True)
        return float(sum(np.sum(w[tuple(slice(n) for n in x.shape)] * x) for w, x in parts))

    values, found, by_data = weighted_gradients(network, batch, layer, weights)
    assert values.shape == weights.shape
    for row, x in zip(values, needed, strict=True):
        np.testing.assert_allclose(
            row[tuple(slice(n) for n in x.shape)], x, rtol=1e-4, atol=1e-5, err_msg="values"
        )
    arrays = {**params, ":data": data}
    for name, gradient in gradients(total, arrays).items():
        other = by_data if name == ":data" else found[name]
        np.testing.assert_allclose(other, gradient, rtol=2e-3, atol=2e-4, err_msg=name)
