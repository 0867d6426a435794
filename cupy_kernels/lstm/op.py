"""LSTM over a whole sequence: checks, launch."""

from __future__ import annotations

from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from cupy_kernels import check
from cupy_kernels.backend import host
from cupy_kernels.backend.launch import launch
from cupy_kernels.backend.threads import thread_count
from cupy_kernels.lstm import reference, stepwise

SOURCE = Path(__file__).with_name("lstm.cu")


class LstmSaved(NamedTuple):
    """What the backward pass needs of the forward pass; zero where a sequence has no frame."""

    gates: Any  # float32 [time, batch, 4 units]: cell input, input, forget, output; activated
    cells: Any  # float32 [time, batch, units]


def lstm_forward(
    z: Any,
    w_re: Any,
    lengths: Any,
    y0: Any,
    c0: Any,
    *,
    direction: int = 1,
    threads: int | None = None,
) -> tuple[Any, Any, LstmSaved]:
    """LSTM with forget gate, without peepholes, in the parameter format of RETURNN's NativeLstm2.

    S. Hochreiter, J. Schmidhuber, "Long Short-Term Memory", 1997; F. Gers et al., "Learning to
    Forget", 2000. With z_t += y_{t-1} W_re, split into cell input a, gates i, f, o in this order:
    c_t = tanh(a) s(i) + c_{t-1} s(f), y_t = tanh(c_t) s(o), s the logistic sigmoid.

    Args:
        z: float32 [time, batch, 4 units], input times its weights, plus bias.
        w_re: float32 [units, 4 units].
        lengths: int32 [batch], frames of each sequence.
        y0: float32 [batch, units], output before the first frame.
        c0: float32 [batch, units], cell before the first frame.
        direction: 1, or -1 to start at the last frame of each sequence.
        threads: on the host; by default OMP_NUM_THREADS, or all processors. For both directions
            at once, call from two threads with threads=1.

    Returns:
        y, float32 [time, batch, units], zero where a sequence has no frame;
        c_final, float32 [batch, units], the cell after the last frame: c0 for a length of 0;
        saved, for `lstm_backward`.

    Raises:
        ArgumentError: an argument has the wrong type, dtype, shape, device or range.
    """
    where = "lstm_forward"
    xp = check.array_module(where, z=z, w_re=w_re, lengths=lengths, y0=y0, c0=c0)
    check.array(where, "z", z, np.float32, time=None, batch=None, gates=None)
    time, batch, units = _check_shared(where, z.shape, w_re, lengths, y0, c0, direction)
    workers = thread_count(threads)
    if xp is not np:
        y, c_final, *saved = stepwise.forward(xp, SOURCE, z, w_re, lengths, y0, c0, direction)
        return y, c_final, LstmSaved(*saved)
    if host.library(SOURCE) is None:
        slow = reference.lstm_forward(z, w_re, lengths, y0, c0, direction=direction)
        y, c_final, *saved = (x.astype(np.float32) for x in slow)
        return y, c_final, LstmSaved(*saved)
    y, cells = (np.empty((time, batch, units), np.float32) for _ in range(2))
    gates, c_final = np.empty_like(z), np.empty_like(c0)
    arguments = (z, w_re, lengths, y0, c0, y, c_final, gates, cells, time, batch, units)
    launch(SOURCE, "lstm_forward", *arguments, direction, workers=workers, xp=xp)
    return y, c_final, LstmSaved(gates, cells)


def lstm_backward(
    dy: Any,
    dc_final: Any,
    saved: LstmSaved,
    y: Any,
    w_re: Any,
    lengths: Any,
    y0: Any,
    c0: Any,
    *,
    direction: int = 1,
    threads: int | None = None,
) -> tuple[Any, Any, Any, Any]:
    """Gradient of `lstm_forward`, from that of its results.

    Args:
        dy: float32 [time, batch, units], gradient of y; ignored where a sequence has no frame.
        dc_final: float32 [batch, units], gradient of c_final.
        saved: from the forward pass; only read.
        y: float32 [time, batch, units], from the forward pass.
        w_re, lengths, y0, c0, direction, threads: as in the forward pass.

    Returns:
        dz, float32 [time, batch, 4 units], zero where a sequence has no frame;
        dw_re, float32 [units, 4 units];
        dy0, float32 [batch, units]; dc0, float32 [batch, units].

    Raises:
        ArgumentError: an argument has the wrong type, dtype, shape, device or range.
    """
    where = "lstm_backward"
    gates, cells = saved
    arrays = {"dy": dy, "dc_final": dc_final, "gates": gates, "cells": cells, "y": y}
    xp = check.array_module(where, **arrays, w_re=w_re, lengths=lengths, y0=y0, c0=c0)
    check.array(where, "gates", gates, np.float32, time=None, batch=None, gates=None)
    time, batch, units = _check_shared(where, gates.shape, w_re, lengths, y0, c0, direction)
    for name, value in (("dy", dy), ("y", y), ("cells", cells)):
        check.array(where, name, value, np.float32, time=time, batch=batch, units=units)
    check.array(where, "dc_final", dc_final, np.float32, batch=batch, units=units)
    workers = thread_count(threads)
    rest = (w_re, lengths, y0, c0)
    if xp is not np:
        values = (dy, dc_final, gates, cells, y, *rest)
        return stepwise.backward(xp, SOURCE, *values, direction)
    if host.library(SOURCE) is None:
        slow = reference.lstm_backward(dy, dc_final, gates, cells, y, *rest, direction=direction)
        dz, dw, dy0, dc0 = (x.astype(np.float32) for x in slow)
        return dz, dw, dy0, dc0
    dz, dw, dy0 = np.empty_like(gates), np.zeros_like(w_re), np.zeros_like(y0)
    dc = dc_final.copy()
    arguments = (dy, w_re, lengths, y, y0, c0, gates, cells, dz, dw, dy0, dc, time, batch, units)
    launch(SOURCE, "lstm_backward", *arguments, direction, workers=workers, xp=xp)
    return dz, dw, dy0, dc


def _check_shared(
    where: str, shape: tuple[int, ...], w_re: Any, lengths: Any, y0: Any, c0: Any, direction: int
) -> tuple[int, int, int]:
    """Check what both passes take; returns time, batch and units."""
    time, batch, width = shape
    check.array(where, "y0", y0, np.float32, batch=batch, units=None)
    units = y0.shape[1]
    if width != 4 * units:
        check.fail(where, "y0", f"{units} units beside {width} gates", "a quarter of the gates")
    check.array(where, "c0", c0, np.float32, batch=batch, units=units)
    check.array(where, "w_re", w_re, np.float32, units=units, gates=4 * units)
    check.array(where, "lengths", lengths, np.int32, batch=batch)
    check.lengths(where, "lengths", lengths, time, "time axis")
    if direction not in (1, -1):
        check.fail(where, "direction", str(direction), "1 or -1")
    return time, batch, units
