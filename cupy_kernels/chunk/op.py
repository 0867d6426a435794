"""Overlapping chunks: checks, launch."""

from __future__ import annotations

from pathlib import Path
from types import ModuleType
from typing import Any, NamedTuple

import numpy as np

from cupy_kernels import check
from cupy_kernels.backend import host
from cupy_kernels.backend.launch import launch
from cupy_kernels.backend.threads import thread_count
from cupy_kernels.chunk import reference

SOURCE = Path(__file__).with_name("chunk.cu")


class _Sizes(NamedTuple):
    time: int
    batch: int
    features: int
    size: int
    step: int
    chunks: int  # of each sequence


def chunk(
    x: Any, lengths: Any, *, chunk_size: int, chunk_step: int, threads: int | None = None
) -> tuple[Any, Any]:
    """Cut sequences into chunks that overlap, as RETURNN's Chunking does.

    Chunk c of a sequence holds its frames c * chunk_step to c * chunk_step + chunk_size - 1. All
    sequences have n_chunks = ceil(max(time - chunk_size, 0) / chunk_step) + 1 of them; those behind
    the end of a short one are empty.

    Args:
        x: float32 [time, batch, features].
        lengths: int32 [batch], frames of each sequence.
        chunk_size: frames of a chunk.
        chunk_step: frames from the start of a chunk to the next, 1 to chunk_size: a larger one
            would skip frames.
        threads: on the host; by default OMP_NUM_THREADS, or all processors.

    Returns:
        chunks, float32 [chunk_size, batch * n_chunks, features], zero on padding; chunk c of
            sequence b is column b * n_chunks + c;
        chunk_lengths, int32 [batch * n_chunks], frames of each chunk.

    Raises:
        ArgumentError: an argument has the wrong type, dtype, shape, device or range.
    """
    xp, sizes = _check_frames("chunk", "x", x, lengths, chunk_size, chunk_step)
    starts = xp.arange(sizes.chunks) * chunk_step
    chunk_lengths = xp.clip(lengths[:, None] - starts, 0, chunk_size).astype(np.int32).ravel()
    return _split(xp, sizes, x, lengths, xp.ones(sizes.time, np.float32), threads), chunk_lengths


def chunk_backward(
    dchunks: Any,
    lengths: Any,
    *,
    time: int,
    chunk_size: int,
    chunk_step: int,
    threads: int | None = None,
) -> Any:
    """Gradient of `chunk`: the sum of the gradients of all the places where a frame stands.

    Args:
        dchunks: float32 [chunk_size, batch * n_chunks, features], gradient of the chunks;
            ignored on padding.
        lengths, chunk_size, chunk_step, threads: as of `chunk`.
        time: frames of x.

    Returns:
        dx, float32 [time, batch, features], zero on padding.

    Raises:
        ArgumentError: an argument has the wrong type, dtype, shape, device or range.
    """
    where = "chunk_backward"
    xp = check.array_module(where, dchunks=dchunks, lengths=lengths)
    check.array(where, "lengths", lengths, np.int32, batch=None)
    batch = len(lengths)
    sizes = _check_chunks(where, "dchunks", dchunks, batch, time, chunk_size, chunk_step)
    check.lengths(where, "lengths", lengths, time, "argument time")
    return _sum(xp, sizes, dchunks, lengths, xp.ones(time, np.float32), threads)


def unchunk(
    chunks: Any,
    chunk_lengths: Any,
    *,
    batch: int,
    time: int,
    chunk_size: int,
    chunk_step: int,
    threads: int | None = None,
) -> tuple[Any, Any, Any]:
    """Put chunks back together, each frame the mean over the chunks that hold it.

    As RETURNN's UnChunking does; of what `chunk` made, it gives back the sequences.

    Args:
        chunks: float32 [chunk_size, batch * n_chunks, features], in the order of `chunk`.
        chunk_lengths: int32 [batch * n_chunks], from `chunk`.
        batch, time: sequences, and frames of the longest, of what was cut.
        chunk_size, chunk_step, threads: as of `chunk`.

    Returns:
        x, float32 [time, batch, features], zero on padding;
        lengths, int32 [batch], frames of each sequence;
        factors, float32 [time, batch], one through the number of chunks that hold a frame; 1 on
            padding.

    Raises:
        ArgumentError: an argument has the wrong type, dtype, shape, device or range, or no
            sequences have chunks of these lengths.
    """
    where = "unchunk"
    xp = check.array_module(where, chunks=chunks, chunk_lengths=chunk_lengths)
    sizes = _check_chunks(where, "chunks", chunks, batch, time, chunk_size, chunk_step)
    check.array(where, "chunk_lengths", chunk_lengths, np.int32, chunks=batch * sizes.chunks)
    lengths = _whole_lengths(where, xp, sizes, chunk_lengths)
    scale = _scale(xp, sizes)
    inside = xp.arange(time)[:, None] < lengths
    factors = xp.where(inside, scale[:, None], np.float32(1))
    return _sum(xp, sizes, chunks, lengths, scale, threads), lengths, factors


def unchunk_backward(
    dx: Any, lengths: Any, *, chunk_size: int, chunk_step: int, threads: int | None = None
) -> Any:
    """Gradient of `unchunk`: the chunks of the gradient times the factors.

    Args:
        dx: float32 [time, batch, features], gradient of x; ignored on padding.
        lengths: int32 [batch], from `unchunk`.
        chunk_size, chunk_step, threads: as of `chunk`.

    Returns:
        dchunks, float32 [chunk_size, batch * n_chunks, features], zero on padding.

    Raises:
        ArgumentError: an argument has the wrong type, dtype, shape, device or range.
    """
    xp, sizes = _check_frames("unchunk_backward", "dx", dx, lengths, chunk_size, chunk_step)
    return _split(xp, sizes, dx, lengths, _scale(xp, sizes), threads)


def _check_frames(
    where: str, name: str, x: Any, lengths: Any, size: int, step: int
) -> tuple[ModuleType, _Sizes]:
    xp = check.array_module(where, **{name: x, "lengths": lengths})
    check.array(where, name, x, np.float32, time=None, batch=None, features=None)
    check.array(where, "lengths", lengths, np.int32, batch=x.shape[1])
    check.lengths(where, "lengths", lengths, len(x), "time axis")
    time, batch, features = x.shape
    return xp, _Sizes(time, batch, features, size, step, _check_count(where, time, size, step))


def _check_chunks(
    where: str, name: str, chunks: Any, batch: int, time: int, size: int, step: int
) -> _Sizes:
    for argument, value in (("batch", batch), ("time", time)):
        check.integer(where, argument, value)
        if value < 0:
            check.fail(where, argument, str(value), "at least 0")
    count = _check_count(where, time, size, step)
    axes = {"chunk_size": size, "chunks": batch * count, "features": None}
    check.array(where, name, chunks, np.float32, **axes)
    return _Sizes(time, batch, chunks.shape[2], size, step, count)


def _check_count(where: str, time: int, size: int, step: int) -> int:
    check.integer(where, "chunk_size", size)
    check.integer(where, "chunk_step", step)
    if size < 1:
        check.fail(where, "chunk_size", str(size), "at least 1")
    if not 1 <= step <= size:
        check.fail(where, "chunk_step", str(step), f"1 to {size} (chunk_size)")
    return reference.chunk_count(time, size, step)


def _whole_lengths(where: str, xp: ModuleType, sizes: _Sizes, chunk_lengths: Any) -> Any:
    """The lengths of the sequences, which all their chunks must agree on."""
    table = chunk_lengths.reshape(sizes.batch, sizes.chunks)
    starts = xp.arange(sizes.chunks) * sizes.step
    lengths = xp.where(table > 0, table + starts, 0).max(axis=1)
    lengths = xp.minimum(lengths, sizes.time)
    wrong = table != xp.clip(lengths[:, None] - starts, 0, sizes.size)
    needed = f"those of chunks of {sizes.size} every {sizes.step} of at most {sizes.time} frames"
    check.outside(where, "chunk_lengths", chunk_lengths, wrong.ravel(), needed)
    return lengths.astype(np.int32)


def _scale(xp: ModuleType, sizes: _Sizes) -> Any:
    """float32 [time]: one through the number of chunks that hold a frame."""
    t = xp.arange(sizes.time)
    last = xp.minimum(t // sizes.step, sizes.chunks - 1)
    first = xp.maximum((t - sizes.size) // sizes.step + 1, 0)
    return (1 / (last - first + 1)).astype(np.float32)


def _split(
    xp: ModuleType, sizes: _Sizes, x: Any, lengths: Any, scale: Any, threads: int | None
) -> Any:
    workers = thread_count(threads)
    _, batch, features, size, step, count = sizes
    if xp is np and host.library(SOURCE) is None:
        x = x * scale[:, None, None]
        chunks, _ = reference.chunk(x, lengths, chunk_size=size, chunk_step=step)
        return chunks.astype(np.float32)
    chunks = xp.empty((size, batch * count, features), np.float32)
    workers = workers if xp is np else max(1, size * batch)
    launch(SOURCE, "chunk_split", x, lengths, scale, chunks, *sizes[1:], workers=workers, xp=xp)
    return chunks


def _sum(
    xp: ModuleType, sizes: _Sizes, chunks: Any, lengths: Any, scale: Any, threads: int | None
) -> Any:
    workers = thread_count(threads)
    time, batch, features, size, step, _ = sizes
    if xp is np and host.library(SOURCE) is None:
        options = {"time": time, "chunk_size": size, "chunk_step": step}
        x = reference.chunk_backward(chunks, lengths, **options)
        return (x * scale[:, None, None]).astype(np.float32)
    x = xp.empty((time, batch, features), np.float32)
    workers = workers if xp is np else max(1, time * batch)
    launch(SOURCE, "chunk_sum", chunks, lengths, scale, x, *sizes, workers=workers, xp=xp)
    return x
