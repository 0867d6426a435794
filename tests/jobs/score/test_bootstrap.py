"""The bootstrap interval: size, coverage, and the same numbers twice."""

from __future__ import annotations

import numpy as np
import pytest

from jobs.score.bootstrap import interval


def _loop(errors: list[int], tokens: list[int], resamples: int, seed: int) -> tuple[float, float]:
    """The definition, one resample at a time."""
    rng = np.random.default_rng(seed)
    rates = []
    for _ in range(resamples):
        drawn = [int(rng.integers(len(errors))) for _ in errors]
        rates.append(sum(errors[i] for i in drawn) / sum(tokens[i] for i in drawn))
    rates.sort()
    return rates[int(0.025 * resamples)], rates[int(0.975 * resamples)]


def test_it_is_that_of_the_definition() -> None:
    rng = np.random.default_rng(0)
    tokens = rng.integers(1, 20, 60)
    errors = rng.binomial(tokens, 0.2)
    found = interval(errors, tokens, 4000, seed=1)
    expected = _loop(errors.tolist(), tokens.tolist(), 4000, seed=2)
    np.testing.assert_allclose(found, expected, atol=0.01)


def test_it_covers_the_true_rate_about_19_times_in_20() -> None:
    rng = np.random.default_rng(0)
    hits = 0
    for trial in range(200):
        tokens = rng.integers(1, 20, 80)
        low, high = interval(rng.binomial(tokens, 0.2), tokens, 300, seed=trial)
        hits += low <= 0.2 <= high
    assert 0.89 <= hits / 200 <= 0.99


def test_the_seed_decides(monkeypatch: pytest.MonkeyPatch) -> None:
    errors, tokens = np.arange(9), np.full(9, 10)
    first = interval(errors, tokens, 100, seed=1)
    assert interval(errors, tokens, 100, seed=1) == first
    assert interval(errors, tokens, 100, seed=2) != first
    monkeypatch.setattr("jobs.score.bootstrap.BLOCK", 50)  # in many blocks: the same draws
    assert interval(errors, tokens, 100, seed=1) == first


def test_utterances_without_words_and_without_errors() -> None:
    assert interval([0, 0], [5, 5], 50, seed=1) == (0.0, 0.0)
    low, high = interval([1, 0], [4, 0], 50, seed=1)
    assert (low, high) == (0.25, 0.25)
