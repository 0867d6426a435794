"""The readable list of errors."""

from __future__ import annotations

from rich.cells import cell_len

from jobs.score.edits import align
from jobs.score.report import report

SENTENCES = {
    "utt-1": ("turn on the light now", "turn the lights now please"),
    "utt-2": ("stop", "stop"),
    "utt-3": ("dim the light now", "please dim the lights now"),
}
EXPECTED = """\
2 of 3 sentences have errors

Substitutions: 2
      2  light -> lights

Deletions: 1
      1  on

Insertions: 2
      2  please

utt-1: 1 substituted, 1 deleted, 1 inserted; 5 words
REF: turn on the light  now ******
HYP: turn ** the lights now please
ERR:      D      S          I

utt-3: 1 substituted, 1 inserted; 4 words
REF: ****** dim the light  now
HYP: please dim the lights now
ERR: I              S
"""


def _report(sentences: dict[str, tuple[str, str]]) -> str:
    return report({u: align(r.split(), h.split()) for u, (r, h) in sentences.items()})


def test_errors_are_counted_and_marked() -> None:
    assert _report(SENTENCES) == EXPECTED


def test_no_errors() -> None:
    text = _report({"a": ("stop", "stop")})
    assert text.splitlines()[0] == "0 of 1 sentences have errors"
    assert "REF" not in text


def test_long_sentences_are_broken_and_wide_characters_aligned() -> None:
    reference = " ".join(f"word{i}" for i in range(40))
    text = _report({"a": (reference, f"東京 {reference}"), "b": ("東京 a b", "x a c")})
    lines = text.splitlines()
    assert max(map(cell_len, lines)) <= 100
    assert sum(line.startswith("REF:") for line in lines) > 3
    ref, hyp, err = lines[-3:]
    assert (ref, hyp, err) == ("REF: 東京 a b", "HYP: x    a c", "ERR: S      S")


def test_long_lists_are_cut() -> None:
    often = {f"x{i}": ("z", "y") for i in range(3)}
    text = _report({str(i): (f"a{i}", f"b{i}") for i in range(49)} | often)
    assert "Substitutions: 52, the 30 most frequent of 50\n      3  z -> y\n      1  a0" in text
    assert text.count(" -> ") == 30
