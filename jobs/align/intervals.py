"""From a label for each frame to the times of labels and words."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace

from jobs.units.units import BOUNDARY, EOS


@dataclass(frozen=True)
class Interval:
    """What is said from start to end, in seconds."""

    start: float
    end: float
    text: str


def textgrid_name(utt: str) -> str:
    """Return the name of the TextGrid of an utterance, which may have slashes in its own."""
    return f"{utt.replace('%', '%25').replace('/', '%2F')}.TextGrid"


def runs(frames: Iterable[int], blank: int, repeat_labels: bool) -> Iterator[tuple[int, int, int]]:
    """Yield (label, first frame, end frame) of each label in an alignment; the end is exclusive.

    frames: label of each frame. repeat_labels: whether equal labels in a row are one label, which
    lasts that long (CTC), or as many labels of one frame each (RNA).
    """
    label, first, end = blank, 0, 0
    for i, current in enumerate([*frames, blank]):
        if label != blank and not (repeat_labels and current == label):
            yield label, first, end
            label = blank
        if current != blank:
            first = i if label == blank else first
            label, end = current, i + 1


def label_intervals(
    frames: Iterable[int],
    labels: Sequence[str],
    *,
    frame_shift: float,
    duration: float,
    repeat_labels: bool,
    extend: float,
) -> list[Interval]:
    """Return the interval of each label, in order; they do not overlap.

    frames: label of each frame; the blank is the index after the labels. frame_shift: seconds;
    frame i lasts from i to i + 1 of them. duration: seconds; no label starts later. extend:
    seconds by which a label lasts longer than its own frames, but never into another label.
    """
    found = list(runs(frames, len(labels), repeat_labels))
    starts = [first * frame_shift for _, first, _ in found]
    limits = [*starts, duration][1:]
    return [
        Interval(
            round(start, 6),
            round(min(end * frame_shift + extend, limit), 6),
            labels[label],
        )
        for (label, _, end), start, limit in zip(found, starts, limits, strict=True)
    ]


def word_intervals(intervals: Iterable[Interval]) -> list[Interval]:
    """Join labels to words: from the start of a word's first label to the end of its last.

    A label that is nothing but the boundary begins a word and adds no time to it; `</s>` is left
    out.
    """
    words: list[Interval] = []
    begins = True
    for interval in intervals:
        if interval.text == EOS:
            continue
        begins = begins or interval.text.startswith(BOUNDARY)
        text = interval.text.replace(BOUNDARY, "")
        if not text:
            continue
        if begins:
            words.append(replace(interval, text=text))
        else:
            words[-1] = Interval(words[-1].start, interval.end, words[-1].text + text)
        begins = False
    return words
