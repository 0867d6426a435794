"""What a search leaves: hypotheses as text, and how long it took."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Protocol

from jobs.corpus.manifest import Utterance, read_manifest
from jobs.files import written
from jobs.job import JobError
from jobs.search.decode import Hypothesis
from jobs.shards import merge_lines
from jobs.units.units import Units
from returnn_lite.hdf import HdfReader


class Searched(Protocol):
    """The outputs of a job that searches."""

    @property
    def hypotheses(self) -> Path: ...

    @property
    def search(self) -> Path: ...


def searched(corpus: Path, tags: Sequence[str]) -> list[Utterance]:
    """Return the utterances of the given names. Raises JobError where the corpus lacks one."""
    known = {u.utt: u for u in read_manifest(corpus)}
    missing = [tag for tag in tags if tag not in known]
    if missing:
        raise JobError(
            f"{corpus}: found no utterance {missing[0]!r} and {len(missing) - 1} others of the "
            f"{len(tags)} in the features, needed all; give the corpus that these are of"
        )
    return [known[tag] for tag in tags]


def texts(found: Mapping[str, list[Hypothesis]], units: Units) -> dict[str, list[str]]:
    """Return the texts of all hypotheses. Raises JobError for a label that is no unit."""
    result = {}
    for tag, entries in found.items():
        try:
            result[tag] = [units.decode(h.labels) for h in entries]
        except ValueError as error:
            advice = "if it is the blank, try a layer without blanks"
            raise JobError(f"{tag}: {error}, the units; {advice}") from None
    return result


def write_hypotheses(path: Path, found: Mapping[str, list[Hypothesis]], units: Units) -> None:
    """Write hypotheses as JSON, one line an utterance. Raises JobError as `texts` does."""
    decoded = texts(found, units)
    with path.open("w", encoding="utf-8") as out:
        for tag, entries in found.items():
            rows = [
                {"text": text, "score": h.score, "labels": h.labels}
                for text, h in zip(decoded[tag], entries, strict=True)
            ]
            out.write(json.dumps({"utt": tag, **rows[0], "nbest": rows}, ensure_ascii=False) + "\n")


def write_speed(path: Path, utterances: Sequence[Utterance], seconds: float) -> None:
    """Write how long a search took, and that per second of audio."""
    audio = sum(u.duration for u in utterances)
    factor = seconds / audio if audio else None
    content = {"audio_seconds": audio, "seconds": seconds, "real_time_factor": factor}
    path.write_text(json.dumps(content) + "\n", "utf-8")


def merge_searches(
    corpus: Path, features: Path, parts: Sequence[Searched], outputs: Searched
) -> None:
    """Put the hypotheses of all shards together, in the order of the features; add up their times.

    Raises JobError where the corpus or a shard lacks an utterance.
    """
    with HdfReader(features) as reader:
        utterances = searched(corpus, reader.tags)
    merge_lines(
        [part.hypotheses for part in parts], outputs.hypotheses, [u.utt for u in utterances]
    )
    seconds = sum(json.loads(part.search.read_text("utf-8"))["seconds"] for part in parts)
    with written(outputs.search) as tmp:
        write_speed(tmp, utterances, seconds)
