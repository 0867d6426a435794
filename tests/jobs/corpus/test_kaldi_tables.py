"""The tables of a Kaldi data directory, good and bad; nothing in them is ever run."""

from __future__ import annotations

from pathlib import Path

import pytest

from jobs.corpus.kaldi_tables import (
    Segment,
    check_keys,
    read_segments,
    read_table,
    read_wav_scp,
)
from jobs.job import JobError


def write(folder: Path, text: str | bytes) -> Path:
    path = folder / "table"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


def test_table_keeps_its_order(tmp_path: Path) -> None:
    path = write(tmp_path, "b two words\na\tafter a tab \r\nc  x\n")
    assert list(read_table(path).items()) == [("b", "two words"), ("a", "after a tab"), ("c", "x")]


def test_empty_values_where_they_may_be(tmp_path: Path) -> None:
    path = write(tmp_path, "a x\nb\n")
    assert read_table(path, empty=True) == {"a": "x", "b": ""}
    with pytest.raises(JobError, match=r"table:2: found 'b', needed a key and a value"):
        read_table(path)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a x\n\nb y\n", "table:2: found '', needed a key and a value"),
        ("a x\na y\n", "table:2: 'a' is there twice"),
        (b"a x\nb caf\xe9\n", "table:2: found .*, needed UTF-8; try iconv"),
    ],
)
def test_bad_lines(tmp_path: Path, text: str | bytes, message: str) -> None:
    with pytest.raises(JobError, match=message):
        read_table(write(tmp_path, text))


def test_missing_table(tmp_path: Path) -> None:
    with pytest.raises(JobError, match=r"none: found no such file, needed a table of a Kaldi"):
        read_table(tmp_path / "none")


def test_paths_are_relative_to_the_root(tmp_path: Path) -> None:
    path = write(tmp_path, "a wav/a b.wav\nb /data/b.flac\n")
    assert read_wav_scp(path, Path("root")) == {
        "a": Path("root/wav/a b.wav"),
        "b": Path("/data/b.flac"),
    }


def test_commands_are_refused_and_not_run(tmp_path: Path) -> None:
    path = write(tmp_path, f"a touch {tmp_path}/run |\n")
    with pytest.raises(JobError, match=r"table:1: found the command .*; commands are not run"):
        read_wav_scp(path, tmp_path)
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("value", ["wav.ark:1234", "-"])
def test_archives_are_refused(tmp_path: Path, value: str) -> None:
    with pytest.raises(JobError, match=f"found '{value}', needed the path of a wav or FLAC"):
        read_wav_scp(write(tmp_path, f"a {value}\n"), tmp_path)


def test_segments(tmp_path: Path) -> None:
    path = write(tmp_path, "u1 a 0.5 1.25\nu2 a 1.25 -1\n")
    audio = Path("a.wav")
    assert read_segments(path, {"a": audio}) == {
        "u1": Segment(audio=audio, start=0.5, end=1.25),
        "u2": Segment(audio=audio, start=1.25, end=-1),
    }


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("u1 b 0 1", "found recording 'b', needed one of wav.scp"),
        ("u1 a 0", "found 'a 0', needed a recording, start and end in seconds"),
        ("u1 a zero 1", "needed a recording, start and end"),
        ("u1 a 2 1", "found 2.0 to 1.0 s, needed 0 <= start < end"),
        ("u1 a -2 1", "found -2.0 to 1.0 s"),
        ("u1 a 0 nan", "found 0.0 to nan s"),
    ],
)
def test_bad_segments(tmp_path: Path, line: str, message: str) -> None:
    with pytest.raises(JobError, match=f"table:1: .*{message}"):
        read_segments(write(tmp_path, line + "\n"), {"a": Path("a.wav")})


def test_missing_keys_are_listed(tmp_path: Path) -> None:
    keys = [f"u{i}" for i in range(7)]
    check_keys(Path("text"), keys, Path("wav.scp"), [*keys, "more"])
    with pytest.raises(
        JobError, match=r"wav\.scp: found no line for 6 of 7 .*: u1, .*, u5, \.\.\."
    ):
        check_keys(Path("text"), keys, Path("wav.scp"), ["u0"])
