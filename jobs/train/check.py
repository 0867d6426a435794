"""Look whether data fit a network, before anything is trained."""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from jobs.engine_errors import engine_errors
from jobs.files import written
from jobs.job import Expected, Resources, file
from jobs.network_expected import trained
from jobs.train.network import CheckParams as Params

NAME = "train.check"
VERSION = 1


@dataclass(frozen=True, kw_only=True)
class Inputs:
    """train, dev, train_targets, dev_targets, statistics: as of `train.network`."""

    train: Path
    dev: Path
    train_targets: Path | None = None
    dev_targets: Path | None = None
    statistics: Path | None = None


@dataclass(frozen=True, kw_only=True)
class Outputs:
    """skipped: those that a training will leave out, as JSONL of {"utt", "reason"}."""

    skipped: Path = file("skipped.jsonl")


def resources(params: Params) -> Resources:
    """Return what it takes to read the targets and to build the network."""
    return Resources(threads=1, mem_mb=2000, minutes=60)


def expected(params: Params, inputs: Mapping[str, Expected]) -> dict[str, Expected]:
    """Build the network."""
    trained(params, inputs)
    return {}


@engine_errors()
def run(inputs: Inputs, outputs: Outputs, params: Params, log: logging.Logger) -> None:
    """List what does not fit. Raises JobError as `train.network` does."""
    from jobs.train.training import fitted

    found = fitted(inputs, params, log)
    with written(outputs.skipped) as tmp, tmp.open("w", encoding="utf-8") as out:
        for utt, reason in found.left_out.items():
            out.write(json.dumps({"utt": utt, "reason": reason}, ensure_ascii=False) + "\n")
    log.info("the data fit; %d utterances are left out", len(found.left_out))
