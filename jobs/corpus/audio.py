"""Reading and writing recordings: one channel, any sampling rate."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TypeAlias

import numpy as np
import numpy.typing as npt
import soundfile
import soxr

from jobs.job import JobError

Samples: TypeAlias = npt.NDArray[np.float32]

# The largest value that 16 bits hold, as a fraction of full scale.
LARGEST = np.float32(1 - 2**-15)
_AGAIN = "try to fetch it again"


def read_audio(path: Path, sample_rate: int) -> Samples:
    """Read a wav or FLAC file of one channel, resampled if need be.

    sample_rate: Hz of the result. Returns [time] float32, in [-1, 1).
    Raises JobError, naming the file, where it is missing, unreadable, empty, or has more channels.
    """
    samples, found = read_raw(path)
    return resample(samples, found, sample_rate)


def read_raw(path: Path) -> tuple[Samples, int]:
    """Read a file of one channel as it is: samples [time] float32, and the sampling rate in Hz.

    Raises JobError as `read_audio` does.
    """
    if not path.is_file():
        raise JobError(f"audio {path}: found no such file, needed a recording; check the manifest")
    if path.stat().st_size == 0:
        raise JobError(f"audio {path}: found an empty file, needed wav or FLAC; {_AGAIN}")
    if missing := _missing_bytes(path):
        raise JobError(
            f"audio {path}: found {missing} bytes less than its header says, needed all; {_AGAIN}"
        )
    try:
        samples, rate = soundfile.read(path, dtype="float32", always_2d=True)
    except (soundfile.SoundFileError, OSError) as error:
        reason = str(getattr(error, "error_string", error)).rstrip(".")
        raise JobError(
            f"audio {path}: unreadable: {reason}; needed wav or FLAC, {_AGAIN}"
        ) from None
    time, channels = samples.shape
    if channels != 1:
        raise JobError(f"audio {path}: found {channels} channels, needed 1; try to split them")
    if time == 0:
        raise JobError(f"audio {path}: found no samples, needed a recording; {_AGAIN}")
    return samples[:, 0], int(rate)


def _missing_bytes(path: Path) -> int:
    """Return how many bytes of samples a wav file lacks, which its reader would not tell."""
    size = path.stat().st_size
    with path.open("rb") as file:
        if file.read(4) != b"RIFF":
            return 0
        file.seek(12)
        while len(head := file.read(8)) == 8:
            length = int.from_bytes(head[4:], "little")
            if head[:4] == b"data":
                unknown = length in (0, 2**32 - 1)  # as of a program that wrote into a pipe
                return 0 if unknown else max(0, file.tell() + length - size)
            file.seek(length + length % 2, 1)
    return 0


def resample(samples: Samples, found: int, wanted: int) -> Samples:
    """Resample [time] float32 from one rate to another (Hz), limited to [-1, 1)."""
    if found != wanted:
        samples = soxr.resample(samples, found, wanted, quality="HQ").astype(np.float32)
    return np.clip(samples, np.float32(-1), LARGEST)


def write_audio(path: Path, samples: Samples, sample_rate: int) -> None:
    """Write [time] samples, in [-1, 1), as a wav file of 16 bits; sample_rate: Hz."""
    integers = np.round(np.clip(samples, -1, LARGEST) * 2**15).astype(np.int16)
    soundfile.write(path, integers, sample_rate, subtype="PCM_16", format="WAV")


def duration(path: Path) -> float:
    """Return the seconds of a file by its header; 0 where it is missing or unreadable."""
    try:
        return float(soundfile.info(path).duration)
    except (soundfile.SoundFileError, OSError):
        return 0.0


def sampled_seconds(paths: Sequence[Path], most: int = 30) -> float:
    """Return about how long recordings are together, from some of them that can be read."""
    some = [duration(path) for path in paths[:: max(1, len(paths) // most)]]
    found = [seconds for seconds in some if seconds > 0]
    return len(paths) * sum(found) / len(found) if found else 0.0
