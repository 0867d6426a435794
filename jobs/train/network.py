"""Train a network: any network, on sequences with or without a target stream."""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from jobs.engine_errors import engine_errors
from jobs.files import written
from jobs.job import CHECKPOINTS, Expected, Resources, added, file, folder, unhashed
from jobs.network_check import check_network
from jobs.network_expected import trained
from returnn_lite.engine.options import TrainOptions

NAME = "train.network"
VERSION = 2


@dataclass(frozen=True, kw_only=True)
class Inputs:
    """train, dev: files of the stream `data`; train_targets, dev_targets: of the target stream.

    statistics: mean and deviation by which `data` is normalised. init: a trained model whose
    parameters of the same name and shape are the first values. checked: what `train.check` found,
    here so that it is looked for before any training begins; it is not read.
    """

    train: Path
    dev: Path
    train_targets: Path | None = None
    dev_targets: Path | None = None
    statistics: Path | None = None
    init: Path | None = None
    checked: Path | None = None


@dataclass(frozen=True, kw_only=True)
class Outputs:
    """model: network, data streams and checkpoint. scores: loss and errors by epoch."""

    model: Path = folder("model")
    scores: Path = file("scores.json")


@dataclass(frozen=True, kw_only=True)
class CheckParams:
    """What of a training's parameters its data must fit.

    network: the dict. target: name of the target stream. end_label: a label put behind every
    sequence of `data`, and, as `delayed`, before it: what a language model needs. on_long_targets:
    what to do with sequences whose target has more labels than the output has frames: "error", or
    "skip" them. on_missing_targets: the same with sequences that have no target, such as those that
    an alignment left out. behavior_version: which defaults options have, as in a RETURNN config;
    whatever is done with the model has the same.
    """

    network: dict[str, Any]
    target: str = "classes"
    end_label: int | None = None
    on_long_targets: Literal["error", "skip"] = "error"
    on_missing_targets: Literal["error", "skip"] = "error"
    behavior_version: int = added(0)

    @property
    def config(self) -> dict[str, Any]:
        """What a network is built with."""
        return {"behavior_version": self.behavior_version}

    def __post_init__(self) -> None:
        if self.behavior_version < 0:
            found = self.behavior_version
            raise ValueError(f"found behavior_version {found}, needed 0 or more")
        if self.target in ("data", "delayed"):
            raise ValueError(f"found target {self.target!r}, needed another name than the input's")
        delayed = {"delayed"} if self.end_label is not None else set()
        check_network(self.network, streams={"data", self.target, *delayed})


@dataclass(frozen=True, kw_only=True)
class Params(CheckParams):
    """network: the dict. target: name of the target stream. options: see `TrainOptions`.

    end_label: a label put behind every sequence of `data`, and, as `delayed`, before it: what a
    language model needs. on_long_targets: what to do with sequences whose target has more labels
    than the output has frames: "error", or "skip" them. on_missing_targets: the same with sequences
    that have no target, such as those that an alignment left out. behavior_version: which defaults
    options have, as in a RETURNN config; whatever is done with the model has the same.
    """

    options: TrainOptions
    checkpoint_seconds: float = unhashed(60.0)
    threads: int = unhashed(2)
    mem_mb: int = unhashed(3000)
    minutes: int = unhashed(600)
    gpu: int = unhashed(0)

    def __post_init__(self) -> None:
        if self.gpu not in (0, 1):
            raise ValueError(f"found gpu {self.gpu}, needed 0 or 1: a training uses one device")
        super().__post_init__()


def resources(params: Params) -> Resources:
    """Return what the recipe says."""
    return Resources(
        threads=params.threads, mem_mb=params.mem_mb, minutes=params.minutes, gpu=params.gpu
    )


def expected(params: Params, inputs: Mapping[str, Expected]) -> dict[str, Expected]:
    """Return the model's network, and its size with checkpoints."""
    return trained(params, inputs)


@engine_errors()
def run(inputs: Inputs, outputs: Outputs, params: Params, log: logging.Logger) -> None:
    """Train, from the newest checkpoint beside the outputs if there is one."""
    from jobs.train.training import train

    trained = train(inputs, params, outputs.model.parent / CHECKPOINTS, log)
    with written(outputs.model) as tmp:
        trained.save(tmp)
    with written(outputs.scores) as tmp:
        tmp.write_text(json.dumps(trained.scores, indent=1) + "\n", "utf-8")
