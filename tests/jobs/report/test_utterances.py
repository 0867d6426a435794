"""Utterances with the words of all systems in columns."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path

import pytest

from jobs.report.evidence import Evidence
from jobs.report.systems import Reader, Set
from jobs.report.utterances import Cell, lines, shown
from jobs.score.edits import align


def table(reference: str, *hypotheses: str, width: int = 90) -> list[list[str]]:
    """Return the rows of all lines, with marks: *sub*, +ins+, -del-."""
    marks = {"sub": "*", "ins": "+", "del": "-"}

    def text(cells: Sequence[Cell]) -> str:
        marked = [f"{marks.get(c.kind, '')}{c.text}{marks.get(c.kind, '')}" or "_" for c in cells]
        return " ".join(marked)

    found = lines([align(reference.split(), h.split()) for h in hypotheses], width)
    return [[" ".join(w or "_" for w in x.reference), *map(text, x.rows)] for x in found]


def test_systems_stand_in_the_columns_of_the_reference() -> None:
    assert table("a b c d", "a X c d", "a b d") == [["a b c d", "a *X* c d", "a b -∅- d"]]


def test_what_is_inserted_has_columns_of_its_own() -> None:
    (rows,) = table("a b", "a x y b", "a z b w", "a b")
    assert rows == ["a _ _ b _", "a +x+ +y+ b _", "a +z+ _ b +w+", "a _ _ b _"]


def test_no_words() -> None:
    assert table("a", "") == [["a", "-∅-"]]
    assert table("", "a", "") == [["_", "+a+", "_"]]
    assert table("", "") == []


def test_long_utterances_are_broken() -> None:
    found = table("aaaa bbbb cccc", "aaaa bbbb xxxx", width=13)
    assert found == [["aaaa bbbb", "aaaa bbbb"], ["cccc", "*xxxx*"]]


def test_what_a_mark_tells() -> None:
    (line,) = lines([align(["a", "b"], ["x", "y", "b"])])
    told = {c.told for row in line.rows for c in row if c.told}
    assert told == {"inserted: x", "substituted: a → y"}
    (line,) = lines([align(["a"], [])])
    assert line.rows[0][0].told == "deleted: a"


def test_the_worst_utterances_have_their_recording(small: Evidence) -> None:
    (of,) = Reader().sets(small.systems)
    found = shown(of, played=2, listed=3)
    assert [u.utterance.utt for u in found] == ["b", "a", "d"]
    assert [bool(u.audio and u.audio.startswith("data:audio/flac")) for u in found] == [1, 1, 0]
    assert [u.differ for u in found] == [True, True, True]
    assert [c.errors for c in found[0].counts] == [1, 2]
    assert not shown(of)[-1].differ


def test_long_recordings_are_left_out(small: Evidence, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("jobs.report.utterances.SECONDS", 2.5)
    (of,) = Reader().sets(small.systems)
    assert [u.audio is not None for u in shown(of)] == [True, True, False, False]


def test_seconds_of_what_is_not_played_do_not_count(
    small: Evidence, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("jobs.report.utterances.SECONDS", 2.5)
    (of,) = Reader().sets(small.systems)
    long, gone, *_ = of.worst()
    changed = {
        **of.utterances,
        long: dataclasses.replace(of.utterances[long], duration=100.0),
        gone: dataclasses.replace(of.utterances[gone], audio=Path("none")),
    }
    found = shown(Set("test", changed, of.systems))
    assert [u.audio is not None for u in found] == [False, False, True, True]


def test_a_recording_that_was_removed(small: Evidence) -> None:
    (of,) = Reader().sets(small.systems)
    gone = {k: dataclasses.replace(u, audio=Path("none")) for k, u in of.utterances.items()}
    assert [u.audio for u in shown(Set("test", gone, of.systems))] == [None] * 4
