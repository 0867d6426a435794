"""Transcripts brought to plain words."""

from __future__ import annotations

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from jobs.corpus.text import normalise


@pytest.mark.parametrize(
    ("text", "plain"),
    [
        ("IT'S JUST SO HARD TO PICTURE", "it's just so hard to picture"),
        ("  Two\t blanks ", "two blanks"),
        ('"Well-known," she said: (no!)', "well known she said no"),
        ("It\u2019s 5 o`clock", "it's 5 o'clock"),
        ("rock 'n' roll - and ' more", "rock 'n' roll and more"),
        ("either/or\u2014neither\u2026nor", "either or neither nor"),
        ("1,000 $ + 5 %", "1000 5"),
        ("Caf\u0065\u0301", "caf\u00e9"),
        ("...", ""),
        ("", ""),
    ],
)
def test_plain_words(text: str, plain: str) -> None:
    assert normalise(text) == plain


def test_each_step_can_be_left_out() -> None:
    text = " Hello,  World! "
    assert normalise(text, lower=False) == "Hello World"
    assert normalise(text, strip_punctuation=False) == "hello, world!"
    assert normalise(text, lower=False, strip_punctuation=False) == "Hello, World!"


@given(st.text())
@example("C:\u0327")
def test_plain_words_stay(text: str) -> None:
    plain = normalise(text)
    assert plain == " ".join(plain.split())
    assert normalise(plain, lower=False) == plain
