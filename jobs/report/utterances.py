"""Utterances of a set as a page shows them: the words of all systems below the reference."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from jobs.corpus.manifest import Utterance
from jobs.report.media import audio_uri, recording
from jobs.report.systems import Set
from jobs.score.edits import Counts, Pair, count

PLAYED, SECONDS = 12, 120.0  # utterances of a set with their recording, and their sum
LISTED = 200
WIDTH = 105  # characters of a line


@dataclass(frozen=True)
class Cell:
    """A word of a system; kind: correct, sub, del or ins, or none where it has no word."""

    text: str
    kind: str
    told: str = ""


@dataclass(frozen=True)
class Line:
    """A part of an utterance: words of the reference, and those of each system below them."""

    reference: Sequence[str]
    rows: Sequence[Sequence[Cell]]


@dataclass(frozen=True)
class Shown:
    """An utterance; audio: a data URI, or none. counts: errors of each system.

    differ: whether the systems differ.
    """

    utterance: Utterance
    counts: Sequence[Counts]
    lines: Sequence[Line]
    audio: str | None
    differ: bool


def shown(of: Set, played: int = PLAYED, listed: int = LISTED) -> list[Shown]:
    """Return the utterances with the most errors first; the first ones have their recording.

    played: how many at most, as far as they are not longer than SECONDS in all.
    """
    found = []
    seconds = 0.0
    for number, utt in enumerate(of.worst()[:listed]):
        utterance, words = of.utterances[utt], [s.words[utt] for s in of.systems]
        audio = None
        fits = number < played and seconds + utterance.duration <= SECONDS
        if fits and (heard := recording(utterance.audio)):
            audio = audio_uri(*heard)
            seconds += utterance.duration
        differ = any(w != words[0] for w in words)
        found.append(Shown(utterance, [*map(count, words)], lines(words), audio, differ))
    return found


def lines(systems: Sequence[Sequence[Pair]], width: int = WIDTH) -> list[Line]:
    """Return an utterance in lines of about width characters.

    systems: the aligned words of each. What systems insert at one place is in the same columns.
    """
    parts: list[list[tuple[str, list[Cell]]]] = []
    room = 0
    for column in _columns(systems):
        size = 2 + max(len(column[0]), *(len(cell.text) for cell in column[1]))
        if not parts or size > room:
            parts.append([])
            room = width
        room -= size
        parts[-1].append(column)
    return [
        Line([word for word, _ in part], [*zip(*(cells for _, cells in part), strict=True)])
        for part in parts
    ]


def _columns(systems: Sequence[Sequence[Pair]]) -> list[tuple[str, list[Cell]]]:
    """Return a word of the reference, or none, and the words of all systems for it."""
    columns: list[tuple[str, list[Cell]]] = []
    for here in zip(*map(_places, systems), strict=True):
        for i in range(max(len(inserted) for inserted, _ in here)):
            columns.append(("", [_inserted(inserted, i) for inserted, _ in here]))
        if pairs := [pair for _, pair in here if pair]:
            columns.append((pairs[0][0] or "", [*map(_cell, pairs)]))
    return columns


def _places(pairs: Sequence[Pair]) -> list[tuple[list[str], Pair | None]]:
    """Return what is inserted before each word of the reference, and its pair; the end has none."""
    found: list[tuple[list[str], Pair | None]] = []
    inserted: list[str] = []
    for pair in pairs:
        if pair[0] is None:
            inserted.append(pair[1] or "")
        else:
            found.append((inserted, pair))
            inserted = []
    return [*found, (inserted, None)]


def _inserted(words: Sequence[str], number: int) -> Cell:
    if number >= len(words):
        return Cell("", "none")
    return Cell(words[number], "ins", f"inserted: {words[number]}")


def _cell(pair: Pair) -> Cell:
    reference, hypothesis = pair
    if hypothesis is None:
        return Cell("∅", "del", f"deleted: {reference}")
    if hypothesis == reference:
        return Cell(hypothesis, "correct")
    return Cell(hypothesis, "sub", f"substituted: {reference} → {hypothesis}")
