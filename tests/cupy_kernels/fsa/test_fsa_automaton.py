"""Automata: how they are made, joined and checked, and those of phones and words."""

from __future__ import annotations

import dataclasses
import itertools
from typing import Any

import numpy as np
import pytest

from cupy_kernels.check import ArgumentError
from cupy_kernels.fsa import (
    Automaton,
    Hmm,
    Transitions,
    ctc_automaton,
    fsa_best_path,
    fsa_full_sum,
    hmm_automaton,
    lexicon_automaton,
)

SPEECH, PAUSE = Transitions(0.25, 1.5), Transitions(0.125, 2.0)
LEXICON = {"a": [([1, 2], 0.5), ([2], 1.0)], "b": [([3], 0.0)]}


def _valid() -> dict[str, Any]:
    one = Automaton.of([[(0, 1, 2)], [(0, 0, 1, 0.5)]], [{0: 0.0}] * 2, [{1: 0.0}, {0: 1.0}])
    return {f.name: getattr(one, f.name).copy() for f in dataclasses.fields(one)}


def test_lists_become_arrays() -> None:
    found = _valid()
    assert found["source"].tolist() == [0, 0]
    assert found["cost"].tolist() == [0.0, 0.5]
    assert found["start"].tolist() == [0.0, np.inf, 0.0]
    assert found["final"].tolist() == [np.inf, 0.0, 1.0]
    assert (found["edge_offsets"].tolist(), found["state_offsets"].tolist()) == (
        [0, 1, 2],
        [0, 2, 3],
    )


def test_joining_and_taking_apart() -> None:
    whole = Automaton(**_valid())
    again = Automaton.join(list(whole))
    for field in dataclasses.fields(whole):
        np.testing.assert_array_equal(getattr(again, field.name), getattr(whole, field.name))
    assert Automaton.join([]).batch == 0


def test_arrays_cannot_be_written() -> None:
    with pytest.raises(ValueError, match="read-only"):
        Automaton(**_valid()).cost[0] = 1.0


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("source", [0, 1], r"\(source\[1\]\): found 1, needed a state of its sequence, from 0"),
        ("target", [-1, 0], r"\(target\[0\]\): found -1, needed a state of its sequence"),
        ("label", [0, -2], r"\(label\[1\]\): found -2, needed 0 or more"),
        ("label", [0], r"\(label\): found shape \(1,\), needed \[edges=2\]"),
        ("cost", [np.nan, 0], r"\(cost\[0\]\): found nan, needed between -90000 and 90000, or"),
        ("final", [0, -np.inf, 0], r"\(final\[1\]\): found -inf, needed between -9"),
        ("start", [0, 0, np.inf], r"\(start\): found sequence 1 without one, needed a state of"),
        ("state_offsets", [0, 3, 3], r"\(start\): found sequence 1 without one|state of its"),
        ("edge_offsets", [0, 3, 2], r"\(edge_offsets\): found \[0 3 2\], needed offsets that rise"),
        ("edge_offsets", [0, 2], r"\(state_offsets\): found shape \(3,\), needed \[offsets=2\]"),
    ],
)
def test_wrong_arrays_are_named(name: str, value: list[float], message: str) -> None:
    arrays = _valid()
    arrays[name] = np.array(value, arrays[name].dtype)
    with pytest.raises(ArgumentError, match="Automaton " + message):
        Automaton(**arrays)


def test_wrong_types_are_named() -> None:
    with pytest.raises(ArgumentError, match=r"\(cost\): found a list, needed a numpy array"):
        Automaton(**{**_valid(), "cost": [0.0, 0.0]})
    with pytest.raises(ArgumentError, match=r"\(cost\): found float64, needed float32"):
        Automaton(**{**_valid(), "cost": np.zeros(2)})
    with pytest.raises(ArgumentError, match=r"found \(1, 2, 1\) sequences, needed as many"):
        Automaton.of([[]], [{0: 0.0}] * 2, [{}])
    with pytest.raises(ArgumentError, match=r"\(start, final\): found state -1, needed 0 or more"):
        Automaton.of([[]], [{-1: 0.0}], [{}])


@pytest.mark.parametrize(
    ("labels", "lengths", "message"),
    [
        (np.zeros((1, 2), np.int64), [2], r"\(labels\): found int64, needed int32"),
        (np.ones((1, 2), np.int32), [3], r"\(label_lengths\[0\]\): found 3, needed 0 to 2"),
        (np.zeros((1, 2), np.int32), [1], r"\(labels\[0, 0\]\): found 0, needed 0 or more without"),
    ],
)
def test_wrong_targets_are_named(labels: Any, lengths: list[int], message: str) -> None:
    with pytest.raises(ArgumentError, match="ctc_automaton " + message):
        ctc_automaton(labels, np.array(lengths, np.int32), blank=0)


def _durations(labels: list[int], costs: list[Transitions], scores: np.ndarray) -> float:
    """Log of the sum over all ways to spread the frames over states in a row; by its definition."""
    ways = [-np.inf]
    time, count = len(scores), len(labels)
    for cuts in itertools.combinations(range(1, time), count - 1) if count else ():
        edges = [0, *cuts, time]
        spans = list(itertools.pairwise(edges))
        value = sum(scores[a:b, k].sum() for (a, b), k in zip(spans, labels, strict=True))
        value -= sum(
            (b - a - 1) * c.loop + c.forward for (a, b), c in zip(spans, costs, strict=True)
        )
        ways.append(value)
    return float(np.logaddexp.reduce(ways))


def _sum_of(words: list[list[tuple[list[int], float]]], hmm: Hmm, scores: np.ndarray) -> float:
    """Log of the sum over pronunciations and places of silence."""
    totals = []
    for choice in itertools.product(*words):
        for pauses in itertools.product([False, True], repeat=len(words) + 1):
            if hmm.silence is None and any(pauses):
                continue
            labels: list[int] = []
            costs: list[Transitions] = []
            for place, pause in enumerate(pauses):
                if pause:
                    labels.append(hmm.label(hmm.silence or 0, 0))
                    costs.append(hmm.pause)
                if place < len(words):
                    phones = [(p, i) for p in choice[place][0] for i in range(hmm.states)]
                    labels += [hmm.label(*x) for x in phones]
                    costs += [hmm.speech] * len(phones)
            cost = sum(cost for _, cost in choice)
            totals.append(_durations(labels, costs, scores) - cost)
    return float(np.logaddexp.reduce(totals))


@pytest.mark.parametrize("states", [1, 2])
@pytest.mark.parametrize("silence", [None, 0])
@pytest.mark.parametrize("words", [["b"], ["a"], ["a", "b"], ["b", "a", "b"]])
def test_a_lexicon_is_the_sum_over_pronunciations_and_pauses(
    words: list[str], silence: int | None, states: int
) -> None:
    hmm = Hmm(states, SPEECH, silence, PAUSE)
    scores = np.random.default_rng(1).standard_normal((9, 4 * states)).astype(np.float32)
    automaton = lexicon_automaton([words], LEXICON, hmm)
    loss, _ = fsa_full_sum(scores[:, None].copy(), np.array([9], np.int32), automaton)
    np.testing.assert_allclose(
        -loss[0], _sum_of([LEXICON[w] for w in words], hmm, scores), rtol=1e-5
    )


@pytest.mark.parametrize("silence", [None, 0])
def test_phones_are_words_of_one_pronunciation(silence: int | None) -> None:
    hmm = Hmm(2, SPEECH, silence, PAUSE)
    phones = np.array([[1, 2, 3], [3, 1, 9]], np.int32)
    ends = np.array([[False, True, True], [False, False, False]])
    lengths = np.array([3, 2], np.int32)
    scores = np.random.default_rng(2).standard_normal((9, 2, 8)).astype(np.float32)
    automaton = hmm_automaton(phones, lengths, hmm, word_ends=ends)
    loss, _ = fsa_full_sum(scores, np.array([9, 8], np.int32), automaton)
    expected = [
        _sum_of([[([1, 2], 0.0)], [([3], 0.0)]], hmm, scores[:, 0]),
        _sum_of([[([3, 1], 0.0)]], hmm, scores[:8, 1]),
    ]
    np.testing.assert_allclose(-loss, expected, rtol=1e-5)


def test_states_are_those_of_the_phones_in_order() -> None:
    hmm = Hmm(3, SPEECH, tying=lambda phone, state: 10 * phone + state)
    phones = np.array([[1, 0]], np.int32)
    automaton = hmm_automaton(phones, np.array([2], np.int32), hmm)
    scores = np.zeros((7, 1, 13), np.float32)
    scores[0, 0, 10] = scores[1, 0, 10] = 5.0
    alignment, states, score = fsa_best_path(scores, np.array([7], np.int32), automaton)
    assert alignment.tolist() == [[10, 10, 11, 12, 0, 1, 2]]
    assert states.tolist() == [[1, 1, 2, 3, 4, 5, 6]]
    assert score.tolist() == [10 - 0.25 - 6 * 1.5]


def test_tying_by_a_table() -> None:
    hmm = Hmm(2, silence=0, tying=np.array([[7, 7], [4, 5]]))
    automaton = hmm_automaton(np.array([[1]], np.int32), np.array([1], np.int32), hmm)
    assert set(automaton.label.tolist()) == {7, 4, 5}
    with pytest.raises(ArgumentError, match=r"Hmm \(tying\): found phone 2, needed 0 to 1"):
        hmm.label(2, 0)


def test_no_phones_are_silence_or_nothing() -> None:
    none = np.zeros((1, 0), np.int32), np.zeros(1, np.int32)
    scores = np.zeros((2, 1, 3), np.float32)
    for length, silence, expected in ((2, None, np.inf), (0, None, 0.0), (2, 2, 0.0), (0, 2, 0.0)):
        automaton = hmm_automaton(*none, Hmm(1, silence=silence))
        loss, _ = fsa_full_sum(scores, np.array([length], np.int32), automaton)
        assert loss.tolist() == [expected]


def test_wrong_words_and_phones_are_named() -> None:
    with pytest.raises(ArgumentError, match=r"\(words\): found 'hallo', needed one of .*'hello'"):
        lexicon_automaton([["hallo"]], {"hello": [([1], 0.0)]}, Hmm())
    with pytest.raises(ArgumentError, match=r"\(lexicon\['x'\]\): found \[\(\[\], 0.0\)\], needed"):
        lexicon_automaton([["x"]], {"x": [([], 0.0)]}, Hmm())
    one, phones = np.ones(1, np.int32), np.full((1, 1), -1, np.int32)
    with pytest.raises(ArgumentError, match=r"hmm_automaton \(phones\[0, 0\]\): found -1, needed"):
        hmm_automaton(phones, one, Hmm())
    with pytest.raises(ArgumentError, match=r"hmm_automaton \(word_ends\): found int32, needed bo"):
        hmm_automaton(phones, one, Hmm(), word_ends=phones)
    with pytest.raises(
        ArgumentError, match=r"hmm_automaton \(phone_lengths\[0\]\): found 2, needed"
    ):
        hmm_automaton(phones, one + 1, Hmm())
    with pytest.raises(ArgumentError, match=r"Hmm \(states\): found 0, needed 1 or more"):
        Hmm(0)
    with pytest.raises(
        ArgumentError, match=r"\(tying\): found shape \(4, 2\), needed \[phones=any, s"
    ):
        Hmm(3, tying=np.zeros((4, 2), np.int64))
