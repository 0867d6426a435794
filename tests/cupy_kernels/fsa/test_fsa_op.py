"""Sums and best paths: what a caller sees, then CTC and RNA, the references, and bad arguments."""

from __future__ import annotations

import dataclasses
from types import ModuleType
from typing import Any

import numpy as np
import pytest
from fuzz_fsa import random_automaton
from hypothesis import given, settings
from hypothesis import strategies as st

from cupy_kernels.align import ctc_align
from cupy_kernels.check import ArgumentError
from cupy_kernels.ctc import ctc_loss
from cupy_kernels.fsa import (
    Automaton,
    ctc_automaton,
    fsa_best_path,
    fsa_full_sum,
    fsa_loss,
    reference,
    rna_automaton,
)

OPERATIONS = [fsa_full_sum, fsa_loss, fsa_best_path]


def _numpy(x: Any) -> Any:
    return x.get() if hasattr(x, "get") else x


def _ints(*values: int) -> Any:
    return np.array(values, np.int32)


def _chain(batch: int = 2) -> Automaton:
    """Label 1 for some frames, then label 2 for some, then label 1 once."""
    edges = [(0, 1, 1), (1, 1, 1), (1, 2, 2), (2, 2, 2), (2, 3, 1)]
    return Automaton.of([edges] * batch, [{0: 0.0}] * batch, [{3: 0.0}] * batch)


def _case(time: int = 6, batch: int = 2) -> tuple[Any, Any]:
    scores = np.random.default_rng(3).standard_normal((time, batch, 4), np.float32)
    return scores, np.full(batch, time, np.int32)


def _automaton(sequences: Any, repetition: bool) -> Automaton:
    build = ctc_automaton if repetition else rna_automaton
    return build(sequences.labels, sequences.label_lengths, blank=0)


def _log_softmax(logits: Any) -> Any:
    logits = logits.astype(np.float64)
    return (logits - np.logaddexp.reduce(logits, axis=-1, keepdims=True)).astype(np.float32)


def test_two_paths() -> None:
    automaton = Automaton.of([[(0, 1, 0, 0.5), (0, 1, 1), (1, 1, 2)]], [{0: 0.0}], [{1: 0.25}])
    probs = np.array([[[0.5, 0.2, 0.3]], [[0.1, 0.3, 0.6]]], np.float32)
    loss, posteriors = fsa_full_sum(np.log(probs), _ints(2), automaton)
    first, second = 0.5 * np.exp(-0.5) * 0.6, 0.2 * 0.6
    np.testing.assert_allclose(loss, -np.log((first + second) * np.exp(-0.25)), rtol=1e-6)
    share = first / (first + second)
    np.testing.assert_allclose(posteriors[:, 0], [[share, 1 - share, 0], [0, 0, 1]], rtol=1e-6)
    alignment, states, score = fsa_best_path(np.log(probs), _ints(2), automaton)
    assert (alignment.tolist(), states.tolist()) == ([[0, 2]], [[1, 1]])
    np.testing.assert_allclose(score, np.log(first) - 0.25, rtol=1e-6)


def test_no_frames_are_accepted_where_a_start_state_is_final() -> None:
    ends = [{1: 0.0}, {0: 0.25, 1: 1.0}, {}]
    automaton = Automaton.of([[(0, 1, 0)]] * 3, [{0: 0.5}] * 3, ends)
    scores = np.zeros((1, 3, 2), np.float32)
    loss, posteriors = fsa_full_sum(scores, _ints(0, 0, 1), automaton)
    np.testing.assert_allclose(loss, [np.inf, 0.75, np.inf], rtol=1e-6)
    assert not posteriors.any()
    alignment, states, score = fsa_best_path(scores, _ints(0, 0, 1), automaton)
    assert score.tolist() == [-np.inf, -0.75, -np.inf]
    assert alignment.tolist() == states.tolist() == [[-1]] * 3


def test_ties_go_to_the_highest_states_from_the_end() -> None:
    parallel = [(0, 1, 3), (0, 1, 1), (1, 1, 2), (0, 0, 0)]
    automaton = Automaton.of([parallel], [{0: 0.0}], [{0: 0.0, 1: 0.0}])
    alignment, states, _ = fsa_best_path(np.zeros((3, 1, 4), np.float32), _ints(3), automaton)
    assert (alignment.tolist(), states.tolist()) == ([[3, 2, 2]], [[1, 1, 1]])


@pytest.mark.parametrize("repetition", [True, False])
def test_equals_ctc_loss_and_ctc_align(xp: ModuleType, sequences: Any, repetition: bool) -> None:
    automaton = _automaton(sequences, repetition)
    options: dict[str, Any] = {"blank": 0, "label_repetition": repetition}
    logits, lengths = xp.asarray(sequences.logits), xp.asarray(sequences.logit_lengths)
    loss, grad = map(_numpy, fsa_loss(logits, lengths, automaton))
    theirs, their_grad = ctc_loss(*sequences, **options)
    assert (loss.dtype, grad.dtype) == (np.float32, np.float32)
    np.testing.assert_allclose(loss, theirs, rtol=1e-6, atol=1e-6)
    np.testing.assert_allclose(grad, their_grad, atol=4e-6)
    alignment, states, score = map(_numpy, fsa_best_path(logits, lengths, automaton))
    path, path_score = ctc_align(*sequences, **options)
    inside = np.arange(len(logits)) < sequences.logit_lengths[:, None]
    inside &= path_score[:, None] > -np.inf
    np.testing.assert_array_equal(alignment, np.where(inside, path, -1))
    np.testing.assert_array_equal(score, path_score)
    assert ((states >= 0) == inside).all()
    assert (alignment.dtype, states.dtype, score.dtype) == (np.int32, np.int32, np.float32)


@pytest.mark.parametrize("blank", [0, 3, 6])
def test_blank_may_be_any_label(blank: int) -> None:
    rng = np.random.default_rng(4)
    logits = rng.standard_normal((9, 3, 7), np.float32)
    labels = (blank + rng.integers(1, 7, (3, 4))).astype(np.int32) % 7
    rest = logits, _ints(9, 8, 5), labels, _ints(4, 2, 0)
    loss, grad = fsa_loss(*rest[:2], ctc_automaton(*rest[2:], blank=blank))
    theirs = ctc_loss(*rest, blank=blank)
    np.testing.assert_allclose(loss, theirs[0], rtol=1e-6)
    np.testing.assert_allclose(grad, theirs[1], atol=1e-6)


def test_loss_is_the_full_sum_of_the_softmax(sequences: Any) -> None:
    automaton = _automaton(sequences, True)
    log_probs = _log_softmax(sequences.logits)
    loss, posteriors = fsa_full_sum(log_probs, sequences.logit_lengths, automaton)
    theirs, grad = fsa_loss(sequences.logits, sequences.logit_lengths, automaton)
    np.testing.assert_allclose(loss, theirs, rtol=1e-5)
    inside = np.arange(len(grad))[:, None] < sequences.logit_lengths
    inside &= np.isfinite(loss)
    np.testing.assert_allclose(grad, inside[:, :, None] * np.exp(log_probs) - posteriors, atol=2e-5)


def test_posteriors_sum_to_one_in_frames_and_are_zero_on_padding(
    xp: ModuleType, sequences: Any
) -> None:
    arrays = xp.asarray(sequences.logits), xp.asarray(sequences.logit_lengths)
    loss, posteriors = map(_numpy, fsa_full_sum(*arrays, _automaton(sequences, True)))
    inside = np.arange(len(posteriors))[:, None] < sequences.logit_lengths
    np.testing.assert_allclose(posteriors.sum(axis=2), inside & np.isfinite(loss), atol=1e-5)


def test_a_long_sequence_keeps_its_precision() -> None:
    rng = np.random.default_rng(5)
    logits = (rng.standard_normal((1500, 1, 30)) * 4).astype(np.float32)
    automaton = ctc_automaton(rng.integers(1, 30, (1, 90), np.int32), _ints(90), blank=0)
    loss, posteriors = fsa_full_sum(logits, _ints(1500), automaton)
    loss64, posteriors64 = reference.fsa_full_sum(logits, _ints(1500), automaton)
    np.testing.assert_allclose(loss, loss64, rtol=1e-6)
    np.testing.assert_allclose(posteriors, posteriors64, atol=1e-5)


@pytest.mark.parametrize("operation", OPERATIONS)
@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_nan_and_inf_spoil_their_sequence_only(operation: Any, value: float) -> None:
    scores, lengths = _case()
    clean = operation(scores, lengths, _chain())
    scores[2, 1, 3] = value  # a label that the automaton does not have
    found = operation(scores, lengths, _chain())
    if operation is fsa_best_path:
        for a, b in zip(found, clean, strict=True):
            np.testing.assert_array_equal(a, b)
        return
    assert np.isnan(found[0]).tolist() == [False, True]
    assert np.isnan(found[1][:, 1]).all()
    np.testing.assert_array_equal(found[1][:, 0], clean[1][:, 0])


def test_scores_that_the_sum_cannot_hold(xp: ModuleType) -> None:
    scores, lengths = _case()
    scores[0, 0, 1], scores[0, 1, 1] = -1e6, 1e6
    arrays = xp.asarray(scores), xp.asarray(lengths)
    loss, posteriors = map(_numpy, fsa_full_sum(*arrays, _chain()))
    assert loss[0] == np.inf
    assert np.isnan(loss[1])
    assert not posteriors[:, 0].any()
    assert np.isnan(posteriors[:, 1]).all()


def test_impossible_by_scores_is_infinite() -> None:
    scores, lengths = _case()
    scores[3, 1] = -np.inf
    loss, posteriors = fsa_full_sum(scores, lengths, _chain())
    assert np.isinf(loss).tolist() == [False, True]
    assert not posteriors[:, 1].any()
    assert fsa_best_path(scores, lengths, _chain())[2][1] == -np.inf
    assert np.isnan(fsa_loss(scores, lengths, _chain())[0][1])
    assert fsa_full_sum(scores, lengths, _chain(), infeasible="skip")[0].tolist() == [loss[0], 0.0]
    with pytest.raises(ArgumentError, match=r"fsa_loss \(infeasible\): found '', needed 'inf' or"):
        fsa_loss(scores, lengths, _chain(), infeasible="")


def test_scores_above_zero_and_costs_below() -> None:
    """Scores need not be log-probabilities: a prior may have been taken off."""
    scores, lengths = _case()
    automaton = _chain()
    scaled = dataclasses.replace(automaton, cost=automaton.cost - np.float32(30))
    loss, posteriors = fsa_full_sum(scores, lengths, automaton)
    raised, same = fsa_full_sum(scores + np.float32(50), lengths, scaled)
    np.testing.assert_allclose(raised, loss - 6 * 80, rtol=1e-6)
    np.testing.assert_allclose(same, posteriors, atol=1e-5)


def test_what_is_impossible_in_every_way_stays_so() -> None:
    """An edge of cost inf and score -inf between dead states, where the sum is above 1."""
    automaton = Automaton.of([[(0, 0, 0, -1.0), (1, 1, 1, np.inf)]], [{0: 0.0}], [{0: 0.0}])
    scores = np.array([[[5.0, -np.inf]]] * 3, np.float32)
    loss, posteriors = fsa_full_sum(scores, _ints(3), automaton)
    np.testing.assert_allclose(loss, [-18.0], rtol=1e-6)
    np.testing.assert_allclose(posteriors, [[[1.0, 0.0]]] * 3, atol=1e-6)


@settings(max_examples=60, deadline=None)
@given(seed=st.integers(0, 2**32 - 1), scale=st.sampled_from([1, 30]))
def test_any_automaton_equals_the_reference(seed: int, scale: int) -> None:
    rng = np.random.default_rng(seed)
    time, batch, labels = (int(x) for x in rng.integers([0, 0, 1], [12, 5, 30]))
    automaton = random_automaton(rng, batch, labels, states=12)
    scores = (rng.standard_normal((time, batch, labels)) * scale).astype(np.float32)
    lengths = rng.integers(0, time + 1, batch, dtype=np.int32)
    for ours, theirs in (
        (fsa_full_sum, reference.fsa_full_sum),
        (fsa_loss, reference.fsa_loss),
    ):
        loss, result = ours(scores, lengths, automaton, threads=1)
        loss64, result64 = theirs(scores, lengths, automaton)
        np.testing.assert_allclose(loss, loss64, rtol=1e-5, atol=2e-6)
        np.testing.assert_allclose(result, result64, atol=5e-6)


@settings(max_examples=60, deadline=None)
@given(seed=st.integers(0, 2**32 - 1))
def test_any_best_path_and_its_ties_equal_the_reference(seed: int) -> None:
    rng = np.random.default_rng(seed)
    time, batch, labels = (int(x) for x in rng.integers([0, 1, 1], [9, 5, 4]))
    automaton = random_automaton(rng, batch, labels, states=6, whole=True)
    scores = rng.integers(0, 3, (time, batch, labels)).astype(np.float32)
    lengths = rng.integers(0, time + 1, batch, dtype=np.int32)
    found = fsa_best_path(scores, lengths, automaton, threads=1)
    for ours, theirs in zip(
        found, reference.fsa_best_path(scores, lengths, automaton), strict=True
    ):
        np.testing.assert_array_equal(ours, theirs)


@pytest.mark.parametrize("operation", OPERATIONS)
@pytest.mark.parametrize("threads", [1, 2, 5])
def test_runs_are_equal_bit_for_bit(operation: Any, sequences: Any, threads: int) -> None:
    arguments = sequences.logits, sequences.logit_lengths, _automaton(sequences, True)
    first = operation(*arguments, threads=1)
    second = operation(*arguments, threads=threads)
    for a, b in zip(first, second, strict=True):
        np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize("operation", OPERATIONS)
def test_edges_in_any_order_give_the_same(operation: Any) -> None:
    edges = [(0, 1, 1), (1, 1, 1), (1, 2, 2), (2, 2, 2), (2, 3, 1)]
    shuffled = Automaton.of([edges, edges[::-1]], [{0: 0.0}] * 2, [{3: 0.0}] * 2)
    scores, lengths = _case()
    found = operation(scores, lengths, shuffled)
    for a, b in zip(found, operation(scores, lengths, _chain()), strict=True):
        np.testing.assert_array_equal(a, b)


def test_empty_batch_and_empty_time() -> None:
    none = Automaton.of([], [], [])
    loss, posteriors = fsa_full_sum(np.zeros((3, 0, 5), np.float32), _ints(), none)
    assert (loss.shape, posteriors.shape) == ((0,), (3, 0, 5))
    assert [x.shape for x in fsa_best_path(np.zeros((3, 0, 5), np.float32), _ints(), none)] == [
        (0, 3),
        (0, 3),
        (0,),
    ]
    single = Automaton.of([[]], [{0: 0.0}], [{0: 0.0}])
    assert fsa_loss(np.zeros((0, 1, 5), np.float32), _ints(0), single)[0].tolist() == [0.0]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"scores": lambda x: x.astype(np.float64)}, r"scores\): found float64, needed float32"),
        ({"scores": lambda x: x[:, 0]}, r"scores\): found shape \(6, 4\), needed \[time=any, batc"),
        ({"scores": lambda x: x[:, :, ::-1]}, r"scores\): found a non-contiguous view, needed a c"),
        (
            {"scores": lambda x: x[:, :1].copy()},
            r"scores\): found shape \(6, 1, 4\), needed \[time",
        ),
        (
            {"scores": lambda x: x[:, :, :2].copy()},
            r"automaton.label\[2\]\): found 2, needed 0 to 1",
        ),
        ({"scores": lambda x: x.tolist()}, r"scores\): found a list, needed a numpy or cupy array"),
        ({"lengths": lambda x: x + 1}, r"lengths\[0\]\): found 7, needed 0 to 6"),
        ({"lengths": lambda x: x - 7}, r"lengths\[0\]\): found -1, needed 0 to 6"),
        ({"lengths": lambda x: x.astype(np.int64)}, r"lengths\): found int64, needed int32"),
        ({"automaton": lambda x: None}, r"automaton\): found a NoneType, needed an Automaton"),
    ],
)
@pytest.mark.parametrize("operation", OPERATIONS)
def test_wrong_arguments_are_named(operation: Any, change: Any, message: str) -> None:
    scores, lengths = _case()
    arguments = {"scores": scores, "lengths": lengths, "automaton": _chain()}
    for name, function in change.items():
        arguments[name] = function(arguments[name])
    name = "logits" if operation is fsa_loss else "log_probs"
    pattern = operation.__name__ + r" \(" + message.replace("scores", name)
    with pytest.raises(ArgumentError, match=pattern):
        operation(*arguments.values())
