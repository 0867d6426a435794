"""Recordings and pictures as data URIs: within the page, so that it needs no other file."""

from __future__ import annotations

import base64
import io
import struct
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import soundfile

from jobs.corpus.audio import Samples, read_raw
from jobs.job import JobError

Array = npt.NDArray[Any]

RANGE = 70.0  # dB
# Dark to bright with even steps of lightness, as sRGB: what lies between is interpolated.
COLOURS = (
    (22, 20, 54),
    (64, 44, 120),
    (45, 110, 160),
    (40, 170, 150),
    (150, 210, 90),
    (253, 240, 150),
)


def uri(kind: str, content: bytes) -> str:
    """Return a data URI; kind: the media type."""
    return f"data:{kind};base64,{base64.b64encode(content).decode('ascii')}"


def audio_uri(samples: Samples, sample_rate: int) -> str:
    """Return a recording as FLAC with 16 bits, which browsers play; samples: [time] in [-1, 1)."""
    out = io.BytesIO()
    soundfile.write(out, samples, sample_rate, format="FLAC", subtype="PCM_16")
    return uri("audio/flac", out.getvalue())


def recording(path: Path) -> tuple[Samples, int] | None:
    """Return samples and rate of a recording; None for one that is gone or cannot be read."""
    try:
        return read_raw(path)
    except JobError:
        return None


def picture_uri(values: Array) -> str:
    """Return a matrix as a picture, the least value dark, the greatest bright.

    values: [height, width] float, the first row at the top.
    """
    low, high = float(values.min()), float(values.max())
    scaled = (values - low) / (high - low) if high > low else np.zeros(values.shape)
    return uri("image/png", png(np.rint(255 * scaled).astype(np.uint8)))


def png(pixels: npt.NDArray[np.uint8]) -> bytes:
    """Return a PNG file (ISO/IEC 15948) of 256 COLOURS; pixels: [height, width], their numbers."""
    height, width = pixels.shape
    header = struct.pack(">IIBBBBB", width, height, 8, 3, 0, 0, 0)
    rows = np.concatenate([np.zeros((height, 1), np.uint8), pixels], axis=1)
    parts = {b"IHDR": header, b"PLTE": _palette(), b"IDAT": zlib.compress(rows.tobytes(), 9)}
    return b"\x89PNG\r\n\x1a\n" + b"".join(_chunk(*p) for p in [*parts.items(), (b"IEND", b"")])


def _palette() -> bytes:
    at = np.linspace(0, len(COLOURS) - 1, 256)
    channels = [np.interp(at, np.arange(len(COLOURS)), c) for c in zip(*COLOURS, strict=True)]
    colours: Array = np.rint(np.stack(channels, axis=1)).astype(np.uint8)
    return colours.tobytes()


def _chunk(kind: bytes, content: bytes) -> bytes:
    check = zlib.crc32(kind + content)
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", check)


def spectrogram(samples: Samples, sample_rate: int, shift: float = 0.01) -> Array:
    """Return log power [frequency, frames], high frequencies first, for a picture.

    shift: seconds from one frame to the next. Hann windows of 25 ms; what is more than RANGE below
    the loudest is cut.
    """
    length, step = round(0.025 * sample_rate), round(shift * sample_rate)
    padded = np.pad(samples, (length // 2, length))
    frames = np.lib.stride_tricks.sliding_window_view(padded, length)[: len(samples) : step]
    power = np.abs(np.fft.rfft(frames * np.hanning(length))) ** 2
    decibel = 10 * np.log10(power + 1e-12)
    cut: Array = np.maximum(decibel, decibel.max() - RANGE)
    return cut.T[::-1]
