"""Additive noise, and random generators for it."""

from __future__ import annotations

import hashlib
from typing import Literal, TypeAlias

import numpy as np

from jobs.corpus.audio import Samples

Noise: TypeAlias = Literal["white", "pink", "speech"]


def generator(*key: str | int) -> np.random.Generator:
    """Return a generator that depends on the key alone, not on what was drawn before."""
    text = "/".join(str(part) for part in key)
    return np.random.default_rng(int.from_bytes(hashlib.sha256(text.encode()).digest()))


def noise(kind: Noise, time: int, sample_rate: int, draw: np.random.Generator) -> Samples:
    """Return [time] float32 Gaussian noise of mean power 1; sample_rate: Hz.

    `pink` falls by 3 dB an octave; `speech` is flat to 500 Hz and then falls by 9 dB an octave,
    about as speech does over a long time (Byrne et al., JASA 96, 1994).
    """
    if kind == "white":
        return _unit_power(draw.standard_normal(time))
    size = 1 << (time - 1).bit_length()  # a power of two: other lengths are slow to transform
    hertz = np.fft.rfftfreq(size, 1 / sample_rate)
    lowest = 50.0  # nothing below is heard, and pink noise has no end there
    if kind == "pink":
        gain = np.maximum(hertz, lowest) ** -0.5
    else:
        gain = np.maximum(hertz / 500, 1.0) ** -1.5
    gain[hertz < lowest] = 0
    spectrum = np.fft.rfft(draw.standard_normal(size)) * gain
    return _unit_power(np.fft.irfft(spectrum, n=size)[:time])


def _unit_power(samples: np.ndarray) -> Samples:
    power = float(np.mean(samples**2))
    unit: Samples = (samples / np.sqrt(power or 1.0)).astype(np.float32)
    return unit


def decibels(value: float) -> np.float32:
    """Return the factor of amplitude of a level in dB."""
    return np.float32(10 ** (value / 20))


def rms(samples: Samples) -> float:
    """Return the root of the mean square of [time] samples."""
    return float(np.sqrt(np.mean(samples.astype(np.float64) ** 2)))


def background(samples: Samples, sample_rate: int) -> float:
    """Return the root of the mean square of the quietest 20 ms of a recording."""
    frame = sample_rate // 50
    starts = range(0, max(len(samples) - frame, 0) + 1, frame)
    return min(rms(samples[start : start + frame]) for start in starts)
