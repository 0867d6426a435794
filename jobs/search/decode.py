"""Search over a dataset: batches in, hypotheses out."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from jobs.job import JobError
from jobs.progress import progress
from jobs.search.networks import check_config
from jobs.shards import WHOLE, Shard
from jobs.train.datasets import kind, open_dataset
from jobs.train.model import Model
from returnn_lite.datasets.batches import Array, group, padded, sequence_order
from returnn_lite.datasets.dataset import Dataset, HdfDataset, Stream
from returnn_lite.network import Network
from returnn_lite.output import Outputs

Batch = Mapping[str, tuple[Array, Array]]


@dataclass(frozen=True)
class Hypothesis:
    """Labels of a hypothesis, and its log-probability."""

    labels: list[int]
    score: float


def features_dataset(features: Path, model: Model, targets: Path | None = None) -> HdfDataset:
    """Return the features as the model reads them, with targets as stream `classes` where given.

    Raises JobError for features that are not as those that the model was trained on.
    """
    streams = {"data": Stream(path=features, statistics=model.statistics)}
    if targets is not None:
        streams["classes"] = Stream(path=targets)
    data = open_dataset(streams)
    found, needed = data.extern_data["data"], model.extern_data["data"]
    if kind(found) != kind(needed):
        raise JobError(
            f"{features}: found {kind(found)}, needed {kind(needed)}, as the model {model.folder} "
            "was trained on; give the features that fit, or train anew"
        )
    if targets is not None and not data.extern_data["classes"]["sparse"]:
        raise JobError(f"{targets}: found {kind(data.extern_data['classes'])}, needed labels")
    return data


def run_batches(
    network: Network,
    data: Dataset,
    layer: str,
    log: logging.Logger,
    shard: Shard = WHOLE,
    *,
    also: Sequence[str] = (),
    batch_frames: int = 20000,
    batch_sequences: int = 64,
) -> Iterator[tuple[list[str], Batch, Outputs]]:
    """Yield names, inputs and outputs of a shard's batches, of sequences of similar length.

    also: further layers, whose outputs are needed, too.
    """
    lengths = data.lengths("data")
    order = sequence_order(lengths, "sorted", seed=0, epoch=0)
    limits = {"max_frames": batch_frames, "max_sequences": batch_sequences}
    batches = group(order, lengths, **limits)
    batches = shard.of(batches, [float(lengths[batch].sum()) for batch in batches])
    for indices in progress(batches, "batches", log):
        batch = padded(data, indices)
        yield [data.tags[i] for i in indices], batch, _run(network, batch, layer, *also)


def _run(network: Network, batch: Batch, *layers: str) -> Outputs:
    """Run a network on those streams of a batch that it has."""
    streams = {key: batch[key] for key in batch if key in network.scope.inputs}
    network.reset()  # batches are of any sequences
    return network.run(streams, fetch=layers)


def warm_up(network: Network, data: Dataset, layer: str) -> None:
    """Run one sequence, so that the graph is built before the clock starts."""
    shortest = int(np.argmin(data.lengths("data")))
    _run(network, padded(data, [shortest]), layer)
    check_config(network)


def beams(tags: list[str], outputs: Outputs, layer: str) -> dict[str, list[Hypothesis]]:
    """Return the hypotheses of each sequence, the best first; none that is impossible.

    Raises JobError where the layer does not come from a search.
    """
    out = outputs[layer]
    if out.scores is None or out.time_dim is None or out.beam_size is None:
        raise JobError(
            f"layer {layer!r}: found no hypotheses, needed labels that a choice searched for; "
            "try the layer that has them, or search.greedy for a model without a choice"
        )
    labels = out.canonical()
    lengths = out.lengths[out.time_dim.name]
    found: dict[str, list[Hypothesis]] = {}
    for b, tag in enumerate(tags):
        rows = range(b * out.beam_size, (b + 1) * out.beam_size)
        found[tag] = [
            Hypothesis(labels[r, : lengths[r]].tolist(), float(s))
            for r, s in zip(rows, out.scores[b], strict=True)
            if np.isfinite(s)
        ]
    return found


def timed(
    network: Network,
    data: Dataset,
    layer: str,
    hypotheses: Callable[[list[str], Outputs, str], Mapping[str, list[Hypothesis]]],
    log: logging.Logger,
    shard: Shard = WHOLE,
) -> tuple[dict[str, list[Hypothesis]], float]:
    """Return the hypotheses of a shard's sequences, in the data's order, and the seconds it took.

    The seconds are those of reading, searching and reading out, without loading and building the
    graph. Raises JobError for a sequence without hypothesis, and for a value of the config that the
    network does not ask for.
    """
    warm_up(network, data, layer)
    start = time.monotonic()
    found: dict[str, list[Hypothesis]] = {}
    for tags, _, outputs in run_batches(network, data, layer, log, shard):
        found.update(hypotheses(tags, outputs, layer))
    seconds = time.monotonic() - start
    order = [tag for tag in data.tags if tag in found]
    for tag in order:
        if not found[tag] or not np.isfinite(found[tag][0].score):
            raise JobError(
                f"{tag}: found no hypothesis with a finite score, needed one; the model's "
                "parameters are of no use: see the losses in scores.json of its training"
            )
    return {tag: found[tag] for tag in order}, seconds
