"""Alignment of words, against the definition and against jiwer."""

from __future__ import annotations

import functools

import jiwer
from hypothesis import given
from hypothesis import strategies as st

from jobs.score.edits import Counts, align, count, total

Tokens = tuple[str, ...]


@functools.cache
def _distance(reference: Tokens, hypothesis: Tokens) -> int:
    """Levenshtein's definition."""
    if not reference or not hypothesis:
        return len(reference) + len(hypothesis)
    return min(
        _distance(reference[1:], hypothesis) + 1,
        _distance(reference, hypothesis[1:]) + 1,
        _distance(reference[1:], hypothesis[1:]) + (reference[0] != hypothesis[0]),
    )


sentences = st.lists(st.sampled_from(["a", "b", "c", "ab"]), max_size=7).map(tuple)


def test_a_sentence_by_hand() -> None:
    pairs = align(["set", "a", "timer", "for"], ["set", "the", "timer", "for", "ten"])
    assert pairs == [
        ("set", "set"),
        ("a", "the"),
        ("timer", "timer"),
        ("for", "for"),
        (None, "ten"),
    ]
    assert count(pairs) == Counts(tokens=4, substitutions=1, deletions=0, insertions=1)
    assert count(pairs).rate == 50.0


@given(sentences, sentences)
def test_edits_are_the_fewest_and_lead_from_one_to_the_other(
    reference: Tokens, hypothesis: Tokens
) -> None:
    pairs = align(reference, hypothesis)
    assert tuple(r for r, _ in pairs if r is not None) == reference
    assert tuple(h for _, h in pairs if h is not None) == hypothesis
    assert count(pairs).errors == _distance(reference, hypothesis)
    assert count(pairs).tokens == len(reference)


@given(st.lists(st.tuples(sentences.filter(bool), sentences), min_size=1, max_size=4))
def test_totals_are_jiwers(pairs: list[tuple[Tokens, Tokens]]) -> None:
    found = total(count(align(r, h)) for r, h in pairs)
    expected = jiwer.process_words([" ".join(r) for r, _ in pairs], [" ".join(h) for _, h in pairs])
    assert found.rate == round(100 * expected.wer, 4)
    assert (found.substitutions, found.deletions, found.insertions) == (
        expected.substitutions,
        expected.deletions,
        expected.insertions,
    )


def test_characters_are_tokens_too() -> None:
    assert count(align("ab c", "abc")) == Counts(tokens=4, deletions=1)
