"""Texts of manifests and files."""

from __future__ import annotations

import gzip
from pathlib import Path

import pytest

from jobs.corpus.manifest import Utterance, write_manifest
from jobs.job import JobError
from jobs.units.texts import read_texts


def test_manifests_give_utterances(tmp_path: Path) -> None:
    texts = {"a": "one two", "b": ""}
    path = tmp_path / "corpus.jsonl"
    write_manifest(
        path,
        [
            Utterance(utt=u, audio=tmp_path / "a.wav", text=t, speaker="s", duration=1.0)
            for u, t in texts.items()
        ],
    )
    assert list(read_texts(path)) == list(texts.items())


@pytest.mark.parametrize("name", ["a.txt", "a.en.gz"])
def test_files_give_lines_that_are_not_empty(tmp_path: Path, name: str) -> None:
    content = "one  two \r\n\n \n\u3000grün\u00a0x".encode()
    (tmp_path / name).write_bytes(gzip.compress(content) if name.endswith("gz") else content)
    assert list(read_texts(tmp_path / name)) == [("line-1", "one two"), ("line-4", "grün x")]


def test_damaged_files_are_named(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_bytes(b"one\n\xff\n")
    with pytest.raises(JobError, match=r"a\.txt:2: not UTF-8: invalid start byte"):
        list(read_texts(tmp_path / "a.txt"))
    content = gzip.compress(b"one\n" * 1000)
    for damaged in (b"one", content[:-9], content[:20] + b"\0\0\0\0" + content[24:]):
        (tmp_path / "a.gz").write_bytes(damaged)
        with pytest.raises(JobError, match=r"a\.gz: found a damaged file after line"):
            list(read_texts(tmp_path / "a.gz"))
