"""Overlapping chunks in TensorFlow's own operations."""

from __future__ import annotations

from typing import Any

from returnn_lite.lazy import tf


def chunk(x: Any, lengths: Any, *, chunk_size: int, chunk_step: int) -> tuple[Any, Any]:
    """Return chunks and their lengths, see `native.chunk`."""
    time = tf.shape(x)[0]
    starts = _starts(time, chunk_size, chunk_step)
    places = tf.range(chunk_size)[:, None] + starts
    behind = tf.pad(x, [[0, 1], [0, 0], [0, 0]])  # so that there is a frame to take
    frames = tf.gather(behind, tf.minimum(places, time))
    inside = places[:, :, None] < lengths
    frames = tf.where(inside[..., None], frames, 0.0)
    # [size, chunks, batch, features] -> [size, batch * chunks, features]
    frames = tf.transpose(frames, [0, 2, 1, 3])
    counts = tf.clip_by_value(lengths[:, None] - starts, 0, chunk_size)
    return tf.reshape(frames, [chunk_size, -1, x.shape[2]]), tf.reshape(counts, [-1])


def unchunk(
    chunks: Any, counts: Any, batch: Any, time: Any, *, chunk_size: int, chunk_step: int
) -> tuple[Any, Any]:
    """Return sequences and their lengths, see `native.unchunk`."""
    starts = _starts(time, chunk_size, chunk_step)
    number = tf.shape(starts)[0]
    table = tf.reshape(counts, [batch, number])
    lengths = tf.minimum(tf.reduce_max(tf.where(table > 0, table + starts, 0), axis=1), time)
    shape = [chunk_size, batch, number, chunks.shape[2]]
    frames = tf.transpose(tf.reshape(chunks, shape), [0, 2, 1, 3])
    places = tf.range(chunk_size)[:, None] + starts
    inside = tf.cast(places[:, :, None] < lengths, chunks.dtype)
    # Frames behind the end go to a row that is cut off.
    rows = tf.minimum(places, time)
    total = tf.math.unsorted_segment_sum(frames * inside[..., None], rows, time + 1)[:time]
    held = tf.math.unsorted_segment_sum(tf.ones_like(rows, chunks.dtype), rows, time + 1)[:time]
    return total / tf.maximum(held, 1.0)[:, None, None], lengths


def _starts(time: Any, size: int, step: int) -> Any:
    """Return int32 [chunks], where the chunks of a sequence begin."""
    return tf.range(-(-tf.maximum(time - size, 0) // step) + 1) * step
