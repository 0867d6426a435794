"""LibriSpeech's layout, on two of its utterances."""

from __future__ import annotations

import logging
from pathlib import Path

import pytest

from jobs.corpus import librispeech
from jobs.corpus.audio import read_audio
from jobs.corpus.librispeech import Inputs, Outputs, Params
from jobs.corpus.manifest import Utterance, read_manifest
from jobs.job import JobError


def read(folder: Path, path: Path) -> list[Utterance]:
    outputs = Outputs(corpus=folder / "corpus.jsonl")
    librispeech.run(Inputs(), outputs, Params(path=str(path)), logging.getLogger("test"))
    return read_manifest(outputs.corpus)


def test_real_chapter(tmp_path: Path, data_root: Path) -> None:
    folder = data_root / "librispeech_sample" / "LibriSpeech" / "dev-clean"
    first, second = read(tmp_path, folder)
    assert (first.utt, first.speaker) == ("2412-153948-0000", "2412")
    assert first.text.startswith("if the reader will excuse me i will say nothing of my")
    assert second.text.endswith("unable to reap any pecuniary advantage")
    for u in (first, second):
        assert len(read_audio(u.audio, 16000)) == round(u.duration * 16000)


def test_missing_recordings_are_left_to_the_check(tmp_path: Path) -> None:
    (tmp_path / "1-2.trans.txt").write_text("1-2-0003 A B\n\n1-2-0004\n")
    utterances = read(tmp_path, tmp_path)
    assert [(u.utt, u.text, u.duration) for u in utterances] == [
        ("1-2-0003", "a b", 0),
        ("1-2-0004", "", 0),
    ]


def test_other_folders(tmp_path: Path) -> None:
    with pytest.raises(JobError, match=r"found no \*\.trans\.txt in .*speaker/chapter"):
        read(tmp_path, tmp_path)
    with pytest.raises(JobError, match=r"found no folder .*none, needed one in LibriSpeech"):
        read(tmp_path, tmp_path / "none")


def test_its_transcripts_are_part_of_the_stage(tmp_path: Path) -> None:
    (tmp_path / "1" / "2").mkdir(parents=True)
    (tmp_path / "1" / "2" / "1-2.trans.txt").write_text("1-2-0 A\n")
    assert librispeech.external(Params(path=str(tmp_path))) == [tmp_path / "1/2/1-2.trans.txt"]
