"""Dropout of a joint network, whose mask is made where it is needed and never stored."""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np

from cupy_kernels import check

_WORD = 2**32
_SIGNED = 2**63


class Dropout(NamedTuple):
    """Dropout of what the joint network's matrix multiplies; what stays is scaled.

    Entry j at frame t of sequence b, where u labels are out, is dropped where number
    b strides[0] + t strides[1] + u strides[2] + j of a stream of numbers in [0, 1) is below the
    rate. So a stride of 0 has one draw for all entries of an axis. The numbers are those of
    Philox4x32-10 (J. Salmon et al., "Parallel random numbers: as easy as 1, 2, 3", 2011).
    """

    rate: float  # 0 or more, below 1
    key: int  # 64 bits
    counter: int  # 128 bits, of the first four numbers
    strides: tuple[int, int, int]  # of batch, time, and labels that are out

    @property
    def threshold(self) -> int:
        """The least of the 2^23 values of a number that is kept."""
        return math.ceil(float(np.float32(self.rate)) * 2**23)

    @property
    def scale(self) -> np.float32:
        """Of what is kept."""
        return np.float32(1) / np.float32(1 - self.rate)


def check_dropout(where: str, dropout: Dropout | None) -> None:
    """Raise ArgumentError where a value is out of its range."""
    if dropout is None:
        return
    if not isinstance(dropout, Dropout):
        check.fail(where, "dropout", f"a {type(dropout).__name__}", "a Dropout, or None")
    rate, strides = dropout.rate, dropout.strides
    number = check.whole(rate) or isinstance(rate, float | np.floating)
    if not (number and 0 <= rate < 1):
        check.fail(where, "dropout.rate", repr(rate), "a number, 0 or more, below 1")
    for name, bits in (("key", 64), ("counter", 128)):
        value = getattr(dropout, name)
        check.integer(where, f"dropout.{name}", value)
        if not 0 <= int(value) < 2**bits:
            check.fail(where, f"dropout.{name}", str(value), f"{bits} bits")
    three = isinstance(strides, tuple | list) and len(strides) == 3
    if not (three and all(check.whole(x) and 0 <= x < 2**48 for x in strides)):
        needed = "three whole numbers from 0 to 2^48 - 1: of batch, time and labels"
        check.fail(where, "dropout.strides", repr(strides), needed)


def packed(dropout: Dropout | None, xp: Any) -> Any:
    """int64 [8], as dropout.h counts them."""
    if dropout is None:
        return xp.zeros(8, np.int64)
    key, counter = int(dropout.key), int(dropout.counter)
    words = (key, counter % 2**64, counter >> 64)
    signed = [(word + _SIGNED) % 2**64 - _SIGNED for word in words]
    fields = [dropout.threshold, int(dropout.scale.view(np.int32)), *signed, *dropout.strides]
    return xp.asarray(np.array(fields, np.int64))


def factors(dropout: Dropout | None, shape: tuple[int, int, int, int]) -> Any:
    """float64 [batch, time, labels + 1, joint]: 0, or the scale."""
    if dropout is None:
        return np.ones(shape)
    axes = np.ogrid[tuple(slice(size) for size in shape)]
    places = sum(axis * stride for axis, stride in zip(axes, (*dropout.strides, 1), strict=True))
    blocks, place = np.unique(places // 4, return_inverse=True)
    numbers = _philox(int(dropout.key), int(dropout.counter), blocks)
    drawn = numbers[place.reshape(shape), places % 4] % 2**23
    return np.where(drawn < dropout.threshold, 0.0, np.float64(dropout.scale))


def _philox(key: int, counter: int, blocks: Any) -> Any:
    """uint64 [blocks, 4]: the 32 bits of each number."""
    counters = [(counter + int(q)) % 2**128 for q in blocks]
    a, b, c, d = (
        np.array([x >> shift & (_WORD - 1) for x in counters], np.uint64)
        for shift in (0, 32, 64, 96)
    )
    first, second = key % _WORD, key >> 32
    mask, half = np.uint64(_WORD - 1), np.uint64(32)
    for _ in range(10):
        left, right = a * np.uint64(0xD2511F53), c * np.uint64(0xCD9E8D57)
        a, b = (right >> half) ^ b ^ np.uint64(first), right & mask
        c, d = (left >> half) ^ d ^ np.uint64(second), left & mask
        first, second = (first + 0x9E3779B9) % _WORD, (second + 0xBB67AE85) % _WORD
    return np.stack([a, b, c, d], axis=1)
