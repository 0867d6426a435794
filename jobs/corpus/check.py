"""Looks at every utterance of a corpus before anything is made of it."""

from __future__ import annotations

import logging
import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from jobs.corpus.manifest import Utterance, read_manifest, write_manifest
from jobs.job import Expected, JobError, Resources, file
from jobs.progress import progress
from jobs.skipped import Skipped

NAME = "corpus.check"
VERSION = 1

# Quieter than three steps of 16 bits: silence with dither.
SILENCE = 3 / 2**15


@dataclass(frozen=True, kw_only=True)
class Inputs:
    """corpus: a manifest. reference: the one, such as train's, whose characters it may use."""

    corpus: Path
    reference: Path | None = None


@dataclass(frozen=True, kw_only=True)
class Outputs:
    """The manifest of good utterances, and the others as JSONL of {"utt", "reason"}."""

    corpus: Path = file("corpus.jsonl", refers=True)
    skipped: Path = file("skipped.jsonl")


@dataclass(frozen=True, kw_only=True)
class Params:
    """on_bad: whether a bad utterance is an error, or is left out and listed.

    min_seconds: of a recording.
    """

    on_bad: Literal["error", "skip"] = "error"
    min_seconds: float = 0.1


def resources(params: Params) -> Resources:
    return Resources(threads=1, mem_mb=1000, minutes=120)


def expected(params: Params, inputs: Mapping[str, Expected]) -> dict[str, Expected]:
    """Return what is known of the corpus."""
    return {"corpus": Expected(seconds=inputs["corpus"].seconds)}


def run(inputs: Inputs, outputs: Outputs, params: Params, log: logging.Logger) -> None:
    """Write the good utterances.

    Raises JobError, naming some, where utterances are bad and may not be skipped, and where no
    good one is left.
    """
    from jobs.corpus.audio import duration

    utterances = read_manifest(inputs.corpus)
    if not utterances:
        raise JobError(f"{inputs.corpus}: found no utterances, needed at least one")
    alphabet = _alphabet(inputs.reference)
    skipped = Skipped(
        where=str(inputs.corpus),
        skip=params.on_bad == "skip",
        advice=f"mend them, or set on_bad to 'skip' for {NAME}",
    )
    for u in progress(utterances, "check", log):
        reason = _fault(u, alphabet, inputs.reference, params.min_seconds)
        if reason is not None:
            skipped.reasons[u.utt] = reason  # all are counted, so not `add`, which ends early
    skipped.finish(outputs.skipped, len(utterances), log)
    good = [u for u in utterances if u.utt not in skipped.reasons]
    # A recording that could not be read when its manifest was made, and now can.
    mended = [u if u.duration else replace(u, duration=duration(u.audio)) for u in good]
    write_manifest(outputs.corpus, mended)


def _alphabet(reference: Path | None) -> set[str] | None:
    """Return the characters of a manifest's texts; none without a reference."""
    if reference is None:
        return None
    return {" "}.union(*(set(u.text) for u in read_manifest(reference)))


def _fault(
    u: Utterance, alphabet: set[str] | None, reference: Path | None, min_seconds: float
) -> str | None:
    """Return what is wrong with an utterance, if anything is."""
    if not u.text.split():
        return f"text {u.text!r}: found no words, needed one or more"
    unknown = sorted(set(u.text) - alphabet) if alphabet is not None else []
    if unknown:
        names = ", ".join(f"{c!r} ({unicodedata.name(c, 'unnamed')})" for c in unknown)
        return f"text {u.text!r}: found {names}, needed characters that {reference} has"
    return _audio_fault(u.audio, min_seconds)


def _audio_fault(path: Path, min_seconds: float) -> str | None:
    """Return what is wrong with a recording, if anything is."""
    import numpy as np

    from jobs.corpus.audio import read_raw

    try:
        samples, rate = read_raw(path)
    except JobError as error:
        return str(error)
    if not np.isfinite(samples).all():
        return f"audio {path}: found samples that are no numbers, needed finite ones"
    seconds = len(samples) / rate
    if seconds < min_seconds:
        return f"audio {path}: found {seconds:.3f} s, needed at least {min_seconds} s"
    if float(np.abs(samples).max()) <= SILENCE:
        return f"audio {path}: found silence, needed speech"
    return None
