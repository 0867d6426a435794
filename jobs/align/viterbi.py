"""Forced alignments: the best path through the labels of each sequence."""

from __future__ import annotations

import logging
from pathlib import Path

import numpy as np

from jobs.files import written
from jobs.job import JobError
from jobs.search.decode import beams, run_batches
from returnn_lite.datasets.batches import Array
from returnn_lite.datasets.dataset import HdfDataset
from returnn_lite.hdf import HdfWriter
from returnn_lite.native import ctc_align
from returnn_lite.network import Network


def check_blank(network: Network, data: HdfDataset, layer: str) -> None:
    """Raise JobError unless a layer has the labels `classes` of the data, and the blank."""
    x = network.template(layer)
    labels = data.extern_data["classes"]["dim"]
    if x.time_dim is None or x.classes is None:
        raise JobError(f"layer {layer!r}: found {x}, needed labels, or scores of labels, over time")
    if x.classes.size != labels + 1:
        raise JobError(
            f"layer {layer!r}: found {x.classes.size} labels, needed {labels + 1}: the {labels} of "
            "the targets and the blank; give the targets that the model was trained with"
        )


def ctc_alignments(
    network: Network, data: HdfDataset, layer: str, log: logging.Logger, *, repeat_labels: bool
) -> dict[str, Array]:
    """Return int32 [frames] for each sequence: the labels of the best path, blank last.

    Raises JobError where no path exists.
    """
    found: dict[str, Array] = {}
    for tags, batch, outputs in run_batches(network, data, layer, log):
        out = outputs[layer]
        assert out.time_dim is not None
        log_probs = np.log(np.maximum(np.swapaxes(out.canonical(), 0, 1), 1e-38))
        frames = out.lengths[out.time_dim.name]
        labels, counts = batch["classes"]
        blank = log_probs.shape[-1] - 1
        paths, scores = ctc_align(
            log_probs, frames, labels, counts, blank=blank, label_repetition=repeat_labels
        )
        for tag, path, score, length, count in zip(
            tags, paths, scores, frames, counts, strict=True
        ):
            if not np.isfinite(score):
                raise JobError(
                    f"{tag}: found {count} labels and {length} frames, needed a path through them; "
                    "leave the utterance out, or pool less"
                )
            found[tag] = path[:length]
    return found


def searched_alignments(
    network: Network, data: HdfDataset, layer: str, log: logging.Logger
) -> dict[str, Array]:
    """Return int32 [frames] for each sequence: the best path that a search found, blank last.

    network: searches, with the labels given as `classes`. Raises JobError where it found no path.
    """
    blank = data.extern_data["classes"]["dim"]
    found: dict[str, Array] = {}
    for tags, batch, outputs in run_batches(network, data, layer, log):
        hypotheses = beams(tags, outputs, layer)
        for tag, labels, count in zip(tags, *batch["classes"], strict=True):
            best = hypotheses[tag][0].labels if hypotheses[tag] else []
            if [label for label in best if label != blank] != labels[:count].tolist():
                raise JobError(f"{tag}: {_no_path(int(count), len(best))}")
            found[tag] = np.array(best, dtype=np.int32)
    return found


def _no_path(labels: int, frames: int) -> str:
    found = f"found {labels} labels and a path of {frames} frames that is not through them"
    if labels > frames:
        return f"{found}, needed as many frames as labels; leave the utterance out, or pool less"
    return f"{found}, needed a network in which the labels are fixed; see forced_alignment"


def write_alignments(path: Path, found: dict[str, Array], data: HdfDataset) -> None:
    """Write the alignments of all sequences, in the data's order; the blank is a label more."""
    labels = data.extern_data["classes"]["dim"]
    with written(path) as tmp, HdfWriter(tmp, labels + 1, sparse=True) as out:
        for tag in data.tags:
            out.write(tag, found[tag])
