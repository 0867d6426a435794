"""The digits corpus on the real recordings."""

from __future__ import annotations

import json
import logging
import shutil
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from jobs.corpus import fsdd
from jobs.corpus.audio import read_raw
from jobs.corpus.fsdd import Inputs, Outputs, Params
from jobs.corpus.fsdd_recordings import DIGITS
from jobs.corpus.manifest import read_manifest
from jobs.job import JobError
from jobs.typed_json import from_json


def outputs_in(folder: Path) -> Outputs:
    default = Outputs()
    return Outputs(**{name: folder / getattr(default, name) for name in vars(default)})


def make(folder: Path, data_root: Path, **params: Any) -> Outputs:
    outputs = outputs_in(folder)
    params = {"path": str(data_root / "fsdd"), "train_uses": 1, **params}
    fsdd.run(Inputs(), outputs, from_json(Params, params, "test"), logging.getLogger("test"))
    return outputs


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory, data_root: Path) -> Outputs:
    return make(tmp_path_factory.mktemp("fsdd"), data_root)


def recordings(outputs: Outputs) -> dict[str, list[str]]:
    """Return the recordings of each set, from what the job says of each string."""
    found: dict[str, list[str]] = {"train": [], "dev": [], "test": []}
    for line in outputs.sources.read_text("utf-8").splitlines():
        row = json.loads(line)
        found[row["utt"].partition("-")[0]] += row["recordings"]
    return found


def official(data_root: Path, part: str) -> set[str]:
    lines = (data_root / "fsdd" / f"{part}.tsv").read_text("utf-8").splitlines()[1:]
    return {line.split("\t")[0] for line in lines}


def test_sets_keep_to_the_official_split(corpus: Outputs, data_root: Path) -> None:
    used = recordings(corpus)
    assert Counter(used["test"]) == dict.fromkeys(official(data_root, "test"), 1)
    assert Counter(used["train"] + used["dev"]) == dict.fromkeys(official(data_root, "train"), 1)
    assert len(used["dev"]) == 6 * 10 * 5


def test_text_and_audio_are_those_of_the_recordings(corpus: Outputs, data_root: Path) -> None:
    rows = map(json.loads, corpus.sources.read_text("utf-8").splitlines())
    sources = {row["utt"]: row["recordings"] for row in rows}
    utterances = read_manifest(corpus.test)
    assert len(utterances) > 300 / 7
    for u in utterances:
        samples, rate = read_raw(u.audio)
        assert rate == 8000
        assert len(samples) / rate == pytest.approx(u.duration, abs=1e-6)
        names = sources[u.utt]
        assert 3 <= len(names) <= 7
        assert u.text == " ".join(DIGITS[int(name[0])] for name in names)
        assert {name.split("_")[1] for name in names} == {u.speaker}
    first, _ = read_raw(data_root / "fsdd" / "recordings" / f"{names[0]}.wav")
    windows = np.lib.stride_tricks.sliding_window_view(samples, len(first))
    assert (windows == first).all(axis=1).sum() == 1  # the last string has its recording, once


def test_language_model_text_is_strings_of_digits(corpus: Outputs) -> None:
    lines = corpus.lm.read_text("utf-8").splitlines()
    assert len(lines) == 3000
    assert {word for line in lines for word in line.split()} == set(DIGITS)
    assert {len(line.split()) for line in lines} == {3, 4, 5, 6, 7}


def test_same_seed_same_bytes(corpus: Outputs, tmp_path: Path, data_root: Path) -> None:
    again = make(tmp_path, data_root)
    files = sorted(p for p in corpus.lm.parent.rglob("*") if p.is_file())
    assert len(files) > 500
    for path in files:
        other = again.lm.parent / path.relative_to(corpus.lm.parent)
        assert path.read_bytes() == other.read_bytes(), path


def test_held_out_speaker(tmp_path: Path, data_root: Path) -> None:
    outputs = make(tmp_path, data_root, held_out_speaker="theo")
    used = recordings(outputs)
    assert len(used["test"]) == len(set(used["test"])) == 500
    assert {name.split("_")[1] for name in used["test"]} == {"theo"}
    assert set(used["train"] + used["dev"]) <= official(data_root, "train")
    assert "theo" not in {name.split("_")[1] for name in used["train"] + used["dev"]}
    assert {u.speaker for u in read_manifest(outputs.test)} == {"theo"}


def test_missing_dataset(tmp_path: Path, log: logging.Logger) -> None:
    params = Params(path=str(tmp_path / "none"))
    with pytest.raises(JobError, match=r"found no folder .*none/recordings.*fsdd_download"):
        fsdd.run(Inputs(), outputs_in(tmp_path / "out"), params, log)


def test_other_recordings(tmp_path: Path, data_root: Path, log: logging.Logger) -> None:
    folder = tmp_path / "recordings"
    folder.mkdir()
    for path in sorted((data_root / "fsdd" / "recordings").glob("0_theo_*.wav")):
        shutil.copy(path, folder)
    with pytest.raises(JobError, match=r"found 50 recordings with SHA-256 .*, needed 3000 with"):
        fsdd.run(Inputs(downloaded=tmp_path), outputs_in(tmp_path / "out"), Params(), log)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("params", "message"),
    [
        ({"digits": {"low": 0, "high": 3}}, "found digits .*, needed 1 or more"),
        ({"dev_takes": 45}, "found dev_takes 45, needed 1 to 44"),
        ({"train_uses": 0}, "found train_uses 0, needed 1 or more"),
    ],
)
def test_wrong_parameters(params: dict[str, Any], message: str) -> None:
    with pytest.raises(JobError, match=message):
        from_json(Params, params, "recipe x, stage corpus")
