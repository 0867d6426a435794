"""What the operands of the matrix products are rounded to; everything else is float32."""

from __future__ import annotations

from typing import Any, Literal, get_args

import numpy as np

from cupy_kernels import check

Precision = Literal["float32", "bfloat16"]


def check_precision(where: str, precision: str) -> None:
    """Check the name of a precision."""
    if precision not in get_args(Precision):
        check.fail(where, "precision", repr(precision), "'float32' or 'bfloat16'")


def operand(x: Any, precision: Precision) -> Any:
    """Return x, or for bfloat16 the nearest numbers that it has, of two the even one, in float32.

    x: float32 or float64, numpy or cupy.
    """
    if precision == "float32":
        return x
    single = x.astype(np.float32)
    bits = single.view(np.uint32)
    rounded = (bits + ((bits >> 16 & 1) + 0x7FFF)) & 0xFFFF0000
    return np.where(np.isnan(single), single, rounded.view(np.float32))
