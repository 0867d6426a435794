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
