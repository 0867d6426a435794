"""2D LSTM over a grid: checks, launch."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from cupy_kernels import check
from cupy_kernels.backend import host
from cupy_kernels.backend.threads import thread_count
from cupy_kernels.lstm2d import fused, reference, wavefront
from cupy_kernels.lstm2d.front import SOURCE, number_cells


class Lstm2dSaved(NamedTuple):
    """What the backward pass needs of the forward pass; zero where a sequence has no cell."""

    # float32 [time_t, time_s, batch, 5 units]: input, forget, lambda, output, cell input; activated
    gates: Any
    # float32 [time_t, time_s, batch, units]
    cells: Any


def lstm2d_forward(
    z: Any, v_h: Any, v_v: Any, lengths_t: Any, lengths_s: Any, *, threads: int | None = None
) -> tuple[Any, Lstm2dSaved]:
    """2D LSTM in the parameter format of RETURNN's TwoDLSTM, from a state of zeros.

    A. Graves et al., "Multi-dimensional recurrent neural networks", 2007; with a gate lambda
    between the two cells before: G. Leifert et al., "Cells in multidimensional recurrent neural
    networks", 2016; P. Voigtlaender et al., "Handwriting recognition with large
    multidimensional LSTM", 2016; P. Bahar et al., "Towards two-dimensional sequence to sequence
    model in neural machine translation", 2018.

    With z_{t,s} += y_{t,s-1} V_h + y_{t-1,s} V_v, split into gates i, f, l, o and cell
    input a, in this order, and s the logistic sigmoid: y_{t,s} = tanh(c_{t,s}) s(o), where
    c_{t,s} = tanh(a) s(i) + s(f) (s(l) c_{t-1,s} + (1 - s(l)) c_{t,s-1}).

    Args:
        z: float32 [time_t, time_s, batch, 5 units], input times its weights, plus bias.
        v_h: float32 [units, 5 units], from the cell to the left, s - 1.
        v_v: float32 [units, 5 units], from the cell below, t - 1.
        lengths_t: int32 [batch], rows of each pair of sequences.
        lengths_s: int32 [batch], columns of each pair of sequences.
        threads: on the host; by default OMP_NUM_THREADS, or all processors.

    Returns:
        y, float32 [time_t, time_s, batch, units], zero where a pair has no cell;
        saved, for `lstm2d_backward`.

    Raises:
        ArgumentError: an argument has the wrong type, dtype, shape, device or range.
    """
    where = "lstm2d_forward"
    rest = {"v_h": v_h, "v_v": v_v, "lengths_t": lengths_t, "lengths_s": lengths_s}
    xp = check.array_module(where, z=z, **rest)
    _check_grid(where, "z", z, **rest)
    workers = thread_count(threads)
    if xp is np and host.library(SOURCE) is None:
        slow = reference.lstm2d_forward(z, v_h, v_v, lengths_t, lengths_s)
        y, *saved = (x.astype(np.float32) for x in slow)
    else:
        front = number_cells(xp, lengths_t, lengths_s, *z.shape[:2])
        if xp is np:
            y, *saved = fused.forward(front, z, v_h, v_v, workers)
        else:
            y, *saved = wavefront.forward(xp, front, z, v_h, v_v)
    return y, Lstm2dSaved(*saved)


def lstm2d_backward(
    dy: Any,
    saved: Lstm2dSaved,
    y: Any,
    v_h: Any,
    v_v: Any,
    lengths_t: Any,
    lengths_s: Any,
    *,
    threads: int | None = None,
) -> tuple[Any, Any, Any]:
    """Gradient of `lstm2d_forward`, from that of y.

    Args:
        dy: float32 [time_t, time_s, batch, units], gradient of y; ignored where a pair has no cell.
        saved: from the forward pass; only read.
        y: float32 [time_t, time_s, batch, units], from the forward pass.
        v_h, v_v, lengths_t, lengths_s, threads: as in the forward pass.

    Returns:
        dz, float32 [time_t, time_s, batch, 5 units], zero where a pair has no cell;
        dv_h, float32 [units, 5 units]; dv_v, float32 [units, 5 units].

    Raises:
        ArgumentError: an argument has the wrong type, dtype, shape, device or range.
    """
    where = "lstm2d_backward"
    gates, cells = saved
    rest = {"v_h": v_h, "v_v": v_v, "lengths_t": lengths_t, "lengths_s": lengths_s}
    xp = check.array_module(where, dy=dy, gates=gates, cells=cells, y=y, **rest)
    _check_grid(where, "gates", gates, **rest)
    time_t, time_s, batch, _ = gates.shape
    axes = {"time_t": time_t, "time_s": time_s, "batch": batch, "units": len(v_h)}
    for name, value in (("dy", dy), ("cells", cells), ("y", y)):
        check.array(where, name, value, np.float32, **axes)
    workers = thread_count(threads)
    if xp is np and host.library(SOURCE) is None:
        slow = reference.lstm2d_backward(dy, gates, cells, y, v_h, v_v, lengths_t, lengths_s)
        dz, dv_h, dv_v = (x.astype(np.float32) for x in slow)
        return dz, dv_h, dv_v
    front = number_cells(xp, lengths_t, lengths_s, time_t, time_s)
    values = (dy, gates, cells, y, v_h, v_v)
    if xp is np:
        return fused.backward(front, *values, workers)
    return wavefront.backward(xp, front, *values)


def _check_grid(
    where: str, name: str, gates: Any, v_h: Any, v_v: Any, lengths_t: Any, lengths_s: Any
) -> None:
    """Check an array of gates, or of what enters them, and what all calls have beside it."""
    axes = {"time_t": None, "time_s": None, "batch": None}
    check.array(where, "v_h", v_h, np.float32, units=None, gates=None)
    units = len(v_h)
    for matrix, value in (("v_h", v_h), ("v_v", v_v)):
        check.array(where, matrix, value, np.float32, units=units, gates=5 * units)
    check.array(where, name, gates, np.float32, **axes, gates=5 * units)
    time_t, time_s, batch, _ = gates.shape
    for axis, value, limit in (("t", lengths_t, time_t), ("s", lengths_s, time_s)):
        check.array(where, f"lengths_{axis}", value, np.int32, batch=batch)
        check.lengths(where, f"lengths_{axis}", value, limit, f"{axis} axis")
