"""Checks of the arguments of an operation: a kernel trusts them, so a wrong one must not pass."""

from __future__ import annotations

import sys
from types import ModuleType
from typing import Any

import numpy as np


class ArgumentError(ValueError):
    """An argument of an operation that it cannot work with."""


def fail(where: str, name: str, found: str, needed: str, advice: str = "") -> None:
    """Raise the error in the form that all errors here have."""
    hint = f"; try {advice}" if advice else ""
    raise ArgumentError(f"{where} ({name}): found {found}, needed {needed}{hint}")


def array_module(where: str, **arrays: Any) -> ModuleType:
    """numpy or cupy, whichever all the arrays are of."""
    modules = {name: _module(where, name, value) for name, value in arrays.items()}
    first, xp = next(iter(modules.items()))
    for name, module in modules.items():
        if module is not xp:
            found = f"a {module.__name__} array beside a {xp.__name__} array ({first})"
            fail(where, name, found, "all arrays on the same device")
    return xp


def _module(where: str, name: str, value: Any) -> ModuleType:
    if isinstance(value, np.ma.MaskedArray):
        fail(where, name, "a masked array", "one without a mask", f"{name}.filled(...)")
    if isinstance(value, np.ndarray):
        return np
    cupy = sys.modules.get("cupy")  # not imported: then nothing is an array of it
    if cupy is not None and isinstance(value, cupy.ndarray):
        return cupy
    found, needed = f"a {type(value).__name__}", "a numpy or cupy array"
    fail(where, name, found, needed, f"numpy.asarray({name})")
    raise AssertionError


def array(where: str, name: str, value: Any, dtype: type, **axes: int | None) -> None:
    """Check the dtype, the shape (axis name to size, None for any) and the contiguity."""
    if value.dtype != dtype:
        wanted = np.dtype(dtype).name
        fail(where, name, str(value.dtype), wanted, f"{name}.astype('{wanted}')")
    sizes = tuple(axes.values())
    known = zip(value.shape, sizes, strict=False)
    if value.ndim != len(sizes) or any(size not in (None, found) for found, size in known):
        shape = ", ".join(f"{axis}={size or 'any'}" for axis, size in axes.items())
        fail(where, name, f"shape {tuple(value.shape)}", f"[{shape}]")
    if not value.flags.c_contiguous:
        fail(where, name, "a non-contiguous view", "a contiguous array", f"{name}.copy()")
    if not getattr(value.flags, "aligned", True):  # cupy's arrays are, and do not say so
        fail(where, name, "a view between two elements", "an aligned array", f"{name}.copy()")


def whole(value: Any) -> bool:
    """Whether a value is a whole number, of Python or of numpy; True and False are none."""
    return isinstance(value, int | np.integer) and not isinstance(value, bool)


def integer(where: str, name: str, value: Any) -> None:
    """Check that an option is a whole number, of Python or of numpy."""
    if not whole(value):
        fail(where, name, repr(value), "a whole number")


def lengths(where: str, name: str, value: Any, limit: int, what: str) -> None:
    """Check that all of int32 [batch] are from 0 to `limit`, the size of the axis `what`."""
    value = on_host(value)
    outside(where, name, value, (value < 0) | (value > limit), f"0 to {limit} (the {what})")


def on_host(value: Any) -> Any:
    """A small array as numpy's: on a GPU every operation of a check would be a launch."""
    return value if isinstance(value, np.ndarray) else value.get()


def outside(where: str, name: str, value: Any, wrong: Any, needed: str) -> None:
    """Fail at the first element that is marked in the boolean array `wrong`."""
    if bool(wrong.any()):
        place = tuple(int(i[0]) for i in wrong.nonzero())
        index = ", ".join(map(str, place))
        fail(where, f"{name}[{index}]", str(value[place]), needed)


def infeasible_option(where: str, value: str) -> None:
    """Check the option of losses that says what a target without a path has."""
    if value not in ("inf", "skip"):
        fail(where, "infeasible", repr(value), "'inf' or 'skip'")


def settled(xp: ModuleType, loss: Any, infeasible: str) -> Any:
    """The losses; with "skip", 0 for targets without a path, whose gradient is zero anyway."""
    return xp.where(xp.isposinf(loss), np.float32(0), loss) if infeasible == "skip" else loss
