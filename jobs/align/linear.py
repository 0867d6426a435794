"""Labels spread evenly over the frames: what a training without alignments begins with (M115)."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from jobs.job import Expected, JobError, Resources, file

NAME = "align.linear"
VERSION = 1


@dataclass(frozen=True, kw_only=True)
class Inputs:
    """Features and labels of the same utterances."""

    features: Path
    targets: Path


@dataclass(frozen=True, kw_only=True)
class Outputs:
    """alignment: a state for each frame. skipped: who has none, why."""

    alignment: Path = file("alignment.hdf")
    skipped: Path = file("skipped.jsonl")


@dataclass(frozen=True, kw_only=True)
class Params:
    """states: of each label; they are numbered label * states + state, as hmm_opts has them.

    stride: how many frames of the features are one of the network. on_no_path: what to do with
    utterances that have more states than frames, or no labels: "error", or "skip".
    """

    states: int = 1
    stride: int = 1
    on_no_path: Literal["error", "skip"] = "error"

    def __post_init__(self) -> None:
        if self.states < 1 or self.stride < 1:
            raise ValueError(
                f"found states {self.states} and stride {self.stride}, needed 1 or more"
            )


def resources(params: Params) -> Resources:
    """Return what an alignment for each utterance needs."""
    return Resources(mem_mb=1000, minutes=60)


def expected(params: Params, inputs: Mapping[str, Expected]) -> dict[str, Expected]:
    """Return the states of the alignment."""
    targets = inputs["targets"].stream
    if targets is None:
        return {}
    return {"alignment": Expected(stream={**targets, "dim": targets["dim"] * params.states})}


def run(inputs: Inputs, outputs: Outputs, params: Params, log: logging.Logger) -> None:
    """Give each state of an utterance as many frames as the others, or one more or less.

    Raises JobError for targets that are no labels, or lack an utterance.
    """
    import numpy as np

    from jobs.align.viterbi import no_path
    from jobs.files import written
    from returnn_lite.hdf import HdfReader, HdfWriter

    skipped = no_path(NAME, skip=params.on_no_path == "skip")
    found = {}
    with HdfReader(inputs.features) as features, HdfReader(inputs.targets) as targets:
        if not targets.sparse:
            raise JobError(f"{inputs.targets}: found features, needed labels")
        labels, tags = targets.dim, features.tags
        if missing := {*tags} - {*targets.tags}:
            raise JobError(
                f"{inputs.targets}: found no labels for {min(missing)!r} and {len(missing) - 1} "
                "others, needed them for all features"
            )
        for tag, length in zip(tags, features.lengths, strict=True):
            line = targets.read(targets.index(tag))[:, None] * params.states
            states = (line + np.arange(params.states)).reshape(-1)
            frames = -(-int(length) // params.stride)
            if 0 < len(states) <= frames:
                found[tag] = states[np.arange(frames) * len(states) // frames].astype(np.int32)
            else:
                skipped.add(tag, f"found {len(states)} states and {frames} frames, needed a path")
    skipped.finish(outputs.skipped, len(tags), log)
    with (
        written(outputs.alignment) as tmp,
        HdfWriter(tmp, labels * params.states, sparse=True) as out,
    ):
        for tag, path in found.items():
            out.write(tag, path)
