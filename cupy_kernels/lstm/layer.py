"""LSTM over a whole sequence, from the input of the layer: checks, launch."""

from __future__ import annotations

from typing import Any

import numpy as np

from cupy_kernels import check
from cupy_kernels.backend import host
from cupy_kernels.backend.threads import thread_count
from cupy_kernels.lstm import fused
from cupy_kernels.lstm.arguments import (
    LstmSaved,
    check_backward,
    check_layer,
    check_state,
    module_of,
)
from cupy_kernels.lstm.op import lstm_backward, lstm_forward
from cupy_kernels.lstm.precision import Precision, check_precision, operand
from cupy_kernels.lstm.source import SOURCE


def lstm_layer_forward(
    x: Any,
    w: Any,
    bias: Any,
    w_re: Any,
    lengths: Any,
    y0: Any,
    c0: Any,
    *,
    direction: int = 1,
    precision: Precision = "float32",
    threads: int | None = None,
) -> tuple[Any, Any, LstmSaved]:
    """`lstm_forward` of z = x w + bias; on the host z is never stored, which is faster.

    Args:
        x: float32 [time, batch, inputs]; must be finite on padding.
        w: float32 [inputs, 4 units].
        bias: float32 [4 units].
        w_re, lengths, y0, c0, direction, precision, threads: as of `lstm_forward`.

    Returns:
        y, c_final and saved, as of `lstm_forward`; saved is for `lstm_layer_backward`.

    Raises:
        ArgumentError: an argument has the wrong type, dtype, shape, device or range.
    """
    where = "lstm_layer_forward"
    xp = module_of(where, x=x, w=w, bias=bias, w_re=w_re, lengths=lengths, y0=y0, c0=c0)
    sizes = check_layer(where, x, w, w_re)
    check.array(where, "bias", bias, np.float32, gates=4 * sizes.units)
    check_state(where, sizes, w_re, lengths, y0, c0, direction)
    check_precision(where, precision)
    state = (w_re, lengths, y0, c0)
    if xp is np and sizes.inputs and host.library(SOURCE) is not None:
        workers = thread_count(threads)
        options = (direction, precision, workers)
        y, c_final, gates, cells = fused.forward(sizes, None, x, w, bias, state, *options)
        return y, c_final, LstmSaved(gates, cells)
    z = operand(_rows(x), precision) @ operand(w, precision) + bias
    z = z.reshape(sizes.time, sizes.batch, 4 * sizes.units)
    return lstm_forward(z, *state, direction=direction, precision=precision, threads=threads)


def lstm_layer_backward(
    dy: Any,
    dc_final: Any,
    saved: LstmSaved,
    y: Any,
    x: Any,
    w: Any,
    w_re: Any,
    lengths: Any,
    y0: Any,
    c0: Any,
    *,
    direction: int = 1,
    precision: Precision = "float32",
    threads: int | None = None,
) -> tuple[Any, Any, Any, Any, Any, Any]:
    """Gradient of `lstm_layer_forward`, from that of its results.

    Args:
        dy, dc_final, saved, y: as of `lstm_backward`.
        x, w, w_re, lengths, y0, c0, direction, precision, threads: as in the forward pass.

    Returns:
        dx, float32 [time, batch, inputs], zero where a sequence has no frame;
        dw, float32 [inputs, 4 units]; dbias, float32 [4 units]; dw_re, float32 [units, 4 units];
        dy0, float32 [batch, units]; dc0, float32 [batch, units].

    Raises:
        ArgumentError: an argument has the wrong type, dtype, shape, device or range.
    """
    where = "lstm_layer_backward"
    arrays = {"dy": dy, "dc_final": dc_final, "y": y, "x": x, "w": w, "w_re": w_re}
    xp = module_of(where, saved, **arrays, lengths=lengths, y0=y0, c0=c0)
    sizes = check_layer(where, x, w, w_re)
    check_state(where, sizes, w_re, lengths, y0, c0, direction)
    check_precision(where, precision)
    check_backward(where, sizes, dy, dc_final, LstmSaved(*saved), y)
    state = (w_re, lengths, y0, c0)
    if xp is np and sizes.inputs and host.library(SOURCE) is not None:
        workers = thread_count(threads)
        values = (dy, dc_final, *saved, y)
        _, *grads = fused.backward(sizes, values, x, w, state, direction, precision, workers)
        dx, dw, dbias, dw_re, dy0, dc0 = grads
        return dx, dw, dbias, dw_re, dy0, dc0
    options: dict[str, Any] = {"direction": direction, "precision": precision, "threads": threads}
    dz, dw_re, dy0, dc0 = lstm_backward(dy, dc_final, saved, y, *state, **options)
    rows = operand(_rows(dz), precision)
    dx = (rows @ operand(w, precision).T).reshape(x.shape)
    dw = operand(_rows(x), precision).T @ rows
    return dx, dw, _rows(dz).sum(axis=0), dw_re, dy0, dc0


def _rows(x: Any) -> Any:
    """[time, batch, n] as [time * batch, n], where n may be 0."""
    return x.reshape(x.shape[0] * x.shape[1], x.shape[2])
