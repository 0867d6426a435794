"""Kaldi data directories: a real one, and one with segments."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile

from jobs.corpus import kaldi
from jobs.corpus.audio import read_audio, read_raw
from jobs.corpus.kaldi import Inputs, Outputs, Params
from jobs.corpus.manifest import Utterance, read_manifest
from jobs.job import JobError

LOG = logging.getLogger("test")


def read(folder: Path, **params: Any) -> list[Utterance]:
    outputs = Outputs(corpus=folder / "out" / "corpus.jsonl", audio=folder / "out" / "audio")
    kaldi.run(Inputs(), outputs, Params(**params), LOG)
    assert outputs.audio.is_dir()
    return read_manifest(outputs.corpus)


@pytest.mark.parametrize(("part", "number", "speakers"), [("train", 404, 49), ("test", 128, 13)])
def test_real_directory(
    tmp_path: Path, data_root: Path, part: str, number: int, speakers: int
) -> None:
    root = data_root / "speechocean762_adult"
    utterances = read(tmp_path, path=str(root / part), root=str(root))
    assert len(utterances) == number
    assert len({u.speaker for u in utterances}) == speakers
    assert {c for u in utterances for c in u.text} <= set("abcdefghijklmnopqrstuvwxyz' ")
    first = utterances[0]
    assert len(read_audio(first.audio, 16000)) == round(first.duration * 16000)
    assert all(1 < u.duration < 4 for u in utterances)
    if part == "test":
        assert (first.utt, first.speaker) == ("000240010", "0024")
        assert first.text == "it was good for me"


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    folder = tmp_path / "data"
    folder.mkdir()
    samples = np.arange(8000) / 16384  # each sample tells where it was
    soundfile.write(folder / "a.wav", samples, 8000, subtype="PCM_16")
    (folder / "wav.scp").write_text("rec a.wav\n")
    (folder / "segments").write_text("u1 rec 0.25 0.5\nu2 rec 0.5 -1\nu3 rec 0 0.1\n")
    (folder / "utt2spk").write_text("u1 s\nu2 s\n")
    (folder / "text").write_text("u1 Hello, World\nu2\n")
    return folder


def test_segments_are_cut_out(tmp_path: Path, directory: Path) -> None:
    utterances = read(tmp_path, path=str(directory))
    assert [(u.utt, u.text, u.duration) for u in utterances] == [
        ("u1", "hello world", 0.25),
        ("u2", "", 0.5),
    ]
    samples, rate = read_raw(utterances[0].audio)
    assert rate == 8000
    np.testing.assert_allclose(samples, np.arange(2000, 4000) / 16384, atol=1e-4)


def test_text_can_stay_as_it_is(tmp_path: Path, directory: Path) -> None:
    utterances = read(tmp_path, path=str(directory), lower=False, strip_punctuation=False)
    assert utterances[0].text == "Hello, World"


def test_unreadable_recordings_are_left_to_the_check(tmp_path: Path, directory: Path) -> None:
    (directory / "a.wav").unlink()
    assert [u.duration for u in read(tmp_path, path=str(directory))] == [0, 0]


def test_names_of_segments_stay_in_the_folder(tmp_path: Path, directory: Path) -> None:
    for table in ("text", "utt2spk", "segments"):
        path = directory / table
        path.write_text(path.read_text().replace("u1", "../u1"))
    with pytest.raises(JobError, match=r"found utterance '\.\./u1', needed a name"):
        read(tmp_path, path=str(directory))


def test_tables_that_do_not_fit(tmp_path: Path, directory: Path) -> None:
    (directory / "text").write_text("u1 a\nu2 b\nu3 c\nu4 d\n")
    with pytest.raises(JobError, match=r"utt2spk: found no line for 2 of 4 .* of text.*: u3, u4"):
        read(tmp_path, path=str(directory))
    (directory / "utt2spk").write_text("u1 s\nu2 s\nu3 s\nu4 s\n")
    with pytest.raises(JobError, match=r"segments: found no line for 1 of 4 .* of text.*: u4"):
        read(tmp_path, path=str(directory))
    (directory / "segments").unlink()
    with pytest.raises(JobError, match=r"wav\.scp: found no line for 4 of 4"):
        read(tmp_path, path=str(directory))
    with pytest.raises(JobError, match=r"found no folder .*, needed a Kaldi data directory"):
        read(tmp_path, path=str(tmp_path / "none"))


def test_its_tables_are_part_of_the_stage() -> None:
    found = kaldi.external(Params(path="folder"))
    assert [str(p.parent) for p in found] == ["folder"] * 4
    assert [p.name for p in found] == ["text", "wav.scp", "utt2spk", "segments"]
