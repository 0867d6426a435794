"""The references against their definition: all paths, and differences of the loss."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import pytest
from fuzz_fsa import random_automaton

from cupy_kernels.fsa import Automaton, reference

TIME, LABELS = 4, 3


def paths(one: Automaton, time: int) -> Iterator[tuple[list[int], int]]:
    """All accepted sequences of edges, and the state in which they begin."""
    found: list[tuple[list[int], int, int]] = [
        ([], int(s), int(s)) for s in np.flatnonzero(one.start < np.inf)
    ]
    for _ in range(time):
        found = [
            ([*path, edge], start, int(one.target[edge]))
            for path, start, state in found
            for edge in np.flatnonzero((one.source == state) & (one.cost < np.inf))
        ]
    yield from ((path, start) for path, start, state in found if one.final[state] < np.inf)


def score(frames: np.ndarray, one: Automaton, path: list[int], start: int) -> float:
    """The logarithm of what a path counts."""
    end = one.target[path[-1]] if path else start
    on_edges = frames[np.arange(len(path)), one.label[path]] - one.cost[path]
    return float(on_edges.sum() - one.start[start] - one.final[end])


@pytest.mark.parametrize("time", [0, 1, TIME])
@pytest.mark.parametrize("seed", range(12))
def test_sum_over_all_paths(seed: int, time: int) -> None:
    rng = np.random.default_rng(seed)
    one = random_automaton(rng, 1, LABELS, states=4)
    frames = rng.standard_normal((time, LABELS))
    all_paths = [(path, score(frames, one, path, start)) for path, start in paths(one, time)]
    loss, posteriors = reference.edge_posteriors(frames, one)
    total = np.logaddexp.reduce([value for _, value in all_paths] or [-np.inf])
    np.testing.assert_allclose(loss, -total, rtol=1e-12, atol=1e-12)
    expected = np.zeros((time, len(one.source)))
    for path, value in all_paths:
        expected[np.arange(time), path] += np.exp(value - total)
    np.testing.assert_allclose(posteriors, expected, rtol=1e-12, atol=1e-14)


def test_the_problems_have_paths_and_have_none() -> None:
    """So that the tests here are not about empty sums, nor only about full ones."""
    problems = [random_automaton(np.random.default_rng(s), 1, LABELS, states=4) for s in range(12)]
    counts = [len(list(paths(one, TIME))) for one in problems]
    assert sum(count > 5 for count in counts) >= 4
    assert sum(count == 0 for count in counts) >= 1


@pytest.mark.parametrize("seed", range(12))
def test_best_of_all_paths_and_the_rule_of_ties(seed: int) -> None:
    """Whole scores, so that many paths are equally good; ties are compared from the end."""
    rng = np.random.default_rng(seed)
    one = random_automaton(rng, 1, LABELS, states=4, whole=True)
    frames = rng.integers(0, 2, (TIME, LABELS)).astype(np.float64)
    found = list(paths(one, TIME))
    path, value = reference.best_path(frames, one)
    if not found:
        assert (path, value) == ([], -np.inf)
        return

    def rank(item: tuple[list[int], int]) -> tuple[object, ...]:
        edges = item[0][::-1]
        steps = [(int(one.source[edge]), -edge) for edge in edges]
        return score(frames, one, *item), int(one.target[edges[0]]), steps

    best, start = max(found, key=rank)
    assert path == best
    assert value == score(frames, one, best, start)


@pytest.mark.parametrize("operation", [reference.fsa_full_sum, reference.fsa_loss])
def test_gradient_equals_differences(operation) -> None:  # type: ignore[no-untyped-def]
    """Of a random combination of losses, so that no part of the gradient cancels."""
    rng = np.random.default_rng(1)
    automaton = _linear_with_skips()
    lengths = np.array([6, 4])
    scores, weights = rng.standard_normal((6, 2, LABELS)), rng.standard_normal(2)
    direction, step = rng.standard_normal(scores.shape), 1e-5

    def value(x: np.ndarray) -> float:
        return float(weights @ operation(x, lengths, automaton)[0])

    _, result = operation(scores, lengths, automaton)
    grad = result if operation is reference.fsa_loss else -result
    slope = (value(scores + step * direction) - value(scores - step * direction)) / (2 * step)
    np.testing.assert_allclose((grad * weights[:, None] * direction).sum(), slope, rtol=1e-8)
    assert not grad[4:, 1].any()


def test_gradient_of_costs_equals_differences() -> None:
    rng = np.random.default_rng(2)
    one = next(iter(_linear_with_skips()))
    frames, step = rng.standard_normal((5, LABELS)), 2.0**-10
    _, posteriors = reference.edge_posteriors(frames, one)
    for edge in range(len(one.source)):
        change = np.eye(len(one.source), dtype=np.float32)[edge] * np.float32(step)
        up, down = (replace(one, cost=one.cost + x) for x in (change, -change))
        losses = [reference.edge_posteriors(frames, a)[0] for a in (up, down)]
        slope = (losses[0] - losses[1]) / (2 * step)
        np.testing.assert_allclose(posteriors[:, edge].sum(), slope, rtol=1e-5, atol=1e-7)


def _linear_with_skips() -> Automaton:
    edges = [
        [
            (0, 0, 0, 0.5),
            (0, 1, 1),
            (1, 1, 1, 0.25),
            (1, 2, 2),
            (0, 2, 2, 1.5),
            (2, 2, 0),
            (2, 2, 1),
        ],
        [(0, 1, 2, -1.0), (1, 0, 1), (1, 1, 0, 0.75)],
    ]
    return Automaton.of(edges, [{0: 0.0}, {0: 0.5, 1: 1.0}], [{2: 0.0, 1: 0.25}, {1: 0.0}])
