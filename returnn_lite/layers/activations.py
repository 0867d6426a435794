"""Activation functions by name."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from returnn_lite.errors import NetworkError, nearest
from returnn_lite.lazy import tf

_FUNCTIONS: dict[str, Callable[[Any], Any]] = {
    "identity": lambda x: x,
    "linear": lambda x: x,
    "relu": lambda x: tf.nn.relu(x),
    "tanh": lambda x: tf.tanh(x),
    "sigmoid": lambda x: tf.sigmoid(x),
    "log_sigmoid": lambda x: tf.math.log_sigmoid(x),
    "exp": lambda x: tf.exp(x),
    "log": lambda x: tf.math.log(x),
    "safe_log": lambda x: safe_log(x),
    "softmax": lambda x: tf.nn.softmax(x),
    "log_softmax": lambda x: tf.nn.log_softmax(x),
    "swish": lambda x: tf.nn.silu(x),
    "gelu": lambda x: tf.nn.gelu(x),
    "elu": lambda x: tf.nn.elu(x),
    "sqrt": lambda x: tf.sqrt(x),
}

OVER_FEATURES = ("softmax", "log_softmax")


def safe_log(x: Any) -> Any:
    """Return log(x), with the smallest float32 above zero in place of smaller values."""
    return tf.math.log(tf.maximum(x, 1.1754944e-38))


def activation(name: str | None) -> Callable[[Any], Any]:
    """Return the function of a name; None is the identity. Raises NetworkError."""
    if name is None:
        return _FUNCTIONS["identity"]
    if name not in _FUNCTIONS:
        raise NetworkError(f"unknown activation {name!r}{nearest(name, _FUNCTIONS)}")
    return _FUNCTIONS[name]
