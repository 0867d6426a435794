"""Turn text into labels, for training and scoring."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from jobs.files import written
from jobs.job import Expected, JobError, Resources, file
from jobs.progress import progress
from jobs.skipped import Skipped
from jobs.units.texts import read_texts
from jobs.units.units import Units

NAME = "units.encode"
VERSION = 1


@dataclass(frozen=True, kw_only=True)
class Inputs:
    """corpus: manifest (`.jsonl`) or text (plain or `.gz`), a sentence a line. units: folder."""

    corpus: Path
    units: Path


@dataclass(frozen=True, kw_only=True)
class Outputs:
    """targets: labels of each text, sparse, without `</s>`. skipped: JSONL of {"utt", "reason"}."""

    targets: Path = file("targets.hdf")
    skipped: Path = file("skipped.jsonl")


@dataclass(frozen=True, kw_only=True)
class Params:
    """on_unknown: what to do where a character has no label.

    `error` names the utterances; `skip` leaves them out and lists them; `unk` gives label 1.
    A transcript without text is an error, or is left out, in the same way; with `unk` an error.
    """

    on_unknown: Literal["error", "skip", "unk"] = "error"


def resources(params: Params) -> Resources:
    return Resources(mem_mb=2000, minutes=60)


def expected(params: Params, inputs: Mapping[str, Expected]) -> dict[str, Expected]:
    """Return the labels."""
    return {"targets": Expected(stream=inputs["units"].stream)}


def run(inputs: Inputs, outputs: Outputs, params: Params, log: logging.Logger) -> None:
    """Encode all texts in order. Raises JobError for bad utterances and for a file without any."""
    from returnn_lite.hdf import HdfWriter

    units = Units.load(inputs.units)
    texts = list(read_texts(inputs.corpus))
    if not texts:
        raise JobError(f"{inputs.corpus}: found no text, needed some")
    skipped = Skipped(
        where=str(inputs.corpus),
        skip=params.on_unknown == "skip",
        advice="correct them, train the units on text with these characters, or set on_unknown "
        "to 'skip' or 'unk'",
    )
    total = 0
    with (
        written(outputs.targets) as tmp,
        HdfWriter(tmp, len(units), sparse=True, labels=units.labels) as writer,
    ):
        for utt, text in progress(texts, "labels", log):
            if reason := _reason(text, units, params):
                skipped.add(utt, reason)
                continue
            labels = units.encode(text)
            writer.write(utt, labels)
            total += len(labels)
        skipped.finish(outputs.skipped, len(texts), log)
    log.info("%d labels", total)


def _reason(text: str, units: Units, params: Params) -> str:
    """Return what is wrong with a text, or nothing."""
    if not text:
        return "found no text"
    unknown = "" if params.on_unknown == "unk" else units.unknown(text)
    return f"found {', '.join(map(repr, unknown))} in {text!r}, not in the units" if unknown else ""
