"""Whether systems differ: the segments, the test, and the interval of the difference."""

from __future__ import annotations

import random

import pytest

from jobs.score.edits import Pair, align
from jobs.score.significance import FEW, compare, mapsswe, segments

Words = list[list[str]]


def aligned(reference: Words, hypothesis: Words) -> list[list[Pair]]:
    return [align(r, h) for r, h in zip(reference, hypothesis, strict=True)]


def cut(reference: str, first: str, second: str) -> list[tuple[int, int]]:
    """Return the segments of a sentence, its words given by letters."""
    return list(segments(align(reference, first), align(reference, second)))


@pytest.mark.parametrize(
    ("first", "second", "expected"),
    [
        ("abcdefgh", "abcdefgh", []),
        ("Xbcdefgh", "abcdefgh", [(1, 0)]),
        ("Xbcdefgh", "abcdefgX", [(1, 0), (0, 1)]),
        ("Xbcdefgh", "Xbcdefgh", [(1, 1)]),  # errors of both are no difference, but a segment
        ("aXcYefgh", "abcdefgh", [(2, 0)]),  # one good word between does not part them
        ("aXcdYfgh", "abcdefgh", [(1, 0), (1, 0)]),  # two do
        ("aXcdYfgh", "abcXefgh", [(2, 1)]),  # unless the other system has one of them wrong
        ("aXc+dYfgh", "abcdefgh", [(3, 0)]),  # or something is inserted between them
        ("aXcdefgh+", "abcdefgh", [(1, 0), (1, 0)]),
        ("acdefgh", "+abcdefgh", [(1, 1)]),
    ],
)
def test_segments(first: str, second: str, expected: list[tuple[int, int]]) -> None:
    assert cut("abcdefgh", first, second) == expected


def systems(seed: int) -> tuple[Words, Words, Words]:
    """Return references and two systems that substitute words, of 40 sentences."""
    rng = random.Random(seed)
    words = [f"w{i}" for i in range(40)]
    reference = [
        [words[int(40 * rng.random())] for _ in range(3 + int(20 * rng.random()))]
        for _ in range(40)
    ]
    first, second = (
        [[w if rng.random() > rate else "wrong" for w in row] for row in reference]
        for rate in (0.08, 0.11)
    )
    return reference, first, second


@pytest.mark.parametrize(("seed", "p"), [(1, 0.258), (2, 0.029), (3, 0.197), (4, 1.0), (5, 0.027)])
def test_the_probability_is_that_of_sctk(seed: int, p: float) -> None:
    """By sc_stats -t mapsswe of SCTK 2.4.10, which looks its normal distribution up in a table."""
    reference, first, second = systems(seed)
    found = compare(aligned(reference, first), aligned(reference, second))
    assert found.p == pytest.approx(p, abs=0.0015)


def test_a_difference_and_its_interval() -> None:
    reference, first, second = systems(2)
    found = compare(aligned(reference, first), aligned(reference, second))
    words = sum(map(len, reference))
    wrong = [sum(row.count("wrong") for row in rows) for rows in (first, second)]
    assert found.difference == pytest.approx(100 * (wrong[1] - wrong[0]) / words)
    assert found.interval[0] < found.difference < found.interval[1]
    turned = compare(aligned(reference, second), aligned(reference, first))
    assert turned.difference == -found.difference and turned.p == found.p
    assert turned.interval == pytest.approx(found.turned.interval, abs=1e-9)


def test_systems_that_always_differ_by_as_much() -> None:
    assert mapsswe([(1, 0)] * FEW) == 0.0
    assert mapsswe([(1, 1)] * FEW) == 1.0


def test_few_segments_tell_nothing() -> None:
    assert mapsswe([(1, 0)] * (FEW - 1)) is None
    found = compare([align("ab", "ab")], [align("ab", "aX")])
    assert (found.difference, found.p, found.segments) == (50.0, None, 1)
