"""The grammar: how many words and sentences, and what a transcript may hold."""

from __future__ import annotations

import random
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jobs.corpus.grammar import START, derivations, distinct, expand, sentences, transcript, words
from jobs.corpus.grammar_table import TABLE


def test_two_hundred_words_and_far_more_sentences_than_used() -> None:
    assert len(words()) >= 200
    assert derivations() > 10**8


def test_derivations_are_counted_as_by_enumeration() -> None:
    """Small names of the table, expanded until nothing new comes."""
    for name in ("duration", "date", "door", "weather"):
        draw = random.Random(0)
        found = {expand(name, draw) for _ in range(60 * derivations(name))}
        assert len(found) == derivations(name)


def test_every_name_is_reached_and_defined() -> None:
    used = {n for row in TABLE.values() for choice in row for n in re.findall(r"\{(\w+)\}", choice)}
    assert used | {START} == set(TABLE)


@given(st.integers())
def test_transcripts_are_plain_words_of_the_table(seed: int) -> None:
    text = transcript(expand(START, random.Random(seed)))
    assert re.fullmatch(r"[a-z']+( [a-z']+)+", text)
    assert set(text.split()) <= words()


def test_transcript_has_no_commas() -> None:
    assert transcript("dial one two, three") == "dial one two three"


def test_same_seed_same_sentences() -> None:
    first, second = (distinct(50, random.Random("a"), set()) for _ in range(2))
    assert first == second
    assert first != distinct(50, random.Random("b"), set())


def test_distinct_sentences_avoid_those_taken_and_take_theirs() -> None:
    taken: set[str] = set()
    first = distinct(300, random.Random(1), taken)
    second = distinct(300, random.Random(1), taken)
    transcripts = {transcript(s) for s in first + second}
    assert len(transcripts) == 600
    assert transcripts == taken


def test_sentences_leave_out_those_held_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(TABLE, START, ("one, two", "two", "three"))
    source = sentences(random.Random(1), {"one two", "three"})
    assert {next(source) for _ in range(50)} == {"two"}


def test_all_words_are_in_the_default_training_set() -> None:
    draw = random.Random("sentences/1")  # as the job draws with its default seed
    distinct(500, draw, set())
    train = distinct(2400, draw, set())
    assert {word for s in train for word in transcript(s).split()} == words()
