"""The reference against its definition: all paths, and differences of the loss."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

from cupy_kernels.transducer import reference
from cupy_kernels.transducer.arguments import TOPOLOGIES

BLANK = 2
Path = tuple[tuple[int, int, int], ...]  # frame, labels before it, symbol


def _collapse(symbols: tuple[int, ...], topology: str) -> list[int]:
    if topology == "ctc":
        symbols = tuple(symbol for symbol, _ in itertools.groupby(symbols))
    return [symbol for symbol in symbols if symbol != BLANK]


def _paths(time: int, labels: list[int], topology: str) -> Iterator[Path]:
    """All paths that give the labels, by the definition of each topology."""
    if topology == "rnnt":
        for places in itertools.combinations(range(time + len(labels)), len(labels)):
            symbols, rest = [], iter(labels)
            for step in range(time + len(labels)):
                symbols.append(next(rest) if step in places else BLANK)
            if symbols[-1:] in ([BLANK], []):
                yield tuple(
                    (symbols[:i].count(BLANK), i - symbols[:i].count(BLANK), symbol)
                    for i, symbol in enumerate(symbols)
                )
    else:
        for symbols in itertools.product(range(3), repeat=time):
            if _collapse(symbols, topology) == labels:
                yield tuple(
                    (t, len(_collapse(symbols[:t], topology)), symbol)
                    for t, symbol in enumerate(symbols)
                )


TARGETS: list[list[int]] = [[], [1], [0, 0], [1, 0], [0, 0, 1], [1, 1, 1], [0, 1, 0, 1, 0, 1]]


@pytest.mark.parametrize("topology", TOPOLOGIES)
@pytest.mark.parametrize("labels", TARGETS)
@pytest.mark.parametrize("time", [0, 1, 5])
def test_sum_and_maximum_over_all_paths(labels: list[int], time: int, topology: str) -> None:
    log_probs = np.random.default_rng(1).standard_normal((time, len(labels) + 1, 3)) * 2
    scores = {path: sum(log_probs[i] for i in path) for path in _paths(time, labels, topology)}
    target = np.array(labels, np.int64)
    one = log_probs[None], target[None], np.array([len(labels)])
    picked = reference.Scores(*(x[0] for x in reference.pick(*one, BLANK)))
    loss, _ = reference.sequence_loss(picked, target, topology)
    total = np.logaddexp.reduce(list(scores.values()), initial=-np.inf)
    np.testing.assert_allclose(loss, -total, rtol=1e-12, atol=1e-15)
    found, score = reference.best_path(picked, target, BLANK, topology)
    best: Path = max(scores, key=lambda path: scores[path], default=())
    assert found == [symbol for _, _, symbol in best]
    np.testing.assert_allclose(score, scores.get(best, -np.inf), rtol=1e-12)


@pytest.mark.parametrize("topology", TOPOLOGIES)
def test_gradient_equals_differences(topology: str) -> None:
    """Of a random combination of losses, so that no part of the gradient cancels."""
    rng = np.random.default_rng(2)
    log_probs = rng.standard_normal((2, 6, 4, 4))
    rest = np.array([6, 5]), np.array([[1, 1, 2], [3, 1, 0]]), np.array([3, 2])
    weights, direction = rng.standard_normal(2), rng.standard_normal(log_probs.shape)

    def value(x: Any) -> float:
        loss, _ = reference.transducer_loss(x, *rest, blank=0, topology=topology)
        return float(weights @ loss)

    _, grad = reference.transducer_loss(log_probs, *rest, blank=0, topology=topology)
    step = 1e-5
    slope = (value(log_probs + step * direction) - value(log_probs - step * direction)) / (2 * step)
    found = (grad * weights[:, None, None, None] * direction).sum()
    np.testing.assert_allclose(found, slope, rtol=1e-8)
    assert not grad[1, 5:].any()
    assert not grad[1, :, 3:].any()
