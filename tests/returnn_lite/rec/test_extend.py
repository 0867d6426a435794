"""One step of a beam search, against the enumeration of all extensions in numpy."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pytest
import tensorflow as tf

from returnn_lite.beam import Beam
from returnn_lite.rec.extend import Extending, extend

INF = float("inf")


def beam_of(scores: list[list[float]], truth: list[int] | None = None) -> Beam:
    """Return a beam whose hypotheses have these scores."""
    truths = None if truth is None else tf.constant(truth)
    return Beam("parent", len(scores[0]), scores=tf.constant(scores, tf.float32), truth=truths)


def extended(
    parent: Beam, log_probs: Any, size: int, how: dict[str, Any]
) -> tuple[Beam, list[list[tuple[int, int, float]]]]:
    """Return the new beam, and source, label and score of its hypotheses."""
    scores = parent.scores[:, :, None] + tf.constant(log_probs, tf.float32)
    beam, labels = extend(parent, scores, size, "new", Extending(**how))
    columns = (beam.source, tf.reshape(labels, [-1, size]), beam.scores)
    rows = [np.asarray(x).tolist() for x in columns]
    return beam, [list(zip(*row, strict=True)) for row in zip(*rows, strict=True)]


def enumerated(parent: Beam, log_probs: Any) -> list[list[tuple[int, int, float]]]:
    """Return all extensions, the best first."""
    scores = np.asarray(parent.scores)[:, :, None] + np.asarray(log_probs, np.float32)
    _, size, labels = scores.shape
    pairs = list(itertools.product(range(size), range(labels)))
    return [sorted(((i, k, x[i, k]) for i, k in pairs), key=lambda e: -e[2]) for x in scores]


LOG_PROBS = np.log(np.random.default_rng(0).dirichlet([1.0] * 4, size=(2, 3)))
PARENT = [[-0.5, -1.0, -2.0], [-0.1, -0.7, -INF]]


@pytest.mark.parametrize("size", [1, 2, 5, 12, 15])
def test_the_best_extensions_are_kept(size: int) -> None:
    _, found = extended(beam_of(PARENT), LOG_PROBS, size, {})
    for row, needed in zip(found, enumerated(beam_of(PARENT), LOG_PROBS), strict=True):
        finite = [e for e in needed if e[2] > -INF][:size]
        assert [e[:2] for e in row[: len(finite)]] == [e[:2] for e in finite]
        np.testing.assert_allclose([e[2] for e in row[: len(finite)]], [e[2] for e in finite])
        assert all(e[2] == -INF for e in row[len(finite) :])


def test_by_length_they_are_ranked_by_score_per_label_and_keep_their_scores() -> None:
    lengths = np.array([[1.0, 3.0, 2.0], [2.0, 2.0, 1.0]], np.float32)
    _, found = extended(beam_of(PARENT), LOG_PROBS, 4, {"lengths": tf.constant(lengths)})
    everything = enumerated(beam_of(PARENT), LOG_PROBS)
    for row, all_, per in zip(found, everything, lengths, strict=True):
        needed = sorted(all_, key=lambda e: -e[2] / per[e[0]])[:4]
        assert [e[:2] for e in row] == [e[:2] for e in needed]
        np.testing.assert_allclose([e[2] for e in row], [e[2] for e in needed])
    assert [e[:2] for e in found[0]] != [e[:2] for e in everything[0][:4]]


def test_noise_changes_the_rank_alone() -> None:
    noise = np.zeros((2, 3, 4), np.float32)
    noise[0, 2, 1], noise[1, 0, 3] = 50.0, 60.0
    _, found = extended(beam_of(PARENT), LOG_PROBS, 2, {"noise": tf.constant(noise)})
    assert [row[0][:2] for row in found] == [(2, 1), (0, 3)]
    assert found[0][0][2] == pytest.approx(-2.0 + LOG_PROBS[0, 2, 1], rel=1e-5)


@pytest.mark.parametrize("size", [1, 3, 12])
def test_the_truth_is_always_there_once_and_where_its_score_is(size: int) -> None:
    for labels in itertools.product(range(4), repeat=2):
        parent = beam_of(PARENT, truth=[2, 0])
        beam, found = extended(parent, LOG_PROBS, size, {"truth": tf.constant(labels)})
        for b, (row, needed) in enumerate(zip(found, enumerated(parent, LOG_PROBS), strict=True)):
            true = ([2, 0][b], labels[b])
            assert row[int(beam.truth[b])][:2] == true
            others = [e[:2] for e in needed if e[:2] != true][: size - 1]
            assert {e[:2] for e in row} - {true} <= {*others} | {e[:2] for e in needed[-4:]}
            assert sum(e[:2] == true for e in row) == 1
            assert [e[2] for e in row] == sorted((e[2] for e in row), reverse=True)


def test_separately_every_hypothesis_has_as_many_extensions() -> None:
    _, found = extended(beam_of(PARENT), LOG_PROBS, 6, {"separately": tf.constant(True)})
    for row, needed in zip(found, enumerated(beam_of(PARENT), LOG_PROBS), strict=True):
        for i in range(3):
            best = [e[:2] for e in needed if e[0] == i][:2]
            assert sorted(e[:2] for e in row if e[0] == i) == sorted(best)
    _, first = extended(beam_of(PARENT), LOG_PROBS, 6, {"separately": tf.constant(False)})
    assert [e[:2] for e in first[0]] == [
        e[:2] for e in enumerated(beam_of(PARENT), LOG_PROBS)[0][:6]
    ]


@pytest.mark.parametrize("merge", ["max", "sum"])
@pytest.mark.parametrize("size", [3, 12])
def test_equal_ids_are_merged_into_the_best(merge: str, size: int) -> None:
    ids = np.random.default_rng(1).integers(0, 6, (2, 3, 4))
    how = {"ids": tf.constant(ids), "merge": merge}
    _, found = extended(beam_of(PARENT), LOG_PROBS, size, how)
    for b, needed in enumerate(enumerated(beam_of(PARENT), LOG_PROBS)):
        groups: dict[int, list[tuple[int, int, float]]] = {}
        for e in needed:
            if e[2] > -INF:
                groups.setdefault(int(ids[b, e[0], e[1]]), []).append(e)
        total = np.logaddexp.reduce if merge == "sum" else np.max
        merged = sorted(
            ((total([e[2] for e in g]), g[0][:2]) for g in groups.values()), reverse=True
        )
        row = [e for e in found[b] if e[2] > -INF]
        assert [e[:2] for e in row] == [p for _, p in merged[:size]]
        np.testing.assert_allclose([e[2] for e in row], [s for s, _ in merged[:size]], rtol=1e-5)
