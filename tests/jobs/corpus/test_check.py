"""Bad utterances: found, named with file and reason, and skipped only where that was asked for."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Literal

import numpy as np
import pytest
import soundfile

from jobs.corpus import check
from jobs.corpus.check import Inputs, Outputs, Params
from jobs.corpus.manifest import Utterance, read_manifest, write_manifest
from jobs.job import JobError

RATE = 8000
NOISE = np.random.default_rng(1).uniform(-0.1, 0.1, RATE)
Make = Callable[[Path], None]


def write(samples: np.ndarray, subtype: str = "PCM_16") -> Make:
    return lambda path: soundfile.write(path, samples, RATE, subtype=subtype)


def corpus(folder: Path, name: str, audio: dict[str, Make], texts: dict[str, str]) -> Path:
    """Write a manifest with the recordings given; other utterances are good ones."""
    (folder / "wav").mkdir(exist_ok=True)
    utterances = []
    for utt in texts:
        path = folder / "wav" / f"{utt}.wav"
        audio.get(utt, write(NOISE))(path)
        row = Utterance(utt=utt, audio=path, text=texts[utt], speaker="s", duration=1.0)
        utterances.append(row)
    write_manifest(folder / name, utterances)
    return folder / name


def run(
    folder: Path, manifest: Path, on_bad: Literal["error", "skip"], reference: Path | None = None
) -> tuple[list[Utterance], dict[str, str]]:
    """Return the good utterances, and the reasons of those skipped."""
    (folder / "out").mkdir(exist_ok=True)
    outputs = Outputs(corpus=folder / "out/corpus.jsonl", skipped=folder / "out/skipped.jsonl")
    inputs = Inputs(corpus=manifest, reference=reference)
    check.run(inputs, outputs, Params(on_bad=on_bad), logging.getLogger("test"))
    rows = map(json.loads, outputs.skipped.read_text("utf-8").splitlines())
    return read_manifest(outputs.corpus), {row["utt"]: row["reason"] for row in rows}


def cut_off(path: Path) -> None:
    """Write a recording whose last 800 samples are missing."""
    write(NOISE)(path)
    path.write_bytes(path.read_bytes()[:-1600])


AUDIO: dict[str, tuple[Make, str]] = {
    "missing": (lambda path: None, "found no such file"),
    "unreadable": (lambda path: path.write_bytes(b"RIFF, but no more") and None, "unreadable"),
    "empty": (write(NOISE[:0]), "found no samples"),
    "bytes0": (lambda path: path.touch(), "found an empty file, needed wav or FLAC"),
    "cut": (cut_off, "found 1600 bytes less than its header says, needed all; try to fetch it"),
    "silent": (write(np.zeros(RATE)), "found silence"),
    "dithered": (write(np.where(NOISE > 0, 1, -1) / 2**15), "found silence"),
    "stereo": (write(np.stack([NOISE, NOISE], 1)), "found 2 channels, needed 1"),
    "short": (write(NOISE[:400]), r"found 0.050 s, needed at least 0.1 s"),
    "nan": (write(np.append(NOISE, np.nan), "FLOAT"), "samples that are no numbers"),
}


def test_what_could_not_be_read_and_now_can_has_its_duration(tmp_path: Path) -> None:
    manifest = corpus(tmp_path, "corpus.jsonl", {}, {"a": "a", "b": "b"})
    rows = [json.loads(line) for line in manifest.read_text("utf-8").splitlines()]
    rows[1]["duration"] = 0.0
    manifest.write_text("".join(json.dumps(row) + "\n" for row in rows))
    good, _ = run(tmp_path, manifest, "error")
    assert [u.duration for u in good] == [1.0, len(NOISE) / RATE]


@pytest.mark.parametrize("kind", AUDIO)
def test_bad_recordings(tmp_path: Path, kind: str) -> None:
    make, reason = AUDIO[kind]
    texts = {"good": "a b", kind: "a", "last": "b"}
    manifest = corpus(tmp_path, "corpus.jsonl", {kind: make}, texts)
    good, skipped = run(tmp_path, manifest, "skip")
    assert [u.utt for u in good] == ["good", "last"]
    assert list(skipped) == [kind]
    assert reason in skipped[kind] and f"{kind}.wav" in skipped[kind]


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "found no words"),
        ("  ", "found no words"),
        ("caf\u00e9", "found '\u00e9' (LATIN SMALL LETTER E WITH ACUTE), needed characters that"),
        ("a 5", "found '5' (DIGIT FIVE)"),
    ],
)
def test_bad_texts(tmp_path: Path, text: str, reason: str) -> None:
    reference = corpus(tmp_path, "train.jsonl", {}, {"t": "abcdef"})
    manifest = corpus(tmp_path, "corpus.jsonl", {}, {"good": "a b", "bad": text})
    good, skipped = run(tmp_path, manifest, "skip", reference)
    assert [u.utt for u in good] == ["good"]
    assert reason in skipped["bad"]


def test_any_character_without_reference(tmp_path: Path) -> None:
    manifest = corpus(tmp_path, "corpus.jsonl", {}, {"u": "caf\u00e9 5"})
    assert len(run(tmp_path, manifest, "error")[0]) == 1


def test_good_utterances_stay_as_they_are(tmp_path: Path) -> None:
    manifest = corpus(tmp_path, "corpus.jsonl", {}, {"b": "x y", "a": "y"})
    good, skipped = run(tmp_path, manifest, "error")
    before = read_manifest(manifest)
    assert skipped == {}
    assert [replace(u, audio=u.audio.resolve()) for u in good] == [
        replace(u, audio=u.audio.resolve()) for u in before
    ]


def test_the_error_names_some_and_counts_all(tmp_path: Path) -> None:
    texts = {f"u{i:02d}": "" if i % 2 else "a" for i in range(50)}
    manifest = corpus(tmp_path, "corpus.jsonl", {}, texts)
    with pytest.raises(JobError) as error:
        run(tmp_path, manifest, "error")
    lines = str(error.value).splitlines()
    assert lines[0] == f"{manifest}: found 25 bad utterances:"
    assert lines[1] == "  u01: text '': found no words, needed one or more"
    assert len(lines) <= 12
    assert lines[-1] == "mend them, or set on_bad to 'skip' for corpus.check"
    assert list((tmp_path / "out").iterdir()) == []


@pytest.mark.parametrize("on_bad", ["error", "skip"])
def test_nothing_left(tmp_path: Path, on_bad: Literal["error", "skip"]) -> None:
    manifest = corpus(tmp_path, "corpus.jsonl", {}, {"u1": "", "u2": ""})
    with pytest.raises(JobError, match="found all 2 bad utterances"):
        run(tmp_path, manifest, on_bad)
    write_manifest(manifest, [])
    with pytest.raises(JobError, match="found no utterances, needed at least one"):
        run(tmp_path, manifest, on_bad)


def test_real_corpus_is_good(tmp_path: Path, data_root: Path) -> None:
    paths = sorted((data_root / "speechocean762_adult" / "WAVE").rglob("*.WAV"))[:20]
    rows = [
        Utterance(utt=p.stem, audio=p, text="a", speaker=p.parent.name, duration=1.0) for p in paths
    ]
    write_manifest(tmp_path / "corpus.jsonl", rows)
    good, _ = run(tmp_path, tmp_path / "corpus.jsonl", "error")
    assert [u.audio.resolve() for u in good] == [p.resolve() for p in paths]
