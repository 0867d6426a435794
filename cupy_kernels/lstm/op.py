"""LSTM over a whole sequence, from what enters its gates: checks, launch."""

from __future__ import annotations

from typing import Any

import numpy as np

from cupy_kernels.backend import host
from cupy_kernels.backend.threads import thread_count
from cupy_kernels.lstm import fused, persistent, reference, stepwise
from cupy_kernels.lstm.arguments import (
    LstmSaved,
    check_backward,
    check_gates,
    check_state,
    module_of,
)
from cupy_kernels.lstm.precision import Precision, check_precision
from cupy_kernels.lstm.source import SOURCE


def lstm_forward(
    z: Any,
    w_re: Any,
    lengths: Any,
    y0: Any,
    c0: Any,
    *,
    direction: int = 1,
    precision: Precision = "float32",
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
        precision: what the operands of all matrix products are rounded to; sums and everything
            else are float32. bfloat16 takes half the time on processors that have it.
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
    xp = module_of(where, z=z, w_re=w_re, lengths=lengths, y0=y0, c0=c0)
    sizes = check_gates(where, "z", z)
    check_state(where, sizes, w_re, lengths, y0, c0, direction)
    check_precision(where, precision)
    state = (w_re, lengths, y0, c0)
    if xp is not np and persistent.fits(sizes.batch, sizes.units, precision):
        y, c_final, *saved = persistent.forward(xp, SOURCE, z, state, direction)
    elif xp is not np:
        y, c_final, *saved = stepwise.forward(xp, SOURCE, z, *state, direction, precision)
    elif host.library(SOURCE) is None:
        slow = reference.lstm_forward(z, *state, direction=direction, precision=precision)
        y, c_final, *saved = (x.astype(np.float32) for x in slow)
    else:
        options = (direction, precision, thread_count(threads))
        y, c_final, *saved = fused.forward(sizes, z, None, None, None, state, *options)
    return y, c_final, LstmSaved(*saved)


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
    precision: Precision = "float32",
    threads: int | None = None,
) -> tuple[Any, Any, Any, Any]:
    """Gradient of `lstm_forward`, from that of its results.

    Args:
        dy: float32 [time, batch, units], gradient of y; ignored where a sequence has no frame.
        dc_final: float32 [batch, units], gradient of c_final.
        saved: from the forward pass; only read.
        y: float32 [time, batch, units], from the forward pass.
        w_re, lengths, y0, c0, direction, precision, threads: as in the forward pass.

    Returns:
        dz, float32 [time, batch, 4 units], zero where a sequence has no frame;
        dw_re, float32 [units, 4 units];
        dy0, float32 [batch, units]; dc0, float32 [batch, units].

    Raises:
        ArgumentError: an argument has the wrong type, dtype, shape, device or range.
    """
    where = "lstm_backward"
    arrays = {"dy": dy, "dc_final": dc_final, "y": y, "w_re": w_re, "lengths": lengths}
    xp = module_of(where, saved, **arrays, y0=y0, c0=c0)
    sizes = check_gates(where, "gates", saved[0])
    check_state(where, sizes, w_re, lengths, y0, c0, direction)
    check_precision(where, precision)
    check_backward(where, sizes, dy, dc_final, LstmSaved(*saved), y)
    state = (w_re, lengths, y0, c0)
    values = (dy, dc_final, *saved, y)
    if xp is not np and persistent.fits(sizes.batch, sizes.units, precision):
        return persistent.backward(xp, SOURCE, values, state, direction)
    if xp is not np:
        return stepwise.backward(xp, SOURCE, *values, *state, direction, precision)
    if host.library(SOURCE) is None:
        slow = reference.lstm_backward(*values, *state, direction=direction, precision=precision)
        dz, dw_re, dy0, dc0 = (x.astype(np.float32) for x in slow)
    else:
        options = (direction, precision, thread_count(threads))
        grads = fused.backward(sizes, values, None, None, state, *options)
        dz, _, _, _, dw_re, dy0, dc0 = grads
    return dz, dw_re, dy0, dc0
