"""LSTM on a GPU: all frames in one launch whose blocks keep the recurrent weights."""

from __future__ import annotations

from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np

from cupy_kernels.backend import cuda
from cupy_kernels.lstm.fused import State
from cupy_kernels.lstm.precision import Precision
from cupy_kernels.lstm.stepwise import state_gradients

OWN, COLUMNS, WARPS = 8, 32, 16  # as in lstm_device.h
STATE_LIMIT = 1 << 14  # numbers; on an H200 a frame takes 60 us then, as launches of one product do
FORWARD, BACKWARD = (8, 1), (4, 4)  # sequences at a time, gates of a row


def fits(batch: int, units: int, precision: Precision) -> bool:
    """Whether all blocks find room on the current GPU at once, and are the faster way.

    The time of a frame grows with the batch, while a library's product, once it is launched, takes
    little more for a larger one.
    """
    if precision != "float32" or batch * units > STATE_LIMIT:
        return False
    blocks, memory = cuda.room()
    needed = max(_memory(units, *pass_) for pass_ in (FORWARD, BACKWARD))
    return 0 < units <= OWN * blocks and needed <= memory


def forward(
    xp: ModuleType,
    source: Path,
    z: Any,
    state: State,
    direction: int,
) -> tuple[Any, Any, Any, Any]:
    """y, c_final, gates and cells of the operation, for checked arguments."""
    w_re, lengths, y0, c0 = state
    time, batch, width = z.shape
    y, cells = (xp.empty((time, batch, width // 4), np.float32) for _ in range(2))
    gates, c = xp.empty_like(z), c0.copy()
    arrays = (z, w_re, lengths, xp.stack((y0, y0)), c, y, gates, cells)
    _launch(xp, source, "lstm_sequence", arrays, y.shape, direction, FORWARD)
    return y, c, gates, cells


def backward(
    xp: ModuleType,
    source: Path,
    values: tuple[Any, Any, Any, Any, Any],
    state: State,
    direction: int,
) -> tuple[Any, Any, Any, Any]:
    """dz, dw_re, dy0 and dc0, from dy, dc_final, gates, cells and y, for checked arguments."""
    dy, dc_final, gates, cells, y = values
    w_re, lengths, y0, c0 = state
    dz, dc = xp.empty_like(gates), dc_final.copy()
    arrays = (dy, w_re, lengths, gates, cells, c0, dc, dz)
    _launch(xp, source, "lstm_sequence_backward", arrays, y.shape, direction, BACKWARD)
    dw_re, dy0 = state_gradients(xp, dz, y, w_re, lengths, y0, direction)
    return dz, dw_re, dy0, dc


def _launch(
    xp: ModuleType,
    source: Path,
    name: str,
    arrays: tuple[Any, ...],
    shape: tuple[int, int, int],
    direction: int,
    pass_: tuple[int, int],
) -> None:
    time, batch, units = shape
    if not time * batch:
        return
    arguments = (*arrays, xp.zeros(1, np.uint32), time, batch, units, direction)
    sizes = {"blocks": -(-units // OWN), "block": 32 * WARPS, "memory": _memory(units, *pass_)}
    cuda.launch_together(source, name, *arguments, **sizes)


def _memory(units: int, rows: int, gates: int) -> int:
    """Bytes of shared memory: weights, rows, parts and sums."""
    depth = (units + 3) // 4 * 4
    numbers = depth * COLUMNS + rows * gates * depth + (WARPS + 1) * rows * COLUMNS
    return 4 * numbers
