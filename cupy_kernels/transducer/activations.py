"""The activations that a joint network may have, in float64: what tests compare with."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

Function = Callable[[Any], Any]

_SELU, _SELU_ALPHA = 1.0507009873554805, 1.6732632423543772


class Pointwise(NamedTuple):
    """A function of the sum of encoder and predictor, and its derivative."""

    value: Function
    slope: Function


def _sigmoid(z: Any) -> Any:
    return 0.5 * (1 + np.tanh(z / 2))


def _normal_share(z: Any) -> Any:
    """Of a standard normal distribution, what is below z."""
    return 0.5 * (1 + np.vectorize(math.erf, otypes=[np.float64])(z / math.sqrt(2)))


def _gelu_slope(z: Any) -> Any:
    return _normal_share(z) + z * np.exp(-z * z / 2) / math.sqrt(2 * math.pi)


def _gelu_inner(z: Any) -> Any:
    return np.tanh(math.sqrt(2 / math.pi) * (z + 0.044715 * z**3))


def _gelu_tanh_slope(z: Any) -> Any:
    t, inner = _gelu_inner(z), math.sqrt(2 / math.pi) * (1 + 3 * 0.044715 * z * z)
    return 0.5 * (1 + t) + 0.5 * z * (1 - t * t) * inner


def _above(z: Any, slope: float) -> Any:
    """1 above zero, a slope below."""
    return np.where(z > 0, 1.0, slope)


def _selu_slope(z: Any) -> Any:
    return _SELU * np.where(z > 0, 1, _SELU_ALPHA * np.exp(np.minimum(z, 0)))


def _elu(z: Any) -> Any:
    return np.where(z > 0, z, np.expm1(np.minimum(z, 0)))


POINTWISE = {
    "tanh": Pointwise(np.tanh, lambda z: 1 - np.tanh(z) ** 2),
    "relu": Pointwise(lambda z: np.maximum(z, 0), lambda z: _above(z, 0.0)),
    "linear": Pointwise(lambda z: z, np.ones_like),
    "sigmoid": Pointwise(_sigmoid, lambda z: _sigmoid(z) * _sigmoid(-z)),
    "silu": Pointwise(lambda z: z * _sigmoid(z), lambda z: _sigmoid(z) * (1 + z * _sigmoid(-z))),
    "gelu": Pointwise(lambda z: z * _normal_share(z), _gelu_slope),
    "gelu_tanh": Pointwise(lambda z: 0.5 * z * (1 + _gelu_inner(z)), _gelu_tanh_slope),
    "elu": Pointwise(_elu, lambda z: np.exp(np.minimum(z, 0))),
    "selu": Pointwise(lambda z: _SELU * np.where(z > 0, z, _SELU_ALPHA * _elu(z)), _selu_slope),
    "leaky_relu": Pointwise(lambda z: z * _above(z, 0.2), lambda z: _above(z, 0.2)),
    "relu6": Pointwise(lambda z: np.clip(z, 0, 6), lambda z: 1.0 * ((z > 0) & (z < 6))),
    "softplus": Pointwise(lambda z: np.logaddexp(0, z), _sigmoid),
    "softsign": Pointwise(lambda z: z / (1 + abs(z)), lambda z: (1 + abs(z)) ** -2.0),
    "log_sigmoid": Pointwise(lambda z: -np.logaddexp(0, -z), lambda z: _sigmoid(-z)),
}
ACTIVATIONS = (*POINTWISE, "maxout")  # as activation.h counts them
