"""Checks that the entry points of the LSTM share."""

from __future__ import annotations

from types import ModuleType
from typing import Any, NamedTuple

import numpy as np

from cupy_kernels import check


class LstmSaved(NamedTuple):
    """What the backward pass needs of the forward pass; zero where a sequence has no frame."""

    gates: Any  # float32 [time, batch, 4 units]: cell input, input, forget, output; activated
    cells: Any  # float32 [time, batch, units]


class Sizes(NamedTuple):
    """The axes of a checked problem; `inputs` is 0 where z is given."""

    time: int
    batch: int
    units: int
    inputs: int = 0


def check_state(
    where: str, sizes: Sizes, w_re: Any, lengths: Any, y0: Any, c0: Any, direction: int
) -> None:
    """Check the recurrent weights, the lengths and the initial state."""
    time, batch, units, _ = sizes
    check.array(where, "w_re", w_re, np.float32, units=units, gates=4 * units)
    check.array(where, "lengths", lengths, np.int32, batch=batch)
    check.array(where, "y0", y0, np.float32, batch=batch, units=units)
    check.array(where, "c0", c0, np.float32, batch=batch, units=units)
    check.lengths(where, "lengths", lengths, time, "time axis")
    check.integer(where, "direction", direction)
    if direction not in (1, -1):
        check.fail(where, "direction", str(direction), "1 or -1")


def check_gates(where: str, name: str, gates: Any) -> Sizes:
    """Check an array [time, batch, 4 units]; return its sizes."""
    check.array(where, name, gates, np.float32, time=None, batch=None, gates=None)
    time, batch, width = gates.shape
    if width % 4:
        check.fail(where, name, f"{width} gates", "four times the units")
    return Sizes(time, batch, width // 4)


def check_layer(where: str, x: Any, w: Any, w_re: Any) -> Sizes:
    """Check the input of a layer and its weights; return the sizes."""
    check.array(where, "x", x, np.float32, time=None, batch=None, inputs=None)
    check.array(where, "w_re", w_re, np.float32, units=None, gates=None)
    units = w_re.shape[0]
    check.array(where, "w", w, np.float32, inputs=x.shape[2], gates=4 * units)
    return Sizes(x.shape[0], x.shape[1], units, x.shape[2])


def check_backward(
    where: str, sizes: Sizes, dy: Any, dc_final: Any, saved: LstmSaved, y: Any
) -> None:
    """Check what the backward pass takes beside the arguments of the forward pass."""
    time, batch, units, _ = sizes
    axes = {"time": time, "batch": batch, "units": units}
    for name, value in (("dy", dy), ("y", y), ("cells", saved.cells)):
        check.array(where, name, value, np.float32, **axes)
    check.array(where, "gates", saved.gates, np.float32, time=time, batch=batch, gates=4 * units)
    check.array(where, "dc_final", dc_final, np.float32, batch=batch, units=units)


def module_of(where: str, saved: LstmSaved | None = None, **arrays: Any) -> ModuleType:
    """The array module of all arguments, the saved ones included."""
    if saved is not None:
        arrays |= {"gates": saved[0], "cells": saved[1]}
    return check.array_module(where, **arrays)
