"""Activation functions by name, and expressions of them such as `5.0 * sigmoid`."""

from __future__ import annotations

import ast
import math
import operator
from collections.abc import Callable, Mapping
from typing import Any

from returnn_lite import native
from returnn_lite.errors import NetworkError, nearest
from returnn_lite.lazy import tf

Function = Callable[..., Any]

# By name, where TensorFlow has it.
_IN_TENSORFLOW = {
    **{name: f"nn.{name}" for name in ("relu", "relu6", "elu", "selu", "leaky_relu")},
    **{name: f"nn.{name}" for name in ("softmax", "log_softmax", "softplus", "softsign")},
    **{name: f"math.{name}" for name in ("abs", "ceil", "cos", "erf", "exp", "expm1", "floor")},
    **{name: f"math.{name}" for name in ("log", "log1p", "log_sigmoid", "negative", "reciprocal")},
    **{name: f"math.{name}" for name in ("round", "rsqrt", "sigmoid", "sign", "sin", "sqrt")},
    **{name: f"math.{name}" for name in ("square", "tan", "tanh")},
    "neg": "math.negative",
    "stop_gradient": "stop_gradient",
}
_OPTIONS = {
    "safe_exp": ("eps",),
    "safe_log": ("eps", "use_fake_grad"),
    "leaky_relu": ("alpha",),
    "gelu": ("approximate",),
}
_OPERATORS: dict[type, Function] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
}


def safe_log(x: Any, eps: float = 1e-20, use_fake_grad: bool = True) -> Any:
    """Return log(max(x, eps)); use_fake_grad: the gradient is that of log also below eps.

    While a graph is traced, the logarithm of what softmax, sigmoid or exp has just made is computed
    from their input, without the loss of range.
    """
    op = getattr(x, "op", None)
    if op is not None and op.type in _LOG_OF:
        return _LOG_OF[op.type](op.inputs[0])
    largest = tf.maximum(x, tf.cast(eps, x.dtype))
    if use_fake_grad:
        largest = tf.stop_gradient(largest) + (x - tf.stop_gradient(x))
    return tf.math.log(largest)


def safe_exp(x: Any, eps: float = 1e-20) -> Any:
    """Return exp(x) within eps to 1 / eps, with the gradient as if x were at the nearer end."""
    end = -math.log(eps)
    inside = tf.clip_by_value(x, tf.cast(-end, x.dtype), tf.cast(end, x.dtype))
    return tf.math.exp(tf.stop_gradient(inside) + (x - tf.stop_gradient(x)))


_IDENTITY = ("identity", "linear", "none")
_OTHERS: dict[str, Function] = {
    **dict.fromkeys(_IDENTITY, lambda x: x),
    **dict.fromkeys(("silu", "swish"), native.silu),
    "gelu": native.gelu,
    "safe_exp": safe_exp,
    "safe_log": safe_log,
}
_LOG_OF: dict[str, Function] = {
    "Softmax": lambda x: tf.nn.log_softmax(x),
    "Sigmoid": lambda x: tf.math.log_sigmoid(x),
    "Exp": lambda x: x,
}


def activation(name: str | None, opts: Mapping[str, Any] | None = None) -> Callable[[Any], Any]:
    """Return the function of a name, or of an expression of names and numbers with + - * /.

    An expression with brackets is one of x, such as "tf.nn.softmax(x / 0.5)".
    opts: further arguments of a function, such as eps of safe_log. None is the identity. Raises
    NetworkError for a name or an argument that there is not.
    """
    if name is None or name in _IN_TENSORFLOW or name in _OTHERS:
        function = _named(name or "identity")
        known = _OPTIONS.get(name or "", ())
        for key in opts or {}:
            if key not in known:
                raise NetworkError(
                    f"unknown option {key!r} of the activation {name!r}{nearest(key, known)}"
                )
        return lambda x: function(x, **(opts or {}))
    if opts:
        raise NetworkError(f"found opts of the expression {name!r}, needed those of one function")
    try:
        body = ast.parse(name, mode="eval").body
        return _of_x(body, name) if "(" in name else _expression(body, name)
    except SyntaxError:
        raise NetworkError(f"unknown activation {name!r}{nearest(name, activations())}") from None


def is_identity(name: str | None) -> bool:
    """Return whether a name is one of the identity's."""
    return name is None or name in _IDENTITY


def activations() -> list[str]:
    """Return the names of all activation functions."""
    return sorted([*_IN_TENSORFLOW, *_OTHERS])


def _named(name: str) -> Function:
    if name in _OTHERS:
        return _OTHERS[name]
    return lambda x, **opts: operator.attrgetter(_IN_TENSORFLOW[name])(tf)(x, **opts)


def _of_x(body: ast.expr, text: str) -> Function:
    """Return the function of an expression of x."""
    for node in ast.walk(body):
        if isinstance(node, ast.Name) and node.id not in ("tf", "x"):
            raise NetworkError(f"found {node.id!r} in activation {text!r}, needed tf and x alone")
    code = compile(ast.Expression(body), text, "eval")
    return lambda x: eval(code, {"tf": tf, "x": x})  # noqa: S307 - networks are code


def _expression(node: ast.expr, text: str) -> Function:
    """Return the function of an expression's syntax tree."""
    if isinstance(node, ast.Name):
        if node.id not in activations():
            raise NetworkError(f"unknown activation {node.id!r}{nearest(node.id, activations())}")
        return _named(node.id)
    if isinstance(node, ast.Constant) and type(node.value) in (int, float):
        number = node.value
        return lambda x: number
    if isinstance(node, ast.BinOp) and type(node.op) in _OPERATORS:
        combine = _OPERATORS[type(node.op)]
        left, right = _expression(node.left, text), _expression(node.right, text)
        return lambda x: combine(left(x), right(x))
    raise NetworkError(
        f"found {ast.unparse(node)!r} in activation {text!r}, "
        "needed names, numbers and + - * /; try a layer 'eval'"
    )
