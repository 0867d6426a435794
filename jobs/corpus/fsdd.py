"""Strings of spoken digits, joined from real recordings of one speaker: the FSDD.

The official split: test strings use the takes 0 to 4 of each digit and speaker, each recording
once; train and dev strings use the others, and no recording of dev is in train. With a held-out
speaker, test has all recordings of that speaker, each once, and train and dev have none of them;
the official test recordings of the other speakers are not used then.
"""

from __future__ import annotations

import json
import logging
import random
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from jobs.corpus.manifest import Utterance, write_manifest
from jobs.corpus.ranges import Range
from jobs.files import written
from jobs.job import Resources, file, folder, unhashed
from jobs.progress import progress

if TYPE_CHECKING:
    from jobs.corpus.digit_strings import String

NAME = "corpus.fsdd"
VERSION = 1


@dataclass(frozen=True, kw_only=True)
class Inputs:
    """downloaded: the output of corpus.fsdd_download, instead of the parameter `path`."""

    downloaded: Path | None = None


@dataclass(frozen=True, kw_only=True)
class Outputs:
    """Manifests, audio, random strings for the language model.

    sources: JSONL of {"utt", "recordings"}, what each string was joined from.
    """

    train: Path = file("train.jsonl")
    dev: Path = file("dev.jsonl")
    test: Path = file("test.jsonl")
    audio: Path = folder("audio")
    lm: Path = file("lm.txt")
    sources: Path = file("sources.jsonl")


@dataclass(frozen=True, kw_only=True)
class Params:
    """path: folder of the dataset; its content is verified, so the place does not matter.

    held_out_speaker: the one to test on. train_uses: how often each train recording is used.
    dev_takes: how many takes of each digit and speaker go from train to dev. digits: of a string.
    pause_ms: between digits, before and after. lm_sentences: lines of text. sample_rate: Hz.
    """

    path: str = unhashed("{data}/fsdd")
    seed: int = 1
    held_out_speaker: str | None = None
    train_uses: int = 3
    dev_takes: int = 5
    digits: Range = field(default=Range(low=3, high=7))
    pause_ms: Range = field(default=Range(low=50, high=400))
    lm_sentences: int = 3000
    sample_rate: int = 8000

    def __post_init__(self) -> None:
        checks = [
            (self.train_uses > 0, "train_uses", "1 or more"),
            (1 <= self.dev_takes <= 44, "dev_takes", "1 to 44 of the 45 train takes"),
            (self.digits.low > 0, "digits", "1 or more"),
            (self.pause_ms.low >= 10, "pause_ms", "10 or more"),
            (self.lm_sentences > 0, "lm_sentences", "1 or more"),
            (self.sample_rate >= 8000, "sample_rate", "8000 or more"),
        ]
        for good, name, needed in checks:
            if not good:
                raise ValueError(f"found {name} {getattr(self, name)}, needed {needed}")


def resources(params: Params) -> Resources:
    return Resources(threads=1, mem_mb=1000, minutes=15)


def run(inputs: Inputs, outputs: Outputs, params: Params, log: logging.Logger) -> None:
    """Make the corpus. Raises JobError where the recordings are missing or not those we know."""
    from jobs.corpus.digit_strings import split, strings
    from jobs.corpus.fsdd_recordings import read_recordings

    recordings = read_recordings(inputs.downloaded or Path(params.path), NAME)
    sets = split(recordings, params.dev_takes, params.held_out_speaker)
    train, dev, test = (
        strings(name, sets[name], uses, params.digits, params.seed)
        for name, uses in (("train", params.train_uses), ("dev", 1), ("test", 1))
    )
    with written(outputs.audio) as audio:
        audio.mkdir()
        every = progress([*train, *dev, *test], "strings", log)
        seconds = {string.utt: _make(string, audio, params) for string in every}
    _write_lm(outputs.lm, params)
    with written(outputs.sources) as tmp, tmp.open("w", encoding="utf-8") as out:
        for string in (*train, *dev, *test):
            names = [r.path.stem for r in string.recordings]
            out.write(json.dumps({"utt": string.utt, "recordings": names}) + "\n")
    for path, part in ((outputs.train, train), (outputs.dev, dev), (outputs.test, test)):
        write_manifest(path, [_utterance(s, outputs.audio, seconds[s.utt]) for s in part])
        minutes = sum(seconds[s.utt] for s in part) / 60
        log.info("%s: %d strings, %.1f minutes", path.stem, len(part), minutes)


def _make(string: String, folder: Path, params: Params) -> float:
    """Write the wav file of one string; returns its seconds."""
    from jobs.corpus.audio import read_audio, write_audio
    from jobs.corpus.digit_strings import join
    from jobs.corpus.noise import generator

    parts = [read_audio(r.path, params.sample_rate) for r in string.recordings]
    draw = generator("fsdd", params.seed, string.utt)
    samples = join(parts, params.sample_rate, params.pause_ms, draw)
    write_audio(folder / f"{string.utt}.wav", samples, params.sample_rate)
    return len(samples) / params.sample_rate


def _utterance(string: String, audio: Path, seconds: float) -> Utterance:
    return Utterance(
        utt=string.utt,
        audio=audio / f"{string.utt}.wav",
        text=string.text,
        speaker=string.recordings[0].speaker,
        duration=seconds,
    )


def _write_lm(path: Path, params: Params) -> None:
    """Write random strings of digits, one a line."""
    from jobs.corpus.fsdd_recordings import DIGITS

    draw = random.Random(f"fsdd/lm/{params.seed}")
    with written(path) as tmp, tmp.open("w", encoding="utf-8") as out:
        for _ in range(params.lm_sentences):
            length = draw.randint(params.digits.low, params.digits.high)
            out.write(" ".join(draw.choices(DIGITS, k=length)) + "\n")
