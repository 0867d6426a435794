"""Self-attention: checks, launch."""

from __future__ import annotations

from pathlib import Path
from types import ModuleType
from typing import Any, NamedTuple

import numpy as np

from cupy_kernels import check
from cupy_kernels.backend import host
from cupy_kernels.backend.launch import launch
from cupy_kernels.backend.threads import thread_count
from cupy_kernels.self_attention import reference

SOURCE = Path(__file__).with_name("self_attention.cu")
KEYS = 128  # as in self_attention.cu
GRID = 1024  # blocks of a GPU, each with memory for a row of weights


class Sizes(NamedTuple):
    """The sizes of the operation, as its kernels take them.

    clipping: of shifts by distance, -1: there are none, or they are by pair.
    """

    batch: int
    time: int
    heads: int
    key_size: int
    value_size: int
    left_only: int
    every_query: int
    clipping: int = -1


def self_attention(
    qkv: Any,
    key_shift: Any,
    lengths: Any,
    heads: int,
    key_size: int,
    *,
    left_only: bool = False,
    every_query: bool = False,
    threads: int | None = None,
) -> tuple[Any, Any]:
    """Multi-head self-attention of whole sequences, whose weights are never stored.

    A. Vaswani et al., "Attention is all you need", 2017. For each head, out[i] = sum over j of
    softmax over j of (query[i] . (key[j] + key_shift[i, j]) / sqrt(key_size)) value[j]; the shift
    of keys: P. Shaw et al., "Self-attention with relative position representations", 2018.

    Args:
        qkv: float32 [batch, time, heads (2 key_size + value_size)]: of each head query, key, value.
        key_shift: float32 [time, time, key_size], of each query and key, or [2 clipping + 1,
            key_size], of each distance j - i from -clipping to clipping, beyond which all are
            alike; None: no shift.
        lengths: int32 [batch], frames of each sequence; None: all.
        heads: their number.
        key_size: of a head's query and key.
        left_only: whether a query sees no later keys than that of its own frame.
        every_query: whether there are results of queries behind the lengths, too, which see all
            keys of their sequence, if it has any.
        threads: on the host; by default OMP_NUM_THREADS, or all processors.

    Returns:
        out, float32 [batch, time, heads value_size], and log_sums, float32 [batch, heads, time],
        the logarithms of the softmax' sums, for the backward pass; both zero behind the lengths
        but for every_query.

    Raises:
        ArgumentError: an argument has the wrong type, dtype, shape, device or range.
    """
    options = {"left_only": left_only, "every_query": every_query}
    where = "self_attention"
    xp, sizes = _check(where, key_shift, lengths, heads, key_size, options, threads, qkv=qkv)
    if xp is np and host.library(SOURCE) is None:
        all_lengths = _all_lengths(lengths, sizes)
        values = (qkv, key_shift, all_lengths, heads, key_size)
        slow = reference.self_attention(*values, left_only, every_query)
        return slow[0].astype(np.float32), slow[1].astype(np.float32)
    out = xp.empty((sizes.batch, sizes.time, heads * sizes.value_size), np.float32)
    log_sums = xp.empty((sizes.batch, heads, sizes.time), np.float32)
    arrays = (qkv, key_shift, lengths, out, log_sums)
    if xp is np:
        workers = _workers(threads, sizes)
        launch(SOURCE, "self_attention_forward", *arrays, *sizes, workers=workers, xp=np)
    else:
        forward_rows(xp, arrays, sizes)
    return out, log_sums


def self_attention_backward(
    d_out: Any,
    qkv: Any,
    key_shift: Any,
    lengths: Any,
    out: Any,
    log_sums: Any,
    heads: int,
    key_size: int,
    *,
    left_only: bool = False,
    every_query: bool = False,
    threads: int | None = None,
) -> tuple[Any, Any]:
    """Gradient of `self_attention`; the weights are computed once more.

    Args:
        d_out: float32, as out: its gradient; ignored behind the lengths.
        qkv, key_shift, lengths, heads, key_size, left_only, every_query, threads: as in the forward
            pass.
        out, log_sums: what the forward pass returned.

    Returns:
        d_qkv, float32, as qkv, zero behind the lengths; d_key_shift, float32, as key_shift, or None
        where there is none.

    Raises:
        ArgumentError: an argument has the wrong type, dtype, shape, device or range.
    """
    where = "self_attention_backward"
    given = {"qkv": qkv, "d_out": d_out, "out": out, "log_sums": log_sums}
    options = {"left_only": left_only, "every_query": every_query}
    xp, sizes = _check(where, key_shift, lengths, heads, key_size, options, threads, **given)
    axes = {
        "batch": sizes.batch,
        "time": sizes.time,
        "heads * value_size": heads * sizes.value_size,
    }
    check.array(where, "d_out", d_out, np.float32, **axes)
    check.array(where, "out", out, np.float32, **axes)
    axes = {"batch": sizes.batch, "heads": heads, "time": sizes.time}
    check.array(where, "log_sums", log_sums, np.float32, **axes)
    if xp is np and host.library(SOURCE) is None:
        values = (d_out, qkv, key_shift, _all_lengths(lengths, sizes), heads, key_size)
        d_qkv, d_key_shift = reference.self_attention_backward(*values, left_only, every_query)
        narrow = None if d_key_shift is None else d_key_shift.astype(np.float32)
        return d_qkv.astype(np.float32), narrow
    d_qkv = xp.empty_like(qkv)
    d_key_shift = None if key_shift is None else xp.empty_like(key_shift)
    arrays = (d_out, qkv, key_shift, lengths, out, log_sums, d_qkv, d_key_shift)
    if xp is np:
        workers = _workers(threads, sizes)
        launch(SOURCE, "self_attention_backward", *arrays, *sizes, workers=workers, xp=np)
    else:
        backward_rows(xp, arrays, sizes)
    return d_qkv, d_key_shift


def forward_rows(xp: ModuleType, arrays: tuple[Any, ...], sizes: Sizes, grid: int = GRID) -> None:
    """Run the forward pass of GPUs, a block per row of the result."""
    workers = max(1, min(sizes.batch * sizes.heads * sizes.time, grid))
    space = xp.empty((workers, sizes.time), np.float32)
    launch(SOURCE, "self_attention_rows", *arrays, space, *sizes, workers=workers, xp=xp)


def backward_rows(xp: ModuleType, arrays: tuple[Any, ...], sizes: Sizes, grid: int = GRID) -> None:
    """Run the backward pass of GPUs, a block per row of the gradients."""
    of_shifts = max(2 * sizes.clipping + 1, sizes.time * -(-sizes.time // KEYS))
    blocks = 2 * sizes.batch * sizes.heads * sizes.time + of_shifts
    workers = max(1, min(blocks, grid))
    space = xp.empty((workers, 2, sizes.time), np.float32)
    launch(SOURCE, "self_attention_rows_backward", *arrays, space, *sizes, workers=workers, xp=xp)


def _workers(threads: int | None, sizes: Sizes) -> int:
    """Threads of the host: no more than heads of all sequences."""
    return max(1, min(thread_count(threads), sizes.batch * sizes.heads))


def _all_lengths(lengths: Any, sizes: Sizes) -> Any:
    return np.full(sizes.batch, sizes.time, np.int32) if lengths is None else lengths


def _check(
    where: str,
    key_shift: Any,
    lengths: Any,
    heads: int,
    key_size: int,
    options: dict[str, bool],
    threads: int | None,
    **given: Any,
) -> tuple[ModuleType, Sizes]:
    """Check what both passes have; the module of the arrays, and the sizes."""
    optional = {"key_shift": key_shift, "lengths": lengths}
    arrays = {**given, **{name: x for name, x in optional.items() if x is not None}}
    xp, qkv = check.array_module(where, **arrays), given["qkv"]
    for name, value in {"heads": heads, "key_size": key_size}.items():
        check.integer(where, name, value)
        if value < 1:
            check.fail(where, name, str(value), "at least 1")
    for name, option in options.items():
        if not isinstance(option, bool | np.bool_):
            check.fail(where, name, repr(option), "True or False")
    thread_count(threads)
    check.array(where, "qkv", qkv, np.float32, batch=None, time=None, columns=None)
    batch, time, columns = qkv.shape
    value_size = columns // heads - 2 * key_size
    if columns % heads or value_size < 1:
        needed = f"a multiple of {heads} (heads), for each more than {2 * key_size} (2 key_size)"
        check.fail(where, "qkv", f"{columns} columns", needed)
    clipping = -1
    if key_shift is not None and key_shift.ndim == 2:
        check.array(where, "key_shift", key_shift, np.float32, distances=None, key_size=key_size)
        if len(key_shift) % 2 == 0:
            needed = "an odd number, 2 clipping + 1: as many distances to the left as to the right"
            check.fail(where, "key_shift", f"{len(key_shift)} distances", needed)
        clipping = len(key_shift) // 2
    elif key_shift is not None:
        axes = {"queries": time, "keys": time, "key_size": int(key_size)}
        check.array(where, "key_shift", key_shift, np.float32, **axes)
    if lengths is not None:
        check.array(where, "lengths", lengths, np.int32, batch=batch)
        check.lengths(where, "lengths", lengths, time, "time axis")
    sizes = (batch, time, heads, key_size, value_size, *options.values(), clipping)
    return xp, Sizes(*map(int, sizes))
