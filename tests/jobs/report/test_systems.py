"""Systems and the sets that they were scored on."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest

from jobs.job import JobError
from jobs.report.evidence import Evidence
from jobs.report.systems import Reader


def test_systems_of_the_same_corpus_are_one_set(small: Evidence) -> None:
    other = dataclasses.replace(small.systems[0], corpus=small.systems[0].corpus)
    (found,) = Reader().sets([*small.systems, other])
    assert found.name == "test" and len(found.systems) == 3
    assert [*found.utterances] == ["a", "b", "c", "d"]
    assert [found.errors(u) for u in "abcd"] == [4, 4, 0, 1]
    assert found.worst() == ["a", "b", "d", "c"]


def test_each_pair_of_systems_is_compared(small: Evidence) -> None:
    (found,) = Reader().sets(small.systems)
    ((first, second, comparison),) = found.comparisons()
    assert (first.system.name, second.system.name) == ("CTC <greedy>", "transducer")
    assert comparison.difference == pytest.approx(0.0)
    assert comparison.segments == 4 and comparison.p is None


def test_the_best_systems_of_a_set(small: Evidence) -> None:
    (found,) = Reader().sets(small.systems)
    worse = dataclasses.replace(found.systems[0], score={"wer": 99.0})
    three = dataclasses.replace(found, systems=[worse, *found.systems])
    assert three.best(2).systems == found.systems and three.best(9).systems[-1] == worse


def test_frequent_errors_of_all_systems(small: Evidence) -> None:
    (found,) = Reader().sets(small.systems)
    assert found.frequent("substitutions", 9) == [(("<b>time</b>", "<b>lime</b>"), [1, 1])]
    assert found.frequent("deletions", 9) == [
        (("is", None), [0, 1]),
        (("on", None), [0, 1]),
        (("the", None), [1, 0]),
    ]
    assert found.frequent("insertions", 9) == [((None, "now"), [1, 0])]
    assert len(found.frequent("deletions", 2)) == 2


def test_what_is_not_there_yet_is_left_out(small: Evidence, tmp_path: Path) -> None:
    unscored, unsearched = (
        dataclasses.replace(small.systems[0], **{key: tmp_path / "none"})
        for key in ("score", "hypotheses")
    )
    ((_, none), (_, score)) = Reader().scores([unscored, unsearched])
    assert none is None and score is not None and score["words"] == 11
    (found,) = Reader().sets([unscored, unsearched, small.systems[1]])
    assert [s.system for s in found.systems] == [small.systems[1]]


def test_hypotheses_of_other_utterances(small: Evidence, tmp_path: Path) -> None:
    (tmp_path / "h.jsonl").write_text('{"utt": "a", "text": "x"}\n')
    wrong = dataclasses.replace(small.systems[0], hypotheses=tmp_path / "h.jsonl")
    with pytest.raises(JobError, match=r"found no hypothesis of 3 utterances: b, c, d"):
        Reader().sets([wrong])
