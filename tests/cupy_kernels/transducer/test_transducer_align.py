"""Best path of a transducer: what a caller sees, then the reference, properties, bad arguments."""

from __future__ import annotations

from types import ModuleType
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cupy_kernels.align import ctc_align
from cupy_kernels.check import ArgumentError
from cupy_kernels.transducer import (
    TransducerScores,
    reference,
    transducer_align,
    transducer_compact_align,
    transducer_loss,
)
from cupy_kernels.transducer.arguments import TOPOLOGIES

each_topology = pytest.mark.parametrize("topology", TOPOLOGIES)


def _numpy(x: Any) -> Any:
    return x.get() if hasattr(x, "get") else x


def _scores(sequences: Any) -> Any:
    """[batch, time, max_labels + 1, vocab], different in each row."""
    logits = sequences.logits.transpose(1, 0, 2)[:, :, None]
    rows = sequences.labels.shape[1] + 1
    noise = np.random.default_rng(5).standard_normal((rows, logits.shape[3]), np.float32)
    return np.ascontiguousarray(logits + noise)


def _flat(frames: int, labels: list[int], topology: str) -> tuple[list[int], int, float]:
    """Alignment, length and score of one sequence where all paths are equally good."""
    one = np.array([frames], np.int32), np.array([labels], np.int32)
    counts = np.array([len(labels)], np.int32)
    scores = np.zeros((1, frames, len(labels) + 1, 3), np.float32)
    alignment, length, score = transducer_align(scores, *one, counts, blank=0, topology=topology)
    return alignment[0].tolist(), int(length[0]), float(score[0])


def test_ties_go_to_the_path_that_is_furthest_along() -> None:
    assert _flat(3, [1, 2], "rnnt") == ([1, 2, 0, 0, 0], 5, 0.0)
    assert _flat(4, [1, 2], "rna") == ([1, 2, 0, 0], 4, 0.0)
    assert _flat(4, [1, 2], "ctc") == ([1, 2, 0, 0], 4, 0.0)
    assert _flat(4, [1, 1], "ctc") == ([1, 0, 1, 0], 4, 0.0)


def test_targets_that_do_not_fit_get_blanks_and_minus_infinity() -> None:
    assert _flat(1, [1, 2], "rna") == ([0], 1, -np.inf)
    assert _flat(2, [1, 1], "ctc") == ([0, 0], 2, -np.inf)
    assert _flat(1, [1, 1, 2], "rnnt") == ([1, 1, 2, 0], 4, 0.0)
    assert _flat(0, [1], "rnnt") == ([0], 1, -np.inf)


@each_topology
def test_equals_the_reference(xp: ModuleType, sequences: Any, topology: str) -> None:
    options: dict[str, Any] = {"blank": 0, "topology": topology}
    case = _scores(sequences), *sequences[1:]
    found = map(_numpy, transducer_align(*map(xp.asarray, case), **options))
    alignment, lengths, score = found
    path64, score64 = reference.transducer_align(*case, **options)
    assert (alignment.dtype, lengths.dtype, score.dtype) == (np.int32, np.int32, np.float32)
    np.testing.assert_array_equal(alignment, path64)
    np.testing.assert_allclose(score, score64, rtol=1e-6)
    for b, (length, count) in enumerate(zip(lengths, sequences.label_lengths, strict=True)):
        assert not alignment[b, length:].any()
        if topology != "ctc" and score[b] > -np.inf:
            emitted = alignment[b][alignment[b] != 0]
            assert emitted.tolist() == sequences.labels[b, :count].tolist()


@pytest.mark.parametrize("topology", ["rna", "ctc"])
def test_without_dependency_on_labels_it_is_the_ctc_path(sequences: Any, topology: str) -> None:
    options: dict[str, Any] = {"label_repetition": topology == "ctc"}
    path, score = ctc_align(*sequences, blank=0, **options)
    rows = sequences.labels.shape[1] + 1
    scores = np.repeat(sequences.logits.transpose(1, 0, 2)[:, :, None], rows, axis=2)
    case = np.ascontiguousarray(scores), *sequences[1:]
    alignment, _, score2 = transducer_align(*case, blank=0, topology=topology)
    np.testing.assert_array_equal(alignment, path)
    np.testing.assert_array_equal(score2, score)


@each_topology
def test_best_path_is_at_most_the_sum_of_all(sequences: Any, topology: str) -> None:
    case = _scores(sequences), *sequences[1:]
    _, _, score = transducer_align(*case, blank=0, topology=topology)
    loss, _ = transducer_loss(*case, blank=0, topology=topology)
    fits = np.isfinite(loss)
    assert (score[fits] <= -loss[fits] + 1e-6 * abs(loss[fits]) + 1e-5).all()
    np.testing.assert_array_equal(np.isinf(score), np.isinf(loss))


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 2**32 - 1), topology=st.sampled_from(TOPOLOGIES))
def test_ties_and_impossible_scores_are_the_reference_s(seed: int, topology: str) -> None:
    """Small whole scores, so that many paths are equally good."""
    rng = np.random.default_rng(seed)
    time, count = int(rng.integers(0, 8)), int(rng.integers(0, 5))
    shapes = (1, time, count + 1), (1, time, count), (1, time, count)
    values = np.array([0, 1, 2, 0, 1, 2, np.nan, np.inf, -np.inf], np.float32)
    blank, label, repeat = (values[rng.integers(0, 9, shape)] for shape in shapes)
    scores = TransducerScores(blank, label, repeat if topology == "ctc" else None)
    case = np.array([time], np.int32), rng.integers(1, 4, (1, count), np.int32)
    options: dict[str, Any] = {"blank": 0, "topology": topology}
    counts = np.array([count], np.int32)
    alignment, _, score = transducer_compact_align(scores, *case, counts, **options, threads=1)
    path, score64 = reference.compact_align(scores, *case, counts, **options)
    assert (alignment.tolist(), score.tolist()) == (path.tolist(), score64.tolist())


@each_topology
def test_runs_are_equal_bit_for_bit(sequences: Any, topology: str) -> None:
    case = _scores(sequences), *sequences[1:]
    first = transducer_align(*case, blank=0, topology=topology, threads=1)
    second = transducer_align(*case, blank=0, topology=topology, threads=3)
    for a, b in zip(first, second, strict=True):
        np.testing.assert_array_equal(a, b)


def test_wrong_arguments_are_named() -> None:
    one = np.ones(1, np.int32)
    scores, labels = np.zeros((1, 1, 2, 3), np.float32), np.ones((1, 1), np.int32)
    with pytest.raises(ArgumentError, match=r"transducer_align \(log_probs\): found float64"):
        transducer_align(scores.astype(np.float64), one, labels, one, blank=0, topology="rna")
    with pytest.raises(ArgumentError, match=r"transducer_align \(labels\[0, 0\]\): found 1, need"):
        transducer_align(scores, one, labels, one, blank=1, topology="rna")
