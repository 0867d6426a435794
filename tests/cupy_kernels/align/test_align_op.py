"""Best alignment: what a caller sees, then the reference, properties, and bad arguments."""

from __future__ import annotations

import itertools
from types import ModuleType
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cupy_kernels.align import ctc_align, reference
from cupy_kernels.check import ArgumentError
from cupy_kernels.ctc import ctc_loss


def _numpy(x: Any) -> Any:
    return x.get() if hasattr(x, "get") else x


def _one(logits: Any, labels: list[int], **options: Any) -> tuple[list[int], float]:
    """Alignment and score of one sequence, blank 0."""
    logits = np.asarray(logits, np.float32)[:, None]
    lengths, counts = (np.array([n], np.int32) for n in (len(logits), len(labels)))
    target = np.array([labels], np.int32)
    alignment, score = ctc_align(logits, lengths, target, counts, blank=0, **options)
    return alignment[0].tolist(), float(score[0])


def test_follows_the_peaks() -> None:
    peaks = np.eye(3)[[0, 1, 1, 0, 2, 0]] * 5
    assert _one(peaks, [1, 2]) == ([0, 1, 1, 0, 2, 0], 30.0)


def test_without_repetition_a_label_has_one_frame() -> None:
    peaks = np.eye(3)[[0, 1, 1, 0, 2, 0]] * 5
    peaks[2, 1] += 1  # the better of the two frames
    assert _one(peaks, [1, 2], label_repetition=False) == ([0, 0, 1, 0, 2, 0], 26.0)
    assert _one(peaks, [1, 1, 2], label_repetition=False) == ([0, 1, 1, 0, 2, 0], 31.0)


def test_ties_go_to_the_path_that_is_furthest_along() -> None:
    flat = np.zeros((5, 3))
    assert _one(flat, [1, 2])[0] == [1, 2, 0, 0, 0]
    assert _one(flat, [1, 1])[0] == [1, 0, 1, 0, 0]
    assert _one(flat, [1, 2], label_repetition=False)[0] == [1, 2, 0, 0, 0]


def test_impossible_targets_get_blanks_and_minus_infinity() -> None:
    flat = np.zeros((3, 3))
    assert _one(flat, [1, 1, 2]) == ([0, 0, 0], -np.inf)
    assert _one(flat, [1, 1, 2], label_repetition=False) == ([1, 1, 2], 0.0)
    flat[:, 2] = -np.inf
    assert _one(flat, [1, 2]) == ([0, 0, 0], -np.inf)
    assert _one(flat, [1]) == ([1, 0, 0], 0.0)


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_nan_and_plus_infinity_count_as_impossible(value: float) -> None:
    scores = np.zeros((3, 3))
    scores[0, 1] = value
    assert _one(scores, [1]) == ([0, 1, 0], 0.0)


@pytest.mark.parametrize("repetition", [True, False])
def test_equals_the_reference(xp: ModuleType, sequences: Any, repetition: bool) -> None:
    options: dict[str, Any] = {"blank": 0, "label_repetition": repetition}
    arrays = [xp.asarray(x) for x in sequences]
    alignment, score = map(_numpy, ctc_align(*arrays, **options))
    path64, score64 = reference.ctc_align(*sequences, **options)
    assert (alignment.dtype, score.dtype) == (np.int32, np.float32)
    np.testing.assert_array_equal(alignment, path64)
    np.testing.assert_allclose(score, score64, rtol=1e-6)


@pytest.mark.parametrize("repetition", [True, False])
@pytest.mark.parametrize("labels", [[], [1], [1, 1], [2, 1, 1]])
def test_reference_is_the_best_of_all_paths(labels: list[int], repetition: bool) -> None:
    time = 5
    logits = np.random.default_rng(3).standard_normal((time, 3))

    def gives(path: tuple[int, ...]) -> list[int]:
        merged = [k for k, _ in itertools.groupby(path)] if repetition else list(path)
        return [label for label in merged if label]

    paths = [p for p in itertools.product(range(3), repeat=time) if gives(p) == labels]
    best = max(paths, key=lambda p: logits[np.arange(time), p].sum())
    target = np.array(labels, np.int64)
    path, score = reference.best_path(logits, target, 0, repetition)
    assert tuple(path) == best
    np.testing.assert_allclose(score, logits[np.arange(time), best].sum())


@pytest.mark.parametrize("repetition", [True, False])
def test_best_path_is_at_most_the_sum_of_all(sequences: Any, repetition: bool) -> None:
    options: dict[str, Any] = {"blank": 0, "label_repetition": repetition}
    with np.errstate(invalid="ignore"):
        norm = np.logaddexp.reduce(sequences.logits, axis=-1, keepdims=True)
    log_probs = (sequences.logits - norm).astype(np.float32)
    _, score = ctc_align(log_probs, *sequences[1:], **options)
    loss, _ = ctc_loss(*sequences, **options)
    assert (score <= -loss + 1e-3).all()
    np.testing.assert_array_equal(np.isinf(score), np.isinf(loss))


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 2**32 - 1), repetition=st.booleans())
def test_alignment_gives_the_labels_and_ties_are_the_reference_s(
    seed: int, repetition: bool
) -> None:
    """Small whole scores, so that many paths are equally good."""
    rng = np.random.default_rng(seed)
    time, count = int(rng.integers(0, 9)), int(rng.integers(0, 5))
    scores = rng.integers(0, 3, (time, 4)).astype(np.float32)
    labels = rng.integers(1, 4, count)
    found = _one(scores, labels.tolist(), label_repetition=repetition, threads=1)
    path, score = reference.best_path(scores.astype(np.float64), labels, 0, repetition)
    assert found == (path or [0] * time, score)


@pytest.mark.parametrize("threads", [1, 3])
def test_runs_are_equal_bit_for_bit(sequences: Any, threads: int) -> None:
    first = ctc_align(*sequences, blank=0, threads=1)
    second = ctc_align(*sequences, blank=0, threads=threads)
    for a, b in zip(first, second, strict=True):
        np.testing.assert_array_equal(a, b)


def test_wrong_arguments_are_named() -> None:
    one = np.ones(1, np.int32)
    logits, labels = np.zeros((1, 1, 3), np.float32), np.ones((1, 1), np.int32)
    with pytest.raises(ArgumentError, match=r"ctc_align \(logits\): found float64, needed float3"):
        ctc_align(logits.astype(np.float64), one, labels, one, blank=0)
    with pytest.raises(ArgumentError, match=r"ctc_align \(labels\[0, 0\]\): found 1, needed 0 to"):
        ctc_align(logits, one, labels, one, blank=1)
