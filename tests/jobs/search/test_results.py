"""What a search leaves."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from synthetic import Task, rows, write_corpus

from jobs.job import JobError
from jobs.score.hypotheses import read_hypotheses
from jobs.search.decode import Hypothesis
from jobs.search.results import searched, write_hypotheses, write_speed
from jobs.units.units import Units


def test_hypotheses_are_as_scoring_reads_them(task: Task, tmp_path: Path) -> None:
    found = {
        "u": [Hypothesis([2, 3, 4, 2], -1.5), Hypothesis([2], -2.0)],
        "v": [Hypothesis([], -0.5)],
    }
    path = tmp_path / "hypotheses.jsonl"
    write_hypotheses(path, found, Units.load(task.units))
    assert read_hypotheses(path) == {"u": "ab a", "v": ""}
    assert rows(path)[0] == {
        "utt": "u",
        "text": "ab a",
        "score": -1.5,
        "labels": [2, 3, 4, 2],
        "nbest": [
            {"text": "ab a", "score": -1.5, "labels": [2, 3, 4, 2]},
            {"text": "a", "score": -2.0, "labels": [2]},
        ],
    }


def test_a_label_that_is_no_unit_names_its_utterance(task: Task, tmp_path: Path) -> None:
    found = {"u": [Hypothesis([2], -1.0)], "v": [Hypothesis([2, 5], -1.0)]}
    message = "v: found label 5, needed 0 to 4, the units; if it is the blank, try a layer without"
    with pytest.raises(JobError, match=message):
        write_hypotheses(tmp_path / "a.jsonl", found, Units.load(task.units))
    assert not list(tmp_path.iterdir())


def test_utterances_are_those_searched_in_their_order(tmp_path: Path) -> None:
    texts = {"u": "a", "v": "b", "w": "a b"}
    corpus = write_corpus(tmp_path / "a.jsonl", texts, {"u": 1.0, "v": 2.0, "w": 4.0})
    utterances = searched(corpus, ["w", "u"])
    assert [u.utt for u in utterances] == ["w", "u"]
    write_speed(tmp_path / "search.json", utterances, 2.5)
    found = json.loads((tmp_path / "search.json").read_text())
    assert found == {"audio_seconds": 5.0, "seconds": 2.5, "real_time_factor": 0.5}
    message = r"a\.jsonl: found no utterance 'x' and 1 others of the 3 in the features, needed all"
    with pytest.raises(JobError, match=message):
        searched(corpus, ["w", "x", "y"])


def test_recordings_without_duration_have_no_factor(tmp_path: Path) -> None:
    corpus = write_corpus(tmp_path / "a.jsonl", {"u": "a"}, {"u": 0.0})
    write_speed(tmp_path / "search.json", searched(corpus, ["u"]), 2.5)
    assert json.loads((tmp_path / "search.json").read_text())["real_time_factor"] is None
