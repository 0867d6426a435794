"""The corpus manifest: one JSON object a line, one line an utterance."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from jobs.files import written
from jobs.job import JobError


@dataclass(frozen=True, kw_only=True)
class Utterance:
    """One recording with its transcript.

    utt: name, unique in the corpus. audio: path of a wav or FLAC file, one channel. text: words
    joined by single blanks. speaker: name of the speaker. duration: seconds.
    """

    utt: str
    audio: Path
    text: str
    speaker: str
    duration: float


def write_manifest(path: Path, utterances: Iterable[Utterance]) -> None:
    """Write a manifest; audio paths are stored relative to the manifest's folder."""
    folder = path.parent.resolve()
    with written(path) as tmp, tmp.open("w", encoding="utf-8") as out:
        for u in utterances:
            audio = os.path.relpath(u.audio.resolve(), folder)
            row = {**asdict(u), "audio": audio, "duration": round(u.duration, 6)}
            out.write(json.dumps(row, ensure_ascii=False) + "\n")


def read_manifest(path: Path) -> list[Utterance]:
    """Read a manifest.

    Raises JobError, with file and line, where a line is no utterance or one is there twice.
    """
    utterances: list[Utterance] = []
    seen: set[str] = set()
    with path.open(encoding="utf-8") as lines:
        for number, line in enumerate(lines, 1):
            try:
                u = Utterance(**json.loads(line))
            except (ValueError, TypeError) as error:
                raise JobError(f"{path}:{number}: not an utterance: {error}") from None
            if u.utt in seen:
                raise JobError(f"{path}:{number}: utterance {u.utt!r} is there twice")
            seen.add(u.utt)
            audio = os.path.normpath(path.parent.resolve() / u.audio)
            utterances.append(replace(u, audio=Path(audio)))
    return utterances
