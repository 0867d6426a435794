"""Overlapping chunks of sequences, and sequences of chunks."""

from __future__ import annotations

from typing import Any

from returnn_lite.lazy import tf
from returnn_lite.native import bridge, chunk_tf


def chunk(x: Any, lengths: Any, *, chunk_size: int, chunk_step: int) -> tuple[Any, Any]:
    """Return chunks [chunk_size, batch * n_chunks, features] and their lengths, int32.

    x: float32 [time, batch, features]. lengths: int32 [batch]. See `cupy_kernels.chunk`.
    """
    from cupy_kernels.chunk import chunk as forward
    from cupy_kernels.chunk import chunk_backward

    sizes = {"chunk_size": chunk_size, "chunk_step": chunk_step}
    if not _serves():
        return chunk_tf.chunk(x, lengths, **sizes)

    def backward(dchunks: Any, lengths: Any, time: Any) -> Any:
        return chunk_backward(dchunks, lengths, time=int(time), **sizes)

    @tf.custom_gradient  # type: ignore[untyped-decorator]
    def compute(x: Any) -> Any:
        chunks, counts = bridge.call(
            lambda *arrays: forward(*arrays, **sizes), [x, lengths], [tf.float32, tf.int32]
        )

        def gradient(dchunks: Any, _: Any) -> Any:
            [dx] = bridge.call(backward, [dchunks, lengths, tf.shape(x)[0]], [tf.float32])
            return tf.ensure_shape(dx, x.shape)

        return (tf.ensure_shape(chunks, [chunk_size, None, x.shape[2]]), counts), gradient

    chunks, counts = compute(x)
    return chunks, tf.ensure_shape(counts, [None])


def unchunk(
    chunks: Any, counts: Any, batch: Any, time: Any, *, chunk_size: int, chunk_step: int
) -> tuple[Any, Any]:
    """Return sequences [time, batch, features], each frame the mean of its places, and lengths.

    chunks, counts: as of `chunk`. batch, time: int32, sizes of the sequences.
    """
    from cupy_kernels.chunk import unchunk as kernel
    from cupy_kernels.chunk import unchunk_backward

    sizes = {"chunk_size": chunk_size, "chunk_step": chunk_step}
    if not _serves():
        return chunk_tf.unchunk(chunks, counts, batch, time, **sizes)

    def forward(chunks: Any, counts: Any, batch: Any, time: Any) -> Any:
        return kernel(chunks, counts, batch=int(batch), time=int(time), **sizes)[:2]

    @tf.custom_gradient  # type: ignore[untyped-decorator]
    def compute(chunks: Any) -> Any:
        arguments = [chunks, counts, tf.cast(batch, tf.int32), tf.cast(time, tf.int32)]
        x, lengths = bridge.call(forward, arguments, [tf.float32, tf.int32])

        def gradient(dx: Any, _: Any) -> Any:
            [dchunks] = bridge.call(
                lambda *arrays: unchunk_backward(*arrays, **sizes), [dx, lengths], [tf.float32]
            )
            return tf.ensure_shape(dchunks, chunks.shape)

        return (tf.ensure_shape(x, [None, None, chunks.shape[2]]), lengths), gradient

    x, lengths = compute(chunks)
    return x, tf.ensure_shape(lengths, [None])


def _serves() -> bool:
    from cupy_kernels.chunk.op import SOURCE

    return bridge.serves(SOURCE)
