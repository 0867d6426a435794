"""Scores of hypotheses: the numbers, and what a user sees of a mistake."""

from __future__ import annotations

import json
import logging
from pathlib import Path
from typing import Any

import pytest

from jobs.corpus.manifest import Utterance, write_manifest
from jobs.job import JobError
from jobs.score import wer
from jobs.score.wer import Inputs, Outputs, Params
from jobs.typed_json import from_json

REFERENCES = {"a": "turn on the light now", "b": "stop", "c": "what time is it"}
HYPOTHESES = {"a": "turn the lights now please", "b": "stop", "c": "what time is"}


def _score(
    folder: Path,
    log: logging.Logger,
    references: dict[str, str],
    hypotheses: dict[str, str],
    search: object = None,
) -> dict[str, Any]:
    write_manifest(
        folder / "corpus.jsonl",
        [
            Utterance(utt=u, audio=folder / "a.wav", text=t, speaker="s", duration=1.0)
            for u, t in references.items()
        ],
    )
    rows = [{"utt": u, "text": t, "score": -1.0, "labels": []} for u, t in hypotheses.items()]
    lines = "".join(json.dumps(row) + "\n" for row in rows)
    (folder / "hypotheses.jsonl").write_text(lines, encoding="utf-8")
    (folder / "search.json").write_text(json.dumps(search), encoding="utf-8")
    inputs = Inputs(
        corpus=folder / "corpus.jsonl",
        hypotheses=folder / "hypotheses.jsonl",
        search=folder / "search.json" if search else None,
    )
    outputs = Outputs(score=folder / "score.json", errors=folder / "errors.txt")
    wer.run(inputs, outputs, Params(), log)
    result: dict[str, Any] = json.loads(outputs.score.read_text(encoding="utf-8"))
    return result


def test_all_numbers_by_hand(tmp_path: Path, log: logging.Logger) -> None:
    search = {"audio_seconds": 10.0, "seconds": 1.23456, "real_time_factor": 0.123456}
    # In the order of the search, which is not the corpus'.
    hypotheses = {utt: HYPOTHESES[utt] for utt in ("c", "a", "b")}
    score = _score(tmp_path, log, REFERENCES, hypotheses, search)
    low, high = score.pop("wer_interval")
    assert 0 <= low < 40 < high <= 100
    assert score == {
        "sentences": 3,
        "sentence_errors": 2,
        "ser": 66.6667,
        "words": 10,
        "substitutions": 1,
        "deletions": 2,
        "insertions": 1,
        "wer": 40.0,
        "characters": 40,
        "character_substitutions": 0,
        "character_deletions": 6,
        "character_insertions": 8,
        "cer": 35.0,
        "real_time_factor": 0.1235,
    }
    errors = (tmp_path / "errors.txt").read_text(encoding="utf-8")
    assert errors.startswith("2 of 3 sentences have errors")
    assert errors.index("\na: ") < errors.index("\nc: ")


def test_twice_the_same_bytes_and_no_real_time_factor(tmp_path: Path, log: logging.Logger) -> None:
    assert _score(tmp_path, log, REFERENCES, HYPOTHESES)["real_time_factor"] is None
    first = (tmp_path / "score.json").read_bytes()
    _score(tmp_path, log, REFERENCES, HYPOTHESES)
    assert (tmp_path / "score.json").read_bytes() == first


def test_empty_texts_and_more_errors_than_words(tmp_path: Path, log: logging.Logger) -> None:
    score = _score(tmp_path, log, {"a": "", "b": "stop"}, {"a": "x y", "b": ""})
    assert (score["wer"], score["insertions"], score["deletions"]) == (300.0, 2, 1)


def test_the_utterances_must_be_the_same(tmp_path: Path, log: logging.Logger) -> None:
    hypotheses = {"a": "x", **{f"z{i}": "x" for i in range(6)}}
    with pytest.raises(JobError) as caught:
        _score(tmp_path, log, REFERENCES, hypotheses)
    lines = str(caught.value).splitlines()
    assert lines[0].endswith("hypotheses.jsonl: found no hypothesis of 2 utterances: b, c")
    assert lines[1].endswith("but no reference, of 6 utterances: z0, z1, z2, z3, z4, ...")
    assert lines[2] == "score the hypotheses against the corpus searched"


def test_references_without_words(tmp_path: Path, log: logging.Logger) -> None:
    with pytest.raises(JobError, match="found no words in the references, needed some"):
        _score(tmp_path, log, {"a": ""}, {"a": "x"})


def test_a_file_that_is_no_search(tmp_path: Path, log: logging.Logger) -> None:
    with pytest.raises(JobError, match=r"search\.json: found no real_time_factor"):
        _score(tmp_path, log, REFERENCES, HYPOTHESES, {"seconds": 1})


@pytest.mark.parametrize("params", [{"resamples": 0}, {"seed": -1}])
def test_wrong_parameters(params: dict[str, int]) -> None:
    with pytest.raises(JobError, match=r"^stage s: found resamples .* and seed .*, needed"):
        from_json(Params, params, "stage s")
