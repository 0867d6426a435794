"""Training of units: exact sizes, same bytes, errors that give the size to set."""

from __future__ import annotations

import json
import logging
import re
from pathlib import Path
from typing import Any

import pytest

from jobs.job import JobError
from jobs.typed_json import from_json
from jobs.units import train
from jobs.units.train import Inputs, Outputs, Params
from jobs.units.units import Units

LINES = [
    f"{verb} the {adjective} {noun}"
    for verb in ("set", "stop", "start", "turn")
    for adjective in ("other", "new", "next", "bright")
    for noun in ("timer", "alarm", "light", "radio")
]


def _train(folder: Path, lines: list[str], log: logging.Logger, **params: Any) -> Path:
    (folder / "text.txt").write_text("\n".join(lines), encoding="utf-8")
    inputs, outputs = Inputs(text=(folder / "text.txt",)), Outputs(units=folder / "units")
    train.run(inputs, outputs, from_json(Params, params, "units"), log)
    return outputs.units


@pytest.mark.parametrize("kind", ["bpe", "unigram"])
def test_pieces_have_the_size_asked_for(tmp_path: Path, log: logging.Logger, kind: str) -> None:
    folder = _train(tmp_path, LINES, log, kind=kind, vocab_size=26)
    assert sorted(p.name for p in folder.iterdir()) == ["spm.model", "units.json", "vocab.txt"]
    assert len((folder / "vocab.txt").read_text(encoding="utf-8").splitlines()) == 26
    facts = json.loads((folder / "units.json").read_text(encoding="utf-8"))
    assert facts == {"kind": kind, "vocab_size": 26}


@pytest.mark.parametrize("kind", ["bpe", "unigram", "char"])
def test_the_same_text_gives_the_same_bytes(tmp_path: Path, log: logging.Logger, kind: str) -> None:
    size = len(set("".join(LINES))) + 2 if kind == "char" else 26
    contents = []
    for name in ("first", "second"):
        (tmp_path / name).mkdir()
        folder = _train(tmp_path / name, LINES, log, kind=kind, vocab_size=size)
        contents.append({p.name: p.read_bytes() for p in folder.iterdir()})
    assert contents[0] == contents[1]


@pytest.mark.parametrize("kind", ["bpe", "unigram"])
def test_the_limits_that_errors_give_are_right(
    tmp_path: Path, log: logging.Logger, kind: str
) -> None:
    with pytest.raises(JobError, match=f"needed at most .* for this text with kind '{kind}'") as e:
        _train(tmp_path, LINES, log, kind=kind, vocab_size=5000)
    most = int(re.findall(r"at most (\d+)", str(e.value))[0])
    assert len(Units.load(_train(tmp_path, LINES, log, kind=kind, vocab_size=most))) == most
    with pytest.raises(JobError, match=r"needed at least .* each character of the text") as e:
        _train(tmp_path, LINES, log, kind=kind, vocab_size=5)
    least = int(re.findall(r"at least (\d+)", str(e.value))[0])
    assert len(Units.load(_train(tmp_path, LINES, log, kind=kind, vocab_size=least))) == least
    with pytest.raises(JobError):
        _train(tmp_path, LINES, log, kind=kind, vocab_size=least - 1)


def test_rare_characters_and_long_lines_are_kept(tmp_path: Path, log: logging.Logger) -> None:
    lines = [*LINES * 200, "q" * 5000 + "ß"]
    units = Units.load(_train(tmp_path, lines, log, kind="bpe", vocab_size=24))
    assert units.unknown("qß") == ""


def test_text_is_not_normalised(tmp_path: Path, log: logging.Logger) -> None:
    lines = [*LINES, "ﬁn … ½"]
    units = Units.load(_train(tmp_path, lines, log, kind="bpe", vocab_size=32))
    assert units.decode(units.encode("ﬁn … ½")) == "ﬁn … ½"


def test_the_number_of_characters_must_be_met(tmp_path: Path, log: logging.Logger) -> None:
    message = "found 4 characters, needed 8 by vocab_size 10; set vocab_size to 6"
    with pytest.raises(JobError, match=message):
        _train(tmp_path, ["ab b", "c"], log, kind="char", vocab_size=10)
    folder = _train(tmp_path, ["ab b", "c"], log, kind="char", vocab_size=6)
    assert Units.load(folder).labels == ["</s>", "<unk>", "a", "b", "c", "\u2581"]


def test_text_that_cannot_be_used(tmp_path: Path, log: logging.Logger) -> None:
    with pytest.raises(JobError, match=r"found no text in .*text\.txt, needed some"):
        _train(tmp_path, ["", " "], log, vocab_size=10)
    with pytest.raises(JobError, match=r"found '\u2581' in .*text\.txt, which is reserved"):
        _train(tmp_path, ["a\u2581b"], log, vocab_size=10)


def test_the_size_is_checked_before_anything_runs() -> None:
    with pytest.raises(JobError, match=r"^stage u: found vocab_size 2, needed 3 or more"):
        from_json(Params, {"vocab_size": 2}, "stage u")


def test_units_of_real_text(data_root: Path, tmp_path: Path, log: logging.Logger) -> None:
    text = data_root / "tatoeba_en_de" / "dev.de.gz"
    inputs, outputs = Inputs(text=(text,)), Outputs(units=tmp_path / "units")
    train.run(inputs, outputs, Params(kind="bpe", vocab_size=500), log)
    units = Units.load(outputs.units)
    assert units.decode(units.encode("Das ist schön.")) == "Das ist schön."
    assert len(units.encode("Das ist schön.")) < 8
