"""Random numbers that depend on seed, step and place alone, so that any run can be repeated."""

from __future__ import annotations

import zlib
from typing import Any

from returnn_lite.lazy import tf


def seed_for(seed: int, step: Any, path: str) -> Any:
    """Return int32 [2], the seed of a place in a network at a training step."""
    place = zlib.crc32(path.encode("utf-8")) ^ (seed * 0x9E3779B1 & 0xFFFFFFFF)
    return tf.stack([tf.cast(place - 2**31, tf.int32), tf.cast(step, tf.int32)])


def uniform(shape: list[Any], seed: Any) -> Any:
    """Return float32 of a shape in [0, 1)."""
    return tf.random.stateless_uniform(shape, seed)


def stream_of(seed: Any) -> tuple[Any, Any]:
    """Return uint64 [1] and [2], the key and the counter from which `uniform` draws.

    The generator (Philox, Salmon et al., 2011) gives four numbers for each count of its counter.
    """
    key, counter = tf.raw_ops.StatelessRandomGetKeyCounter(seed=seed)
    return key, counter


def uniform_steps(shape: list[Any], seed: Any, first: Any, count: Any) -> Any:
    """Return float32 [count, *shape] in [0, 1): what the steps from `first` on draw.

    Every step has its own part of the random stream, so that one step alone draws the same.
    """
    size = tf.reduce_prod(tf.cast(tf.stack(shape), tf.int32)) if shape else tf.constant(1)
    blocks = -(-size // 4)
    key, counter = stream_of(seed)
    offset = tf.stack([tf.cast(first, tf.int64) * tf.cast(blocks, tf.int64), 0])
    numbers = tf.raw_ops.StatelessRandomUniformV2(
        shape=[count, 4 * blocks], key=key, counter=counter + tf.cast(offset, tf.uint64), alg=1
    )
    return tf.reshape(numbers[:, :size], [count, *shape])
