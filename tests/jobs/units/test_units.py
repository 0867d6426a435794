"""Units: text to labels and back, for every kind."""

from __future__ import annotations

import json
import logging
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from jobs.job import JobError
from jobs.units import train
from jobs.units.units import Units

KINDS = {"bpe": 30, "unigram": 20, "char": 16}
TEXT = ["turn on the light", "the fan is on", "not a light", "a talon", "turn the fan off", "güte"]


@pytest.fixture(scope="module", params=KINDS)
def folder(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("units")
    (folder / "text.txt").write_text("\n".join(TEXT), encoding="utf-8")
    kind = request.param
    size = KINDS[kind] if kind != "char" else len(set("".join(TEXT))) + 2
    train.run(
        train.Inputs(text=(folder / "text.txt",)),
        train.Outputs(units=folder / "units"),
        train.Params(kind=kind, vocab_size=size),
        logging.getLogger("test"),
    )
    return folder / "units"


@pytest.fixture(scope="module")
def units(folder: Path) -> Units:
    return Units.load(folder)


def test_special_labels_come_first(units: Units) -> None:
    assert units.labels[:2] == ["</s>", "<unk>"]
    assert len(units) == len(set(units.labels))


words = st.text(alphabet="turnohelighfasü", min_size=1, max_size=8)


@settings(max_examples=60, deadline=None)
@given(text=st.lists(words, max_size=6).map(" ".join))
def test_decode_undoes_encode(units: Units, text: str) -> None:
    ids = units.encode(text)
    assert units.unknown(text) == ""
    assert all(2 <= i < len(units) for i in ids)
    assert units.decode(ids) == text


def test_words_begin_with_the_boundary(units: Units) -> None:
    labels = [units.labels[i] for i in units.encode("the light on")]
    assert "".join(labels).lstrip("\u2581") == "the\u2581light\u2581on"


def test_unknown_characters(units: Units) -> None:
    text = "the <unk> z\u00e9ro\u2581x"
    assert units.unknown(text) == "<>kxz\u00e9\u2581"
    assert 1 in units.encode("z\u00e9")
    assert 0 not in units.encode("</s>")


def test_special_labels_decode_to_nothing_and_themselves(units: Units) -> None:
    ids = units.encode("the fan")
    assert units.decode([0, *ids, 0]) == "the fan"
    assert "<unk>" in units.decode([*ids, 1])


@pytest.mark.parametrize("wrong", [-1, 99])
def test_an_index_that_is_no_label(units: Units, wrong: int) -> None:
    with pytest.raises(ValueError, match=f"found label {wrong}, needed 0 to "):
        units.decode([2, wrong])


def test_white_space_is_one_blank(units: Units) -> None:
    assert units.encode(" the\t\n fan\u00a0") == units.encode("the fan")
    assert units.encode("  ") == []


def test_labels_are_sentencepieces_own(folder: Path, units: Units) -> None:
    sentencepiece = pytest.importorskip("sentencepiece")
    if not (folder / "spm.model").exists():
        pytest.skip("characters need no model")
    processor = sentencepiece.SentencePieceProcessor(model_file=str(folder / "spm.model"))
    for text in [*TEXT, "the fan zz"]:
        assert units.encode(text) == processor.encode(text)
        assert units.decode(units.encode(text)).replace("<unk>", "\u2047").split() == (
            processor.decode(processor.encode(text)).split()
        )


def test_folders_that_are_no_units_are_refused(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(JobError, match=r"found no units .*needed a units folder"):
        Units.load(tmp_path)
    for file in folder.iterdir():
        (tmp_path / file.name).write_bytes(file.read_bytes())
    (tmp_path / "vocab.txt").write_text("<s>\na\n", encoding="utf-8")
    with pytest.raises(JobError, match=r"vocab\.txt: found \['<s>', 'a'\], needed </s>, <unk>"):
        Units.load(tmp_path)
    if json.loads((folder / "units.json").read_text(encoding="utf-8"))["kind"] == "char":
        return
    (tmp_path / "vocab.txt").write_text("</s>\n<unk>\na\n", encoding="utf-8")
    with pytest.raises(JobError, match=r"found spm\.model and vocab\.txt with different labels"):
        Units.load(tmp_path)
    (tmp_path / "spm.model").write_bytes(b"no model")
    with pytest.raises(JobError, match="found no sentencepiece model"):
        Units.load(tmp_path)
