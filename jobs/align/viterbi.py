"""Forced alignments: the best path through the labels of each sequence."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from jobs.files import written
from jobs.job import JobError
from jobs.search.decode import beams, run_batches
from jobs.shards import Shard, merge_sequences, merge_skipped
from jobs.skipped import Skipped
from returnn_lite.datasets.batches import Array
from returnn_lite.datasets.dataset import HdfDataset
from returnn_lite.hdf import HdfReader, HdfWriter
from returnn_lite.native import ctc_align
from returnn_lite.network import Network


class Aligned(Protocol):
    """The outputs of a job that aligns."""

    @property
    def alignment(self) -> Path: ...

    @property
    def skipped(self) -> Path: ...


def topology_of(network: Network, layer: str) -> str | None:
    """Return the topology of a layer of class forced_align, None for any other layer."""
    found: Any = network.scope.get(layer, "layer").layer
    return str(found.topology) if found.layer_class == "forced_align" else None


def label_count(network: Network, data: HdfDataset, layer: str, *, blank: bool = True) -> int:
    """Return how many labels a layer has.

    blank: whether they have to be the labels `classes` of the data, and the blank. Raises JobError
    where they are not.
    """
    x = network.template(layer)
    labels = data.extern_data["classes"]["dim"]
    if x.time_dim is None or x.classes is None or x.classes.size is None:
        raise JobError(f"layer {layer!r}: found {x}, needed labels, or scores of labels, over time")
    if blank and x.classes.size != labels + 1:
        raise JobError(
            f"layer {layer!r}: found {x.classes.size} labels, needed {labels + 1}: the {labels} of "
            "the targets and the blank; give the targets that the model was trained with"
        )
    return x.classes.size


def no_path(where: str, *, skip: bool) -> Skipped:
    """Return what collects the utterances that have no path through their labels."""
    advice = 'pool less, or leave them out: on_no_path="skip"'
    return Skipped(where=where, skip=skip, advice=advice)


def ctc_alignments(
    network: Network,
    data: HdfDataset,
    layer: str,
    skipped: Skipped,
    log: logging.Logger,
    shard: Shard,
    *,
    repeat_labels: bool,
) -> dict[str, Array]:
    """Return int32 [frames] for each sequence: the labels of the best path, blank last.

    skipped: gets the sequences that have no path.
    """
    found: dict[str, Array] = {}
    for tags, batch, outputs in run_batches(network, data, layer, log, shard):
        out = outputs[layer]
        assert out.time_dim is not None
        log_probs = np.log(np.maximum(np.swapaxes(out.canonical(), 0, 1), 1e-38))
        frames = out.lengths[out.time_dim.name]
        labels, counts = batch["classes"]
        blank = log_probs.shape[-1] - 1
        paths, scores = ctc_align(
            log_probs, frames, labels, counts, blank=blank, label_repetition=repeat_labels
        )
        _keep(found, skipped, (tags, paths, scores, frames, counts))
    return found


def forced_alignments(
    network: Network,
    data: HdfDataset,
    layer: str,
    skipped: Skipped,
    log: logging.Logger,
    shard: Shard,
) -> dict[str, Array]:
    """Return int32 [steps] for each sequence: the path that a layer `forced_align` finds.

    skipped: gets the sequences that have no path.
    """
    found: dict[str, Array] = {}
    scores = f"{layer}/scores"
    for tags, batch, outputs in run_batches(network, data, layer, log, shard, also=[scores]):
        out, (_, counts) = outputs[layer], batch["classes"]
        assert out.time_dim is not None
        steps = out.lengths[out.time_dim.name]
        _keep(found, skipped, (tags, out.canonical(), outputs[scores].canonical(), steps, counts))
    return found


def _keep(found: dict[str, Array], skipped: Skipped, batch: tuple[Iterable[Any], ...]) -> None:
    """Keep the paths of a batch: names, paths, their scores and lengths, numbers of labels."""
    for tag, path, score, length, count in zip(*batch, strict=True):
        if np.isfinite(score):
            found[tag] = path[:length]
        else:
            skipped.add(tag, f"found {count} labels and {length} frames, needed a path")


def searched_alignments(
    network: Network,
    data: HdfDataset,
    layer: str,
    skipped: Skipped,
    log: logging.Logger,
    shard: Shard,
) -> dict[str, Array]:
    """Return int32 [frames] for each sequence: the best path that a search found, blank last.

    network: searches, with the labels given as `classes`. skipped: gets the sequences that have
    more labels than frames. Raises JobError where the labels are not fixed in the search.
    """
    blank = data.extern_data["classes"]["dim"]
    found: dict[str, Array] = {}
    for tags, batch, outputs in run_batches(network, data, layer, log, shard):
        hypotheses = beams(tags, outputs, layer)
        for tag, labels, count in zip(tags, *batch["classes"], strict=True):
            best = hypotheses[tag][0].labels if hypotheses[tag] else []
            if [label for label in best if label != blank] == labels[:count].tolist():
                found[tag] = np.array(best, dtype=np.int32)
            elif count > len(best):
                skipped.add(tag, f"found {count} labels and {len(best)} frames, needed a path")
            else:
                raise JobError(
                    f"{tag}: found a path that is not through its labels, needed a network in "
                    "which they are fixed; see forced_alignment"
                )
    return found


def write_alignments(path: Path, found: dict[str, Array], data: HdfDataset, labels: int) -> None:
    """Write the alignments that were found, in the data's order; labels: how many there are."""
    with written(path) as tmp, HdfWriter(tmp, labels, sparse=True) as out:
        for tag in (t for t in data.tags if t in found):
            out.write(tag, found[tag])


def merge_alignments(
    features: Path,
    parts: Sequence[Aligned],
    outputs: Aligned,
    skip: bool,
    where: str,
    log: logging.Logger,
) -> None:
    """Put the alignments of all shards together, in the order of the features.

    skip, where: of `no_path`. Raises JobError where no utterance has a path.
    """
    with HdfReader(features) as reader:
        tags = reader.tags
    good = merge_sequences([part.alignment for part in parts], outputs.alignment, tags)
    lists = [part.skipped for part in parts]
    merge_skipped(lists, outputs.skipped, good, no_path(where, skip=skip), log)
