"""The text files of a Kaldi data directory: a key and a value on each line."""

from __future__ import annotations

import math
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from pathlib import Path

from jobs.job import JobError

SHOWN = 5


@dataclass(frozen=True, kw_only=True)
class Segment:
    """A part of a recording; start, end: seconds."""

    audio: Path
    start: float
    end: float


def read_table(path: Path, *, empty: bool = False) -> dict[str, str]:
    """Read a table as a dict in the file's order.

    empty: whether a value may be empty. Raises JobError, with file and line, for a line without
    a value, for a key that is there twice, and for text that is not UTF-8.
    """
    return {key: value for _, key, value in _rows(path, empty)}


def _rows(path: Path, empty: bool = False) -> Iterator[tuple[str, str, str]]:
    """Yield where a line is (`file:line`), its key and its value."""
    if not path.is_file():
        raise JobError(f"{path}: found no such file, needed a table of a Kaldi data directory")
    seen: set[str] = set()
    for number, line in enumerate(path.read_bytes().splitlines(), 1):
        where = f"{path}:{number}"
        try:
            key, _, value = line.decode().strip().replace("\t", " ").partition(" ")
        except UnicodeDecodeError:
            raise JobError(f"{where}: found {line[:40]!r}, needed UTF-8; try iconv") from None
        if not key or (not value and not empty):
            raise JobError(f"{where}: found {key!r}, needed a key and a value")
        if key in seen:
            raise JobError(f"{where}: {key!r} is there twice")
        seen.add(key)
        yield where, key, value.strip()


def read_wav_scp(path: Path, root: Path) -> dict[str, Path]:
    """Read a wav.scp of plain paths, relative to root.

    Raises JobError for a command (nothing of a table is ever run) and for a part of an archive.
    """
    wavs: dict[str, Path] = {}
    for where, key, value in _rows(path):
        if value.endswith("|") or value.startswith("|"):
            raise JobError(
                f"{where}: found the command {value!r}, needed a path; commands are not run: try "
                "to write its output to a wav or FLAC file first"
            )
        if ".ark:" in value or value == "-":
            raise JobError(f"{where}: found {value!r}, needed the path of a wav or FLAC file")
        wavs[key] = root / value
    return wavs


def read_segments(path: Path, wavs: dict[str, Path]) -> dict[str, Segment]:
    """Read a file of segments: `utterance recording start end`, in seconds; end -1: to the end.

    Raises JobError, with file and line, for a line that is none.
    """
    segments: dict[str, Segment] = {}
    for where, key, value in _rows(path):
        try:
            recording, start_text, end_text = value.split()
            start, end = float(start_text), float(end_text)
        except ValueError:
            raise JobError(
                f"{where}: found {value!r}, needed a recording, start and end in seconds"
            ) from None
        if recording not in wavs:
            raise JobError(f"{where}: found recording {recording!r}, needed one of wav.scp")
        if not (start >= 0 and (end == -1 or start < end < math.inf)):
            raise JobError(f"{where}: found {start} to {end} s, needed 0 <= start < end")
        segments[key] = Segment(audio=wavs[recording], start=start, end=end)
    return segments


def check_keys(path: Path, keys: Collection[str], other: Path, others: Collection[str]) -> None:
    """Raise JobError unless all keys of one table are in another."""
    missing = [key for key in keys if key not in others]
    if missing:
        shown = ", ".join(missing[:SHOWN]) + (", ..." if len(missing) > SHOWN else "")
        raise JobError(
            f"{other}: found no line for {len(missing)} of {len(keys)} utterances of {path.name}, "
            f"needed one for each: {shown}"
        )
