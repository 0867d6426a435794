"""Search over a dataset: batches in, hypotheses out."""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from jobs.progress import progress
from jobs.train.model import Model
from jobs.units.units import Units
from returnn_lite.datasets.batches import group, padded, sequence_order
from returnn_lite.datasets.dataset import Dataset, HdfDataset, Stream
from returnn_lite.network import Network
from returnn_lite.output import Outputs

Array = np.ndarray[Any, np.dtype[Any]]


@dataclass(frozen=True)
class Hypothesis:
    """Labels of a hypothesis, and its log-probability."""

    labels: list[int]
    score: float


Batches = Iterable[tuple[list[str], Outputs]]


def features_dataset(features: Path, model: Model, targets: Path | None = None) -> HdfDataset:
    """Return the features as the model reads them, with targets as stream `classes` where given."""
    streams = {"data": Stream(path=features, statistics=model.statistics)}
    if targets is not None:
        streams["classes"] = Stream(path=targets)
    return HdfDataset(streams)


def run_batches(
    network: Network,
    data: Dataset,
    fetch: list[str],
    log: logging.Logger,
    *,
    batch_frames: int = 20000,
    batch_sequences: int = 64,
) -> Batches:
    """Yield names and outputs of batches of sequences of similar length."""
    lengths = data.lengths("data")
    order = sequence_order(lengths, "sorted", seed=0, epoch=0)
    limits = {"max_frames": batch_frames, "max_sequences": batch_sequences}
    batches = group(order, lengths, **limits)
    for batch in progress(batches, "batches", log):
        yield [data.tags[i] for i in batch], network.run(padded(data, batch), fetch=fetch)


def warm_up(network: Network, data: Dataset, fetch: list[str]) -> None:
    """Run one sequence, so that the graph is built before the clock starts."""
    shortest = int(np.argmin(data.lengths("data")))
    network.run(padded(data, [shortest]), fetch=fetch)


def beams(tags: list[str], outputs: Outputs, layer: str) -> dict[str, list[Hypothesis]]:
    """Return the hypotheses of each sequence, the best first."""
    out = outputs[layer]
    assert out.scores is not None and out.time_dim is not None and out.beam_size is not None
    labels = out.canonical()
    lengths = out.lengths[out.time_dim.name]
    found: dict[str, list[Hypothesis]] = {}
    for b, tag in enumerate(tags):
        rows = range(b * out.beam_size, (b + 1) * out.beam_size)
        entries = [
            Hypothesis(labels[r, : lengths[r]].tolist(), float(s))
            for r, s in zip(rows, out.scores[b], strict=True)
            if np.isfinite(s)
        ]
        found[tag] = entries or [Hypothesis([], float("-inf"))]
    return found


def timed(
    network: Network,
    data: Dataset,
    layer: str,
    hypotheses: Callable[[list[str], Outputs], Mapping[str, list[Hypothesis]]],
    log: logging.Logger,
) -> tuple[dict[str, list[Hypothesis]], float]:
    """Return the hypotheses of all sequences, in the data's order, and the seconds it took.

    The seconds are those of reading, searching and reading out, without loading and building the
    graph.
    """
    warm_up(network, data, [layer])
    start = time.monotonic()
    found: dict[str, list[Hypothesis]] = {}
    for tags, outputs in run_batches(network, data, [layer], log):
        found.update(hypotheses(tags, outputs))
    return {tag: found[tag] for tag in data.tags}, time.monotonic() - start


def write_hypotheses(path: Path, found: Mapping[str, list[Hypothesis]], units: Units) -> None:
    """Write hypotheses as JSON, one line an utterance."""
    with path.open("w", encoding="utf-8") as out:
        for tag, entries in found.items():
            rows = [
                {"text": units.decode(h.labels), "score": h.score, "labels": h.labels}
                for h in entries
            ]
            out.write(json.dumps({"utt": tag, **rows[0], "nbest": rows}, ensure_ascii=False) + "\n")


def write_speed(path: Path, audio_seconds: float, seconds: float) -> None:
    """Write how long a search took, and that per second of audio."""
    factor = seconds / audio_seconds if audio_seconds else None
    content = {"audio_seconds": audio_seconds, "seconds": seconds, "real_time_factor": factor}
    path.write_text(json.dumps(content) + "\n", "utf-8")
