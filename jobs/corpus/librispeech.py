"""A corpus in LibriSpeech's layout: folders of FLAC files, each with a *.trans.txt."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from jobs.corpus.manifest import Utterance, write_manifest
from jobs.corpus.text import normalise
from jobs.job import Expected, JobError, Resources, file, nearest_folder

NAME = "corpus.librispeech"
VERSION = 1


@dataclass(frozen=True, kw_only=True)
class Inputs:
    """None: the folder is a parameter."""


@dataclass(frozen=True, kw_only=True)
class Outputs:
    """The manifest."""

    corpus: Path = file("corpus.jsonl")


@dataclass(frozen=True, kw_only=True)
class Params:
    """path: a folder such as LibriSpeech/dev-clean; all *.trans.txt in it are read, at any depth.

    lower, strip_punctuation: how the text is brought to plain words; apostrophes stay.
    """

    path: str
    lower: bool = True
    strip_punctuation: bool = True


def external(params: Params) -> list[Path]:
    """Return the transcripts."""
    return sorted(Path(params.path).rglob("*.trans.txt"))


def resources(params: Params) -> Resources:
    return Resources(threads=1, mem_mb=2000, minutes=60)


def expected(params: Params, inputs: Mapping[str, Expected]) -> dict[str, Expected]:
    """Return how long the recordings are, from some of them."""
    from jobs.corpus.audio import sampled_seconds

    recordings = sorted(Path(params.path).rglob("*.flac"))
    return {"corpus": Expected(seconds=sampled_seconds(recordings))}


def run(inputs: Inputs, outputs: Outputs, params: Params, log: logging.Logger) -> None:
    """Write the manifest of a folder, sorted by path.

    Raises JobError where there are no transcripts. Recordings that cannot be read have a duration
    of 0; the job corpus.check tells why.
    """
    path = Path(params.path)
    if not path.is_dir():
        needed = f"needed one in LibriSpeech's layout{nearest_folder(path)}"
        raise JobError(f"{NAME}: found no folder {path}, {needed}")
    transcripts = sorted(path.rglob("*.trans.txt"))
    if not transcripts:
        raise JobError(
            f"{NAME}: found no *.trans.txt in {path}, needed LibriSpeech's layout: "
            "speaker/chapter/speaker-chapter.trans.txt"
        )
    utterances = [u for transcript in transcripts for u in _read(transcript, params)]
    write_manifest(outputs.corpus, utterances)
    hours = sum(u.duration for u in utterances) / 3600
    log.info("%s: %d utterances, %.2f hours", path, len(utterances), hours)


def _read(transcript: Path, params: Params) -> Iterator[Utterance]:
    """Yield the utterances of one chapter: `speaker-chapter-number TEXT` on each line."""
    from jobs.corpus.audio import duration

    for line in transcript.read_text("utf-8").splitlines():
        utt, _, text = line.strip().partition(" ")
        if not utt:
            continue
        audio = transcript.parent / f"{utt}.flac"
        yield Utterance(
            utt=utt,
            audio=audio,
            text=normalise(text, lower=params.lower, strip_punctuation=params.strip_punctuation),
            speaker=utt.partition("-")[0],
            duration=duration(audio),
        )
