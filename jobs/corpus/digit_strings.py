"""Digits of one speaker, joined to strings with pauses."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from jobs.corpus.audio import Samples
from jobs.corpus.fsdd_recordings import DIGITS, TEST_TAKES, Recording
from jobs.corpus.noise import background, noise
from jobs.corpus.ranges import Range
from jobs.job import JobError, nearest


@dataclass(frozen=True, kw_only=True)
class String:
    """Recordings of one speaker to join, and the name of the utterance that they make."""

    utt: str
    recordings: tuple[Recording, ...]

    @property
    def text(self) -> str:
        """The digits as words."""
        return " ".join(DIGITS[r.digit] for r in self.recordings)


def split(
    recordings: Sequence[Recording], dev_takes: int, held_out: str | None
) -> dict[str, list[Recording]]:
    """Return the recordings of train, dev and test, which are disjoint.

    Without a held-out speaker, test has the official test recordings. With one, test has all of
    that speaker. Train and dev have official train recordings of the (other) speakers.
    Raises JobError for an unknown speaker.
    """
    speakers = {r.speaker for r in recordings}
    if held_out is not None and held_out not in speakers:
        raise JobError(
            f"corpus.fsdd: unknown held_out_speaker {held_out!r}{nearest(held_out, speakers)}"
        )
    rest = [r for r in recordings if r.take >= TEST_TAKES and r.speaker != held_out]
    official = [r for r in recordings if r.take < TEST_TAKES]
    in_dev = range(TEST_TAKES, TEST_TAKES + dev_takes)
    return {
        "train": [r for r in rest if r.take not in in_dev],
        "dev": [r for r in rest if r.take in in_dev],
        "test": [r for r in recordings if r.speaker == held_out] if held_out else official,
    }


def strings(
    name: str, recordings: Sequence[Recording], uses: int, lengths: Range, seed: int
) -> list[String]:
    """Join the recordings of each speaker to strings; each recording is used `uses` times.

    name: what the utterances' names begin with.
    """
    found: list[String] = []
    for speaker in sorted({r.speaker for r in recordings}):
        own = [r for r in recordings if r.speaker == speaker]
        draw = random.Random(f"fsdd/{name}/{speaker}/{seed}")
        parts: list[tuple[Recording, ...]] = []
        for _ in range(uses):
            draw.shuffle(own)
            start = 0
            for length in cut(len(own), lengths, draw):
                parts.append(tuple(own[start : start + length]))
                start += length
        found += [
            String(utt=f"{name}-{speaker}-{i:04d}", recordings=part) for i, part in enumerate(parts)
        ]
    return found


def cut(total: int, lengths: Range, draw: random.Random) -> list[int]:
    """Draw lengths, within a range, whose sum is `total`. Raises JobError where there are none."""

    def possible(rest: int) -> bool:
        return -(-rest // lengths.high) * lengths.low <= rest

    if not possible(total):
        raise JobError(
            f"corpus.fsdd: found strings of {lengths.low} to {lengths.high} digits, needed lengths "
            f"that add up to {total} recordings; try a wider range"
        )
    found: list[int] = []
    while total:
        highest = min(lengths.high, total)
        choices = [n for n in range(lengths.low, highest + 1) if possible(total - n)]
        found.append(draw.choice(choices))
        total -= found[-1]
    return found


def join(
    parts: Sequence[Samples], sample_rate: int, pause_ms: Range, draw: np.random.Generator
) -> Samples:
    """Join recordings [time] with pauses before, between and after them.

    The recordings stay as they are; the pauses are noise as loud as their quietest background, as
    digital silence would tell where a recording ends.
    """
    level = np.float32(min(background(part, sample_rate) for part in parts))
    pauses = draw.integers(pause_ms.low, pause_ms.high + 1, size=len(parts) + 1)
    gaps = [
        level * noise("white", int(ms) * sample_rate // 1000, sample_rate, draw) for ms in pauses
    ]
    joined = [gaps[0]]
    for part, gap in zip(parts, gaps[1:], strict=True):
        joined += [part, gap]
    return np.concatenate(joined)
