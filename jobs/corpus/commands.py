"""Synthesised requests to a voice assistant, in accents of English, with noise.

Train, dev and test are disjoint in speakers, in espeak-ng's variants, and in sentences; the text
for the language model has no sentence of dev and test. The same parameters give the same bytes.
"""

from __future__ import annotations

import logging
import random
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from jobs.corpus.grammar import distinct, sentences, transcript
from jobs.corpus.manifest import Utterance, write_manifest
from jobs.corpus.ranges import Range
from jobs.corpus.voices import ACCENTS, Request, Split, draw_voices
from jobs.files import written
from jobs.job import Expected, Resources, file, folder, nearest, unhashed

NAME = "corpus.commands"
VERSION = 1


@dataclass(frozen=True, kw_only=True)
class Inputs:
    """None: the corpus is made from the parameters."""


@dataclass(frozen=True, kw_only=True)
class Outputs:
    """Manifests of the three sets, their audio, and sentences for the language model."""

    train: Path = file("train.jsonl")
    dev: Path = file("dev.jsonl")
    test: Path = file("test.jsonl")
    audio: Path = folder("audio")
    lm: Path = file("lm.txt")


@dataclass(frozen=True, kw_only=True)
class Size:
    """How much of a set there is; its speakers have about as many utterances each."""

    utterances: int
    speakers: int

    def __post_init__(self) -> None:
        if not 1 <= self.speakers <= self.utterances:
            raise ValueError(
                f"found {self.speakers} speakers and {self.utterances} utterances, needed at least "
                "one speaker, and an utterance for each"
            )


@dataclass(frozen=True, kw_only=True)
class Params:
    """What to make.

    lm_sentences: lines of text. sample_rate: Hz. accents: espeak-ng's names. pitch: 0 to 99, 50 is
    a variant's own. rate: words a minute. snr_db, noises: one of each is drawn for an utterance.
    level_db: root mean square of the speech, 0 is full scale. processes: how many speak at once.
    """

    seed: int = 1
    train: Size = Size(utterances=2400, speakers=74)
    dev: Size = Size(utterances=200, speakers=8)
    test: Size = Size(utterances=300, speakers=20)
    lm_sentences: int = 30000
    sample_rate: int = 16000
    accents: tuple[str, ...] = ACCENTS
    pitch: Range = field(default=Range(low=35, high=65))
    rate: Range = field(default=Range(low=150, high=190))
    snr_db: tuple[float, ...] = (10.0, 15.0, 20.0, 30.0)
    noises: tuple[Literal["white", "pink", "speech"], ...] = ("white", "pink", "speech")
    level_db: Range = field(default=Range(low=-32, high=-22))
    processes: int = unhashed(2)

    def __post_init__(self) -> None:
        for accent in self.accents:
            if accent not in ACCENTS:
                raise ValueError(f"unknown accent {accent!r}{nearest(accent, ACCENTS)}")
        checks = [
            (bool(self.accents), "accents", "one or more"),
            (bool(self.snr_db), "snr_db", "one or more"),
            (bool(self.noises), "noises", "one or more"),
            (self.lm_sentences > 0, "lm_sentences", "1 or more"),
            (self.sample_rate >= 8000, "sample_rate", "8000 or more"),
            (self.pitch.low >= 0 and self.pitch.high <= 99, "pitch", "0 to 99"),
            (self.rate.low >= 80 and self.rate.high <= 450, "rate", "80 to 450"),
            (self.level_db.high <= 0, "level_db", "at most 0"),
            (self.processes > 0, "processes", "1 or more"),
        ]
        for good, name, needed in checks:
            if not good:
                raise ValueError(f"found {name} {getattr(self, name)}, needed {needed}")


def resources(params: Params) -> Resources:
    return Resources(threads=params.processes, mem_mb=1000, minutes=30)


def expected(params: Params, inputs: Mapping[str, Expected]) -> dict[str, Expected]:
    """Return the size of the recordings: requests of 2.5 s, as they come to on the average."""
    found = {}
    for name, size in (("train", params.train), ("dev", params.dev), ("test", params.test)):
        seconds = 2.5 * size.utterances
        found[name] = Expected(bytes=int(2 * params.sample_rate * seconds), seconds=seconds)
    return found


def run(inputs: Inputs, outputs: Outputs, params: Params, log: logging.Logger) -> None:
    """Make the corpus.

    Raises JobError where espeak-ng is missing, or the ranges hold fewer speakers than asked for.
    """
    from jobs.corpus.noisy_speech import synthesise

    draw = random.Random(f"sentences/{params.seed}")
    held_out: set[str] = set()
    test = _plan("test", params.test, distinct(params.test.utterances, draw, held_out), params)
    dev = _plan("dev", params.dev, distinct(params.dev.utterances, draw, held_out), params)
    texts = distinct(params.train.utterances, draw, set(held_out))
    train = _plan("train", params.train, texts, params)
    with written(outputs.audio) as audio:
        audio.mkdir()
        seconds = synthesise([*train, *dev, *test], audio, params, log)
    with written(outputs.lm) as tmp, tmp.open("w", encoding="utf-8") as out:
        source = sentences(draw, held_out)
        out.writelines(transcript(next(source)) + "\n" for _ in range(params.lm_sentences))
    for path, plan in ((outputs.train, train), (outputs.dev, dev), (outputs.test, test)):
        write_manifest(path, [_utterance(r, outputs.audio, seconds[r.utt]) for r in plan])
        hours = sum(seconds[r.utt] for r in plan) / 3600
        log.info("%s: %d utterances, %.2f hours", path.stem, len(plan), hours)


def _plan(split: Split, size: Size, texts: list[str], params: Params) -> list[Request]:
    """Give the sentences of a set to its speakers, in turn."""
    voices = draw_voices(
        split, size.speakers, params.accents, params.pitch, params.rate, params.seed
    )
    return [
        Request(utt=f"{split}-{i:05d}", voice=voices[i % len(voices)], sentence=text)
        for i, text in enumerate(texts)
    ]


def _utterance(request: Request, audio: Path, seconds: float) -> Utterance:
    return Utterance(
        utt=request.utt,
        audio=audio / f"{request.utt}.wav",
        text=transcript(request.sentence),
        speaker=request.voice.name,
        duration=seconds,
    )
