"""The reference against its definition: all ways to edit, and all completions."""

from __future__ import annotations

import functools
import itertools

import pytest

from cupy_kernels.edit import reference

Labels = tuple[int, ...]
ALL = [x for n in range(4) for x in itertools.product(range(2), repeat=n)]


@functools.cache
def _distance(a: Labels, b: Labels) -> int:
    """By recursion over the first step."""
    if not a or not b:
        return len(a) + len(b)
    ways = (_distance(a[1:], b[1:]) + (a[0] != b[0]), _distance(a[1:], b), _distance(a, b[1:]))
    return min(ways[0], ways[1] + 1, ways[2] + 1)


@functools.cache
def _counts(a: Labels, b: Labels) -> frozenset[tuple[int, int, int]]:
    """Those of all alignments, good or bad."""
    if not a and not b:
        return frozenset([(0, 0, 0)])
    found = set()
    if a and b:
        found |= {(s + (a[0] != b[0]), d, i) for s, d, i in _counts(a[1:], b[1:])}
    if b:
        found |= {(s, d + 1, i) for s, d, i in _counts(a, b[1:])}
    if a:
        found |= {(s, d, i + 1) for s, d, i in _counts(a[1:], b)}
    return frozenset(found)


def test_distances_are_the_least_of_all_ways() -> None:
    for a, b in itertools.product(ALL, repeat=2):
        assert reference.distance(a, b) == _distance(a, b)
        prefixes = [_distance(a, b[:i]) for i in range(len(b) + 1)]
        assert reference.table(a, b)[-1] == prefixes


def test_counts_are_those_of_a_best_alignment() -> None:
    for a, b in itertools.product(ALL, repeat=2):
        counts = reference.alignment_counts(a, b)
        assert counts in _counts(a, b)
        assert sum(counts) == _distance(a, b)


@pytest.mark.parametrize("b", [(), (0,), (0, 1, 1), (1, 0, 1, 0), (0, 0, 1)])
@pytest.mark.parametrize("a", [(), (1,), (0, 0), (1, 1, 0)])
def test_completions_are_the_best_of_all(a: Labels, b: Labels) -> None:
    """Longer completions than b itself can only be worse."""
    tails = [x for n in range(len(b) + 1) for x in itertools.product(range(2), repeat=n)]
    best = [min(_distance((*a, s, *tail), b) for tail in tails) for s in range(3)]
    assert reference.optimal_completion(reference.table(a, b)[-1], b, range(3)) == best
