"""From sequence files to a trained network."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from jobs.job import JobError
from jobs.train.datasets import kind, open_dataset, statistics_dim
from jobs.train.fit import check_same_streams, fit_lengths
from jobs.train.model import Model, save_model
from returnn_lite.datasets.dataset import HdfDataset, Stream
from returnn_lite.engine.trainer import Trainer
from returnn_lite.network import Network
from returnn_lite.parameters import load_checkpoint

if TYPE_CHECKING:
    from jobs.train.check import Inputs as CheckInputs
    from jobs.train.network import CheckParams, Inputs, Params


@dataclass(frozen=True)
class Trained:
    """A trained network, and its scores by epoch."""

    network: Network
    extern_data: dict[str, Any]
    statistics: Path | None
    scores: list[dict[str, float]]

    def save(self, folder: Path) -> None:
        """Write the model."""
        save_model(folder, self.network, self.extern_data, self.statistics)


@dataclass(frozen=True)
class Fitted:
    """Data and a network that fit each other.

    left_out: utterances that are not trained on, and why.
    """

    train: HdfDataset
    dev: HdfDataset
    network: Network
    left_out: dict[str, str]


def train(inputs: Inputs, params: Params, checkpoints: Path, log: logging.Logger) -> Trained:
    """Train as the parameters say. Raises JobError for data that do not fit."""
    options = params.options
    found = fitted(inputs, params, log, seed=options.seed)
    network = found.network
    for line in network.describe().splitlines():
        log.debug(line)
    if inputs.init is not None:
        _init(network, Model.load(inputs.init), log)
    every = params.checkpoint_seconds
    trainer = Trainer(network, found.train, found.dev, options, checkpoints, log, save_every=every)
    scores = trainer.run()
    return Trained(network, dict(found.train.extern_data), inputs.statistics, scores)


def fitted(
    inputs: Inputs | CheckInputs, params: CheckParams, log: logging.Logger, *, seed: int = 1
) -> Fitted:
    """Open the data and build the network. Raises JobError for data that do not fit."""
    data = dataset(inputs.train, inputs.train_targets, inputs, params)
    dev = dataset(inputs.dev, inputs.dev_targets, inputs, params)
    check_same_streams(data, dev)
    options: dict[str, Any] = {"train": True, "config": params.config, "seed": seed}
    network = Network(params.network, extern_data=data.extern_data, **options)
    skip = params.on_long_targets == "skip"
    left_out: dict[str, str] = {}
    for which, targets in ((data, inputs.train_targets), (dev, inputs.dev_targets)):
        if which.missing:
            log.warning("%s: %d sequences have no target; left out", targets, len(which.missing))
        for tag in which.missing:
            log.info("left out: %s: found no target", tag)
            left_out[tag] = "found no target"
        left_out |= fit_lengths(which, targets, params.target, network, log, skip=skip)
    return Fitted(data, dev, network, left_out)


def dataset(
    path: Path, targets: Path | None, inputs: Inputs | CheckInputs, params: CheckParams
) -> HdfDataset:
    """Return the dataset of a file and its targets, normalised. Raises JobError as open_dataset."""
    dim = statistics_dim(inputs.statistics) if inputs.statistics is not None else None
    end = params.end_label
    streams = {"data": Stream(path=path, statistics=inputs.statistics, append=end)}
    if targets is not None:
        streams[params.target] = Stream(path=targets)
    delayed = {"delayed": ("data", end)} if end is not None else None
    data = open_dataset(streams, delayed, skip_missing=params.on_missing_targets == "skip")
    found = data.extern_data["data"]
    if dim is not None and (found["sparse"] or found["dim"] != dim):
        raise JobError(
            f"{path}: found {kind(found)}, needed features of dim {dim}, as the statistics "
            f"{inputs.statistics} are"
        )
    return data


def _init(network: Network, model: Model, log: logging.Logger) -> None:
    """Take the parameters that another model has by the same name and shape."""
    found = load_checkpoint(model.checkpoint)
    shapes = network.param_shapes()
    same = {n: v for n, v in found.items() if shapes.get(n) == v.shape}
    if not same:
        raise JobError(
            f"{model.folder}: found no parameter that the network has by name and shape; "
            f"it has {', '.join(sorted(found)[:5])}, ..., the network {', '.join(list(shapes)[:5])}"
            ", ..."
        )
    network.set_params(same)
    log.info("%d of %d parameters are from %s", len(same), len(shapes), model.folder)
    log.debug("parameters that are not: %s", ", ".join(n for n in shapes if n not in same))
