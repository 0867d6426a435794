"""From sequence files to a trained network."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from jobs.job import JobError
from jobs.train.model import Model, save_model
from jobs.typed_json import from_json
from returnn_lite.datasets.dataset import HdfDataset, Stream
from returnn_lite.engine.trainer import Trainer, TrainOptions
from returnn_lite.network import Network
from returnn_lite.parameters import load_checkpoint

if TYPE_CHECKING:
    from jobs.train.network import Inputs, Params


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


def train(inputs: Inputs, params: Params, checkpoints: Path, log: logging.Logger) -> Trained:
    """Train as the parameters say. Raises JobError for data that do not fit."""
    options = from_json(TrainOptions, params.options, "options")
    data = dataset(inputs.train, inputs.train_targets, inputs, params)
    dev = dataset(inputs.dev, inputs.dev_targets, inputs, params)
    _check_equal_streams(data, dev)
    network = Network(params.network, extern_data=data.extern_data, train=True, seed=options.seed)
    for which in (data, dev):
        drop_long_targets(which, network, params, log)
    for line in network.describe().splitlines():
        log.info(line)
    if inputs.init is not None:
        _init(network, Model.load(inputs.init), log)
    trainer = Trainer(
        network, data, dev, options, checkpoints, log, save_every=params.checkpoint_seconds
    )
    scores = trainer.run()
    return Trained(network, dict(data.extern_data), inputs.statistics, scores)


def dataset(path: Path, targets: Path | None, inputs: Inputs, params: Params) -> HdfDataset:
    """Return the dataset of a file and its targets."""
    end = params.end_label
    streams = {"data": Stream(path=path, statistics=inputs.statistics, append=end)}
    if targets is not None:
        streams[params.target] = Stream(path=targets)
    return HdfDataset(streams, {"delayed": ("data", end)} if end is not None else None)


def _check_equal_streams(train: HdfDataset, dev: HdfDataset) -> None:
    for key, found in dev.extern_data.items():
        needed = train.extern_data[key]
        if found != needed:
            raise JobError(f"dev, stream {key!r}: found {found}, needed that of train: {needed}")


def drop_long_targets(
    data: HdfDataset, network: Network, params: Params, log: logging.Logger
) -> None:
    """Leave out sequences whose target does not fit into the frames, or raise JobError."""
    ctc = next((n for n in network.loss_nodes if n.common.loss == "ctc"), None)
    if ctc is None:
        return
    frames = network.output_lengths(ctc.path, {"data": data.lengths("data")})
    needed = np.array([_frames_needed(data.read(i)[params.target]) for i in range(len(data.tags))])
    bad = np.flatnonzero(needed > frames)
    if not len(bad):
        return
    i = int(bad[0])
    text = (
        f"{len(bad)} sequences have more labels than frames, such as {data.tags[i]}: "
        f"found {frames[i]} frames after pooling, needed {needed[i]} for its labels"
    )
    if params.on_long_targets != "skip" or len(bad) == len(data.tags):
        raise JobError(f'{text}; try on_long_targets="skip", or less pooling')
    log.warning("%s; they are left out", text)
    data.keep(np.flatnonzero(needed <= frames))


def _frames_needed(labels: Any) -> int:
    """Return the least number of frames for labels: equal neighbours need a blank between them."""
    return len(labels) + int(np.sum(labels[1:] == labels[:-1]))


def _init(network: Network, model: Model, log: logging.Logger) -> None:
    """Take the parameters that another model has by the same name and shape."""
    found = load_checkpoint(model.checkpoint)
    shapes = network.param_shapes()
    same = {n: v for n, v in found.items() if shapes.get(n) == v.shape}
    if not same:
        raise JobError(f"{model.folder}: found no parameter that the network has by name and shape")
    network.set_params(same)
    log.info("%d of %d parameters are from %s", len(same), len(shapes), model.folder)
