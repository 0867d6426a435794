"""Which expressions of a config take the entries of tensors one by one."""

from __future__ import annotations

import ast
from collections.abc import Container

_NAMES = ("source", "safe_log", "where_bc", "log_sigmoid", "sigmoid", "tanh", "relu")
_OF_TF = (
    *("abs", "cast", "clip_by_value", "equal", "exp", "greater", "greater_equal", "identity"),
    *("less", "less_equal", "log", "logical_not", "maximum", "minimum", "negative", "not_equal"),
    *("ones_like", "pow", "sigmoid", "sqrt", "square", "stop_gradient", "tanh", "to_float"),
    *("to_int32", "where", "zeros_like", "nn.elu", "nn.gelu", "nn.relu", "nn.sigmoid", "nn.silu"),
    *("nn.swish", "nn.tanh", "math.abs", "math.exp", "math.log", "math.sigmoid", "math.sqrt"),
    *("math.square", "math.tanh"),
)
_KNOWN = {*_NAMES, *(f"tf.{name}" for name in _OF_TF)}


def entry_by_entry(expression: str, others: Container[str] = ()) -> bool:
    """Return whether all that an expression does is known to take entries one by one.

    others: names that mean something else than usual in it.
    """
    for node in ast.walk(ast.parse(expression.strip(), mode="eval")):
        if isinstance(node, ast.Subscript | ast.Lambda | ast.comprehension | ast.MatMult):
            return False
        if isinstance(node, ast.Call):
            name = ast.unparse(node.func)
            if name not in _KNOWN or name in others:
                return False
    return True
