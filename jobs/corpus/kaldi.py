"""A Kaldi data directory as a corpus: text, wav.scp, utt2spk, and segments where there are any."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from jobs.corpus.kaldi_tables import check_keys, read_segments, read_table, read_wav_scp
from jobs.corpus.manifest import Utterance, write_manifest
from jobs.corpus.text import normalise
from jobs.files import written
from jobs.job import Expected, JobError, Resources, file, folder, nearest_folder

if TYPE_CHECKING:
    from jobs.corpus.kaldi_tables import Segment

NAME = "corpus.kaldi"
VERSION = 1


@dataclass(frozen=True, kw_only=True)
class Inputs:
    """None: the directory is a parameter."""


@dataclass(frozen=True, kw_only=True)
class Outputs:
    """The manifest, and the audio cut out of longer recordings (an empty folder otherwise)."""

    corpus: Path = file("corpus.jsonl")
    audio: Path = folder("audio")


@dataclass(frozen=True, kw_only=True)
class Params:
    """path: the data directory. root: what paths in wav.scp are relative to; null: to `path`.

    lower, strip_punctuation: how the text is brought to plain words; apostrophes stay.
    """

    path: str
    root: str | None = None
    lower: bool = True
    strip_punctuation: bool = True


def external(params: Params) -> list[Path]:
    """Return the tables of the directory."""
    return [Path(params.path, name) for name in ("text", "wav.scp", "utt2spk", "segments")]


def resources(params: Params) -> Resources:
    return Resources(threads=1, mem_mb=2000, minutes=60)


def expected(params: Params, inputs: Mapping[str, Expected]) -> dict[str, Expected]:
    """Return how long the recordings are, from some of them."""
    from jobs.corpus.audio import sampled_seconds

    root = Path(params.root or params.path)
    try:
        recordings = list(read_wav_scp(Path(params.path, "wav.scp"), root).values())
    except (JobError, OSError):  # told when it runs
        return {}
    seconds = sampled_seconds(recordings)
    cut = Path(params.path, "segments").is_file()
    return {"corpus": Expected(bytes=int(32000 * seconds) if cut else 0, seconds=seconds)}


def run(inputs: Inputs, outputs: Outputs, params: Params, log: logging.Logger) -> None:
    """Write the manifest of the directory, in the order of its `text`.

    Raises JobError, with file and line, for a table that cannot be used. Recordings that cannot be
    read have a duration of 0; the job corpus.check tells why.
    """
    from jobs.corpus.audio import duration

    path = Path(params.path)
    if not path.is_dir():
        needed = f"needed a Kaldi data directory{nearest_folder(path)}"
        raise JobError(f"{NAME}: found no folder {path}, {needed}")
    wavs = read_wav_scp(path / "wav.scp", Path(params.root) if params.root else path)
    speakers = read_table(path / "utt2spk")
    texts = read_table(path / "text", empty=True)
    check_keys(path / "text", texts, path / "utt2spk", speakers)
    with written(outputs.audio) as audio:
        audio.mkdir()
        if (path / "segments").is_file():
            segments = read_segments(path / "segments", wavs)
            check_keys(path / "text", texts, path / "segments", segments)
            _cut({utt: segments[utt] for utt in texts}, audio)
            sounds = {utt: outputs.audio / f"{utt}.wav" for utt in texts}
        else:
            check_keys(path / "text", texts, path / "wav.scp", wavs)
            sounds = {utt: wavs[utt] for utt in texts}
    utterances = [
        Utterance(
            utt=utt,
            audio=sounds[utt],
            text=normalise(text, lower=params.lower, strip_punctuation=params.strip_punctuation),
            speaker=speakers[utt],
            duration=duration(sounds[utt]),
        )
        for utt, text in texts.items()
    ]
    write_manifest(outputs.corpus, utterances)
    hours = sum(u.duration for u in utterances) / 3600
    log.info("%s: %d utterances, %.2f hours", path, len(utterances), hours)


def _cut(segments: dict[str, Segment], folder: Path) -> None:
    """Write each segment to a wav file; nothing for those whose recording cannot be read."""
    from jobs.corpus.audio import read_raw, write_audio

    by_audio: dict[Path, dict[str, Segment]] = {}
    for utt, segment in segments.items():
        if "/" in utt:
            raise JobError(f"{NAME}: found utterance {utt!r}, needed a name that a file can have")
        by_audio.setdefault(segment.audio, {})[utt] = segment
    for audio, parts in by_audio.items():
        try:
            samples, rate = read_raw(audio)
        except JobError:
            continue
        for utt, part in parts.items():
            end = len(samples) if part.end == -1 else round(part.end * rate)
            write_audio(folder / f"{utt}.wav", samples[round(part.start * rate) : end], rate)
