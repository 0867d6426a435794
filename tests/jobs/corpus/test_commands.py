"""The commands corpus: disjoint sets, plain text, and the same bytes from the same seed."""

from __future__ import annotations

import hashlib
import importlib.util
import logging
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from jobs.corpus import commands
from jobs.corpus.audio import read_raw
from jobs.corpus.commands import Inputs, Outputs, Params, Size
from jobs.corpus.grammar import START
from jobs.corpus.grammar_table import TABLE
from jobs.corpus.manifest import Utterance, read_manifest
from jobs.job import JobError
from jobs.typed_json import from_json

SMALL = Params(
    train=Size(utterances=24, speakers=6),
    dev=Size(utterances=6, speakers=3),
    test=Size(utterances=8, speakers=4),
    lm_sentences=500,
)

pytestmark = pytest.mark.espeak


def outputs_in(folder: Path) -> Outputs:
    default = Outputs()
    return Outputs(**{name: folder / getattr(default, name) for name in vars(default)})


def make(folder: Path, params: Params) -> Outputs:
    if importlib.util.find_spec("espeakng_loader") is None:
        pytest.skip("needs the wheel espeakng-loader")
    outputs = outputs_in(folder)
    commands.run(Inputs(), outputs, params, logging.getLogger("test"))
    return outputs


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Outputs:
    return make(tmp_path_factory.mktemp("commands"), SMALL)


@pytest.fixture(scope="module")
def sets(small: Outputs) -> dict[str, list[Utterance]]:
    return {name: read_manifest(getattr(small, name)) for name in ("train", "dev", "test")}


def digests(folder: Path) -> dict[str, str]:
    files = (p for p in folder.rglob("*") if p.is_file())
    return {str(p.relative_to(folder)): hashlib.sha256(p.read_bytes()).hexdigest() for p in files}


def test_sizes(small: Outputs, sets: dict[str, list[Utterance]]) -> None:
    assert {name: len(us) for name, us in sets.items()} == {"train": 24, "dev": 6, "test": 8}
    assert len(small.lm.read_text("utf-8").splitlines()) == 500
    assert {name: len({u.speaker for u in us}) for name, us in sets.items()} == {
        "train": 6,
        "dev": 3,
        "test": 4,
    }


def disjoint(sets: dict[str, list[Utterance]], key: Callable[[Utterance], str]) -> bool:
    values = [{key(u) for u in us} for us in sets.values()]
    return sum(map(len, values)) == len(set.union(*values))


def test_sets_share_neither_speakers_nor_variants(sets: dict[str, list[Utterance]]) -> None:
    assert disjoint(sets, lambda u: u.speaker)
    assert disjoint(sets, lambda u: u.speaker.split("_")[1])


def test_sets_share_no_sentences(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With a grammar of 64 sentences, of which the sets take 38."""
    monkeypatch.setitem(TABLE, START, ("play {song} {genre}",))
    outputs = make(tmp_path, SMALL)
    sets = {name: read_manifest(getattr(outputs, name)) for name in ("train", "dev", "test")}
    assert disjoint(sets, lambda u: u.text)
    lines = set(outputs.lm.read_text("utf-8").splitlines())
    assert {u.text for u in sets["train"]} <= lines  # 500 draws from 50 sentences have all
    assert not lines & {u.text for u in sets["dev"] + sets["test"]}


def test_audio_is_as_the_manifest_says(sets: dict[str, list[Utterance]]) -> None:
    for u in (u for us in sets.values() for u in us):
        samples, rate = read_raw(u.audio)
        assert rate == 16000
        assert len(samples) / rate == pytest.approx(u.duration, abs=1e-6)
        assert 1 < u.duration < 8
        assert 0.02 < float(abs(samples).max()) < 0.995


def test_same_seed_same_bytes_with_another_number_of_processes(
    small: Outputs, tmp_path: Path
) -> None:
    again = make(tmp_path, replace(SMALL, processes=1))
    assert digests(again.train.parent) == digests(small.train.parent)


def test_another_seed_is_another_corpus(small: Outputs, tmp_path: Path) -> None:
    other = make(tmp_path, replace(SMALL, seed=2))
    first, second = (read_manifest(o.train) for o in (small, other))
    assert {u.text for u in first} != {u.text for u in second}
    assert {u.speaker for u in first} != {u.speaker for u in second}


def test_sample_rate(tmp_path: Path) -> None:
    sizes = [Size(utterances=n, speakers=1) for n in (2, 1, 1)]
    params = Params(train=sizes[0], dev=sizes[1], test=sizes[2], sample_rate=8000, lm_sentences=1)
    outputs = make(tmp_path, params)
    assert {read_raw(p)[1] for p in outputs.audio.iterdir()} == {8000}


@pytest.mark.parametrize(
    ("params", "message"),
    [
        ({"accents": ["en-uk"]}, r"unknown accent 'en-uk'; did you mean 'en-us'\?"),
        ({"accents": []}, r"found accents \(\), needed one or more"),
        ({"snr_db": []}, r"found snr_db \(\), needed one or more"),
        ({"noises": ["brown"]}, r"noises\[0\]: found 'brown', needed 'white', 'pink' or 'speech'"),
        ({"pitch": {"low": 70, "high": 60}}, "pitch: found low 70, high 60, needed low <= high"),
        ({"rate": {"low": 20, "high": 60}}, r"found rate .*, needed 80 to 450"),
        ({"test": {"utterances": 3, "speakers": 4}}, "test: found 4 speakers and 3 utterances"),
    ],
)
def test_wrong_parameters(params: dict[str, Any], message: str) -> None:
    with pytest.raises(JobError, match=message):
        from_json(Params, params, "recipe x, stage corpus")


def test_nothing_is_left_of_a_job_that_fails(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(JobError, match="needed the wheel espeakng-loader"):
        commands.run(Inputs(), outputs_in(tmp_path), SMALL, logging.getLogger("test"))
    assert list(tmp_path.iterdir()) == []
