"""Times of labels and words."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jobs.align.intervals import Interval, label_intervals, runs, word_intervals

LABELS = ["</s>", "<unk>", "\u2581a", "b", "\u2581", "c"]
BLANK = len(LABELS)


def _intervals(frames: list[int], repeat: bool, extend: float) -> list[Interval]:
    return label_intervals(
        frames,
        LABELS,
        frame_shift=0.04,
        duration=0.04 * len(frames) - 0.01,
        repeat_labels=repeat,
        extend=extend,
    )


@pytest.mark.parametrize(
    ("repeat", "expected"),
    [
        (True, [(2, 1, 3), (3, 3, 4), (3, 5, 6)]),
        (False, [(2, 1, 2), (2, 2, 3), (3, 3, 4), (3, 5, 6)]),
    ],
)
def test_runs(repeat: bool, expected: list[tuple[int, int, int]]) -> None:
    assert list(runs([6, 2, 2, 3, 6, 3], BLANK, repeat)) == expected
    assert list(runs([6, 6], BLANK, repeat)) == []
    assert list(runs([], BLANK, repeat)) == []


def test_a_label_lasts_its_frames_and_reaches_no_other_label() -> None:
    frames = [6, 2, 2, 6, 6, 6, 3, 3, 6]
    assert _intervals(frames, True, 0.0) == [
        Interval(0.04, 0.12, "\u2581a"),
        Interval(0.24, 0.32, "b"),
    ]
    assert _intervals(frames, True, 0.05)[0] == Interval(0.04, 0.17, "\u2581a")
    assert _intervals(frames, True, 9.0) == [
        Interval(0.04, 0.24, "\u2581a"),
        Interval(0.24, 0.35, "b"),
    ]
    assert _intervals(frames, False, 9.0)[0] == Interval(0.04, 0.08, "\u2581a")


def test_words_begin_at_the_boundary() -> None:
    intervals = [
        Interval(i, i + 0.5, text)
        for i, text in enumerate(["b", "c", "\u2581", "c", "\u2581a", "<unk>", "</s>"])
    ]
    assert word_intervals(intervals) == [
        Interval(0, 1.5, "bc"),
        Interval(3, 3.5, "c"),
        Interval(4, 5.5, "a<unk>"),
    ]
    assert word_intervals([Interval(0, 1, "\u2581"), Interval(1, 2, "</s>")]) == []


@given(
    frames=st.lists(st.integers(0, BLANK), max_size=30),
    repeat=st.booleans(),
    extend=st.sampled_from([0.0, 0.03, 0.1, 5.0]),
)
def test_times_are_ordered_and_inside_the_recording(
    frames: list[int], repeat: bool, extend: float
) -> None:
    duration = round(0.04 * len(frames) - 0.01, 6)
    units = _intervals(frames, repeat, extend)
    collapsed = [label for label, _ in itertools.groupby(frames)] if repeat else frames
    assert [i.text for i in units] == [LABELS[k] for k in collapsed if k != BLANK]
    for intervals in (units, word_intervals(units)):
        times = [time for i in intervals for time in (i.start, i.end)]
        assert times == sorted(times)
        assert all(i.start < i.end for i in intervals)
        assert not times or (times[0] >= 0 and times[-1] <= duration)
