"""Encoding of transcripts and of text."""

from __future__ import annotations

import json
import logging
from pathlib import Path
from typing import Literal

import pytest

from jobs.corpus.manifest import Utterance, write_manifest
from jobs.job import JobError
from jobs.units import encode, train
from jobs.units.encode import Inputs, Outputs, Params
from returnn_lite.hdf import HdfReader


@pytest.fixture
def units(tmp_path: Path, log: logging.Logger) -> Path:
    """The labels </s> <unk> a b c and the boundary."""
    (tmp_path / "train.txt").write_text("ab b\nc\n", encoding="utf-8")
    outputs = train.Outputs(units=tmp_path / "units")
    params = train.Params(kind="char", vocab_size=6)
    train.run(train.Inputs(text=(tmp_path / "train.txt",)), outputs, params, log)
    return outputs.units


def _manifest(folder: Path, texts: dict[str, str]) -> Path:
    utterances = [
        Utterance(utt=u, audio=folder / "a.wav", text=t, speaker="s", duration=1.0)
        for u, t in texts.items()
    ]
    write_manifest(folder / "corpus.jsonl", utterances)
    return folder / "corpus.jsonl"


def _encode(
    corpus: Path, units: Path, log: logging.Logger, on: Literal["error", "skip", "unk"] = "error"
) -> dict[str, list[int]]:
    outputs = Outputs(
        targets=corpus.parent / "targets.hdf", skipped=corpus.parent / "skipped.jsonl"
    )
    encode.run(Inputs(corpus=corpus, units=units), outputs, Params(on_unknown=on), log)
    with HdfReader(outputs.targets) as reader:
        assert (reader.sparse, reader.dim) == (True, 6)
        assert reader.labels == ["</s>", "<unk>", "a", "b", "c", "\u2581"]
        return {tag: reader.read(i).tolist() for i, tag in enumerate(reader.tags)}


def test_transcripts(tmp_path: Path, units: Path, log: logging.Logger) -> None:
    corpus = _manifest(tmp_path, {"u2": "ba c", "u1": "a"})
    assert _encode(corpus, units, log) == {"u2": [3, 2, 5, 4], "u1": [2]}
    assert (tmp_path / "skipped.jsonl").read_text(encoding="utf-8") == ""


def test_text(tmp_path: Path, units: Path, log: logging.Logger) -> None:
    (tmp_path / "text.txt").write_text("ab\n\nc a\n", encoding="utf-8")
    assert _encode(tmp_path / "text.txt", units, log) == {"line-1": [2, 3], "line-3": [4, 5, 2]}


def test_unknown_characters_name_utterance_and_characters(
    tmp_path: Path, units: Path, log: logging.Logger
) -> None:
    corpus = _manifest(tmp_path, {"good": "a", "bad": "aäx b", "empty": ""})
    with pytest.raises(JobError) as caught:
        _encode(corpus, units, log)
    assert str(caught.value).splitlines()[1:] == [
        "  bad: found 'x', 'ä' in 'aäx b', not in the units",
        "  empty: found no text",
        "correct them, train the units on text with these characters, or set on_unknown to "
        "'skip' or 'unk'",
    ]
    assert not (tmp_path / "targets.hdf").exists()


def test_unknown_characters_can_be_skipped(
    tmp_path: Path, units: Path, log: logging.Logger
) -> None:
    corpus = _manifest(tmp_path, {"good": "a", "bad": "ä", "empty": ""})
    assert _encode(corpus, units, log, "skip") == {"good": [2]}
    rows = [json.loads(line) for line in (tmp_path / "skipped.jsonl").open(encoding="utf-8")]
    assert [row["utt"] for row in rows] == ["bad", "empty"]


def test_unknown_characters_can_be_a_label(
    tmp_path: Path, units: Path, log: logging.Logger
) -> None:
    corpus = _manifest(tmp_path, {"good": "a", "bad": "bä"})
    assert _encode(corpus, units, log, "unk") == {"good": [2], "bad": [3, 1]}
    with pytest.raises(JobError, match="empty: found no text"):
        _encode(_manifest(tmp_path, {"empty": "", "good": "a"}), units, log, "unk")


def test_a_corpus_without_text(tmp_path: Path, units: Path, log: logging.Logger) -> None:
    with pytest.raises(JobError, match=r"corpus\.jsonl: found no text, needed some"):
        _encode(_manifest(tmp_path, {}), units, log)
