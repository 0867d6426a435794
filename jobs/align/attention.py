"""The attention weights of a model for some utterances, whose labels are given."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from jobs.engine_errors import engine_errors
from jobs.files import written
from jobs.job import Expected, JobError, Resources, file

if TYPE_CHECKING:
    from returnn_lite.network import Network
    from returnn_lite.output import Output

NAME = "align.attention"
VERSION = 1

DIGITS = 4  # of a weight


@dataclass(frozen=True, kw_only=True)
class Inputs:
    """A model, features and labels of the same utterances, and the units of the labels."""

    model: Path
    features: Path
    targets: Path
    units: Path


@dataclass(frozen=True, kw_only=True)
class Outputs:
    """weights: JSON lines of {"utt", "labels", "weights": [head][label][frame]}."""

    weights: Path = file("attention.jsonl")


@dataclass(frozen=True, kw_only=True)
class Params:
    """layer: the one with the weights, `output/weights` of a loop. utterances: how many."""

    layer: str
    utterances: int = 4

    def __post_init__(self) -> None:
        if self.utterances < 1:
            raise ValueError(f"found utterances {self.utterances}, needed 1 or more")


def resources(params: Params) -> Resources:
    """Return what a network of moderate size needs."""
    return Resources(threads=2, mem_mb=2500, minutes=60)


def expected(params: Params, inputs: Mapping[str, Expected]) -> dict[str, Expected]:
    """Build the network and look for the layer."""
    from returnn_lite.network import Network

    model = inputs["model"].model
    if model is not None:
        outputs, config = [params.layer], model["config"]
        streams = model["extern_data"]
        net = Network(model["network"], extern_data=streams, outputs=outputs, config=config)
        with engine_errors():
            _axes(net, params.layer)
    return {}


@engine_errors()
def run(inputs: Inputs, outputs: Outputs, params: Params, log: logging.Logger) -> None:
    """Write the weights of utterances that are spread evenly through the features.

    Raises JobError for a layer that has not an axis of labels and one of frames.
    """
    from jobs.search.decode import features_dataset
    from jobs.train.model import Model
    from jobs.units.units import Units
    from returnn_lite.datasets.batches import padded
    from returnn_lite.network import Network

    model, units = Model.load(inputs.model), Units.load(inputs.units)
    data = features_dataset(inputs.features, model, inputs.targets)
    network = Network(
        model.network,
        extern_data=model.extern_data,
        outputs=[params.layer],
        config=model.config,
    )
    network.load(model.checkpoint, subset=True)  # what is behind the weights is not built
    step = max(1, len(data.tags) // params.utterances)
    chosen = list(range(len(data.tags)))[::step][: params.utterances]
    batch = padded(data, chosen)
    streams = {key: batch[key] for key in batch if key in network.scope.inputs}
    output = network.run(streams, fetch=[params.layer])[params.layer]
    labels, lengths = batch["classes"]
    with written(outputs.weights) as tmp, tmp.open("w", encoding="utf-8") as out:
        for number, weights in enumerate(_weights(network, params.layer, output)):
            names = [units.labels[i] for i in labels[number, : lengths[number]]]
            row = {"utt": data.tags[chosen[number]], "labels": names, "weights": weights}
            out.write(json.dumps(row, ensure_ascii=False) + "\n")
    log.info("%d utterances", len(chosen))


def _axes(network: Network, layer: str) -> tuple[Any, Any]:
    """Return the dims of labels and of frames of a layer's output. Raises JobError without them."""
    found, node = network.template(layer), network.scope.get(layer)
    outer = [network.template(node.loop.node.path).time_dim] if node.loop else []
    labels = network.template("data:classes").time_dim
    frames = [d for d in found.dims if d.dynamic and d is not labels]
    if labels not in [*found.dims, *outer] or len(frames) != 1:
        raise JobError(
            f"layer {layer!r}: found {found}, needed weights with an axis of the labels and one of"
            " frames; try the layer between energies and context, such as output/weights"
        )
    return labels, frames[0]


def _weights(network: Network, layer: str, output: Output) -> Iterator[list[Any]]:
    """Yield the weights of each utterance, [head][label][frame]."""
    import numpy as np

    from returnn_lite.dim import BATCH

    labels, frames = _axes(network, layer)
    heads = [d for d in output.dims if d not in (BATCH, labels, frames)]
    order = [output.dims.index(d) for d in (BATCH, *heads, labels, frames)]
    values = np.transpose(output.values, order)
    values = values.reshape(len(values), -1, *values.shape[-2:])
    for number, value in enumerate(values):
        ends = [output.lengths[d.name][number] for d in (labels, frames)]
        yield np.round(value[:, : ends[0], : ends[1]].astype(float), DIGITS).tolist()
