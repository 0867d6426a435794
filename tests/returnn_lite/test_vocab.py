"""Files of labels: their forms, and the errors for what is none."""

from __future__ import annotations

import gzip
import pickle
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest

from returnn_lite import vocab
from returnn_lite.errors import NetworkError

LABELS = ("</s>", "ä@@", "it's")
NUMBERS = {"it's": 2, "</s>": 0, "ä@@": 1}


FORMS = {
    "lines": "</s>\nä@@\nit's\n".encode(),
    "lines.gz": gzip.compress("</s>\nä@@\nit's".encode()),
    "dict": repr(NUMBERS).encode(),
    "dict.gz": gzip.compress(repr(NUMBERS).encode()),
    "dict.pkl": pickle.dumps(NUMBERS),
}


@pytest.mark.parametrize("name", FORMS)
def test_forms(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_bytes(FORMS[name])
    assert vocab.read(tmp_path / name) == LABELS


def test_a_line_ends_where_it_is_broken(tmp_path: Path) -> None:
    (tmp_path / "labels").write_bytes("a\u2028b\r\n\r\nc\x85\n".encode())
    assert vocab.read(tmp_path / "labels") == ("a\u2028b", "", "c\x85")


@pytest.mark.parametrize(
    ("name", "data", "text"),
    [
        ("lines", b"", "found an empty file, needed one label in each line"),
        ("lines", b"\xff\xfe", r"found no labels \(.*utf-8.*\), needed one in each line of UTF-8"),
        ("dict", b"{'a': 1}", "found 1 labels and none with number 0, needed {label: number} with"),
        ("dict", b"{'a': 0, 'b': 0}", "found 2 labels and none with number 1, needed"),
        ("dict", b"{'a': __import__('os')}", r"found no labels \(malformed node.*\), needed one"),
        ("dict", b"{'a'", r"found no labels \(.*never closed.*\), needed one"),
        ("a.pkl", pickle.dumps(["a"]), "found no dict with labels, needed {label: number} with"),
        ("a.pkl", pickle.dumps(Fraction(1)), r"found no labels \(it has a fractions.Fraction\)"),
        ("a.pkl", b"?", "found no labels"),
    ],
)
def test_mistakes(tmp_path: Path, name: str, data: bytes, text: str) -> None:
    (tmp_path / name).write_bytes(data)
    with pytest.raises(NetworkError, match=f"{name}: {text}"):
        vocab.read(tmp_path / name)


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(NetworkError, match=r"none: found no labels \(No such file"):
        vocab.read(tmp_path / "none")


class Code:
    def __reduce__(self) -> tuple[Any, ...]:
        return print, ("run",)


def test_a_pickle_runs_no_code(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "a.pkl").write_bytes(pickle.dumps({"a": Code()}))
    with pytest.raises(NetworkError, match=r"it has a builtins.print"):
        vocab.read(tmp_path / "a.pkl")
    assert not capsys.readouterr().out
