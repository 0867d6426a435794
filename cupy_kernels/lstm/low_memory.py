"""LSTM layer that keeps its outputs and a few cells: the backward pass computes the rest again."""

from __future__ import annotations

from collections.abc import Iterator
from types import ModuleType
from typing import Any, NamedTuple

import numpy as np

from cupy_kernels import check
from cupy_kernels.lstm.arguments import (
    Sizes,
    check_layer,
    check_state,
    module_of,
)
from cupy_kernels.lstm.layer import lstm_layer_backward, lstm_layer_forward
from cupy_kernels.lstm.precision import Precision, check_precision


class LstmStates(NamedTuple):
    """The state before each block of frames, in the order in which the LSTM runs over them."""

    outputs: Any  # float32 [blocks, batch, units]
    cells: Any  # float32 [blocks, batch, units]


def lstm_low_memory_forward(
    x: Any,
    w: Any,
    bias: Any,
    w_re: Any,
    lengths: Any,
    y0: Any,
    c0: Any,
    *,
    direction: int = 1,
    block: int = 32,
    precision: Precision = "float32",
    threads: int | None = None,
) -> tuple[Any, Any, LstmStates]:
    """`lstm_layer_forward`, which saves the state before every `block` frames, and no gates.

    Beside y this is 2 / block numbers for each unit and frame, not 5. The backward pass takes half
    as long again (T. Chen et al., "Training Deep Nets with Sublinear Memory Cost", 2016).

    Args:
        x, w, bias, w_re, lengths, y0, c0, direction, precision, threads: as of
            `lstm_layer_forward`.
        block: frames whose gates are there at a time.

    Returns:
        y, c_final: as of `lstm_layer_forward`;
        states, for `lstm_low_memory_backward`.

    Raises:
        ArgumentError: an argument has the wrong type, dtype, shape, device or range.
    """
    where = "lstm_low_memory_forward"
    xp = module_of(where, x=x, w=w, bias=bias, w_re=w_re, lengths=lengths, y0=y0, c0=c0)
    sizes = _check(where, x, w, w_re, lengths, y0, c0, direction, precision, block)
    check.array(where, "bias", bias, np.float32, gates=4 * sizes.units)
    y = xp.empty((sizes.time, sizes.batch, sizes.units), np.float32)
    outputs, cells = [], []
    h, c = y0, c0
    options: dict[str, Any] = {"direction": direction, "precision": precision, "threads": threads}
    for frames in _blocks(sizes.time, block, direction):
        outputs.append(h)
        cells.append(c)
        inside = _inside(xp, lengths, frames)
        state = (w_re, inside, h, c)
        y[frames], c, _ = lstm_layer_forward(x[frames], w, bias, *state, **options)
        last = _last(xp, inside, direction)
        h = xp.where((inside > 0)[:, None], y[frames][last, xp.arange(sizes.batch)], h)
    shape = (0, sizes.batch, sizes.units)
    saved = [xp.stack(s) if s else xp.empty(shape, np.float32) for s in (outputs, cells)]
    return y, c.copy(), LstmStates(*saved)


def lstm_low_memory_backward(
    dy: Any,
    dc_final: Any,
    states: LstmStates,
    x: Any,
    w: Any,
    bias: Any,
    w_re: Any,
    lengths: Any,
    y0: Any,
    c0: Any,
    *,
    direction: int = 1,
    block: int = 32,
    precision: Precision = "float32",
    threads: int | None = None,
) -> tuple[Any, Any, Any, Any, Any, Any]:
    """Gradient of `lstm_low_memory_forward`, as `lstm_layer_backward` has it.

    Args:
        dy, dc_final: as of `lstm_layer_backward`.
        states: from the forward pass; only read.
        x, w, bias, w_re, lengths, y0, c0, direction, block, precision, threads: as in the
            forward pass.

    Returns:
        dx, dw, dbias, dw_re, dy0, dc0: as of `lstm_layer_backward`.

    Raises:
        ArgumentError: an argument has the wrong type, dtype, shape, device or range.
    """
    where = "lstm_low_memory_backward"
    arrays = {"dy": dy, "dc_final": dc_final, "x": x, "w": w, "bias": bias, "w_re": w_re}
    arrays |= {"outputs": states[0], "cells": states[1]}
    xp = module_of(where, **arrays, lengths=lengths, y0=y0, c0=c0)
    sizes = _check(where, x, w, w_re, lengths, y0, c0, direction, precision, block)
    axes = {"batch": sizes.batch, "units": sizes.units}
    check.array(where, "dy", dy, np.float32, time=sizes.time, **axes)
    check.array(where, "dc_final", dc_final, np.float32, **axes)
    check.array(where, "bias", bias, np.float32, gates=4 * sizes.units)
    order = list(_blocks(sizes.time, block, direction))
    for name, value in zip(LstmStates._fields, states, strict=True):
        check.array(where, name, value, np.float32, blocks=len(order), **axes)

    dx = xp.empty_like(x)
    sums = [xp.zeros_like(a) for a in (w, bias, w_re)]
    dh, dc = xp.zeros_like(y0), dc_final.copy()
    options: dict[str, Any] = {"direction": direction, "precision": precision, "threads": threads}
    for i, frames in reversed(list(enumerate(order))):
        inside = _inside(xp, lengths, frames)
        state = (w_re, inside, states[0][i], states[1][i])
        y, _, saved = lstm_layer_forward(x[frames], w, bias, *state, **options)
        d_block, here = dy[frames].copy(), (inside > 0)[:, None]
        d_block[_last(xp, inside, direction), xp.arange(sizes.batch)] += xp.where(here, dh, 0)
        grads = lstm_layer_backward(d_block, dc, saved, y, x[frames], w, *state, **options)
        dx[frames], *parts, d_start, dc = grads
        for total, part in zip(sums, parts, strict=True):
            total += part
        dh = xp.where(here, d_start, dh)
    return dx, *sums, dh, dc


def _check(
    where: str,
    x: Any,
    w: Any,
    w_re: Any,
    lengths: Any,
    y0: Any,
    c0: Any,
    direction: int,
    precision: Precision,
    block: int,
) -> Sizes:
    sizes = check_layer(where, x, w, w_re)
    check_state(where, sizes, w_re, lengths, y0, c0, direction)
    check_precision(where, precision)
    check.integer(where, "block", block)
    if block < 1:
        check.fail(where, "block", str(block), "1 or more frames")
    return sizes


def _blocks(time: int, size: int, direction: int) -> Iterator[slice]:
    """Yield the frames of each block, in the order of the LSTM."""
    for start in range(0, time, size)[::direction]:
        yield slice(start, min(start + size, time))


def _inside(xp: ModuleType, lengths: Any, frames: slice) -> Any:
    """Return int32 [batch], how many frames of a block each sequence has."""
    return xp.clip(lengths - frames.start, 0, frames.stop - frames.start).astype(np.int32)


def _last(xp: ModuleType, inside: Any, direction: int) -> Any:
    """Return the place in a block of the last frame of each sequence, 0 where it has none."""
    return xp.maximum(inside - 1, 0) if direction > 0 else xp.zeros_like(inside)
