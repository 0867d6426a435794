"""Forced alignments: the best path through the labels of each sequence."""

from __future__ import annotations

import logging

import numpy as np

from jobs.job import JobError
from jobs.search.decode import Array, beams, run_batches
from returnn_lite.datasets.batches import padded
from returnn_lite.datasets.dataset import HdfDataset
from returnn_lite.native import ctc_align
from returnn_lite.network import Network


def ctc_alignments(
    network: Network, data: HdfDataset, layer: str, log: logging.Logger, *, repeat_labels: bool
) -> dict[str, Array]:
    """Return int32 [frames] for each sequence: the labels of the best path, blank last.

    Raises JobError where no path exists.
    """
    index = {tag: i for i, tag in enumerate(data.tags)}
    found: dict[str, Array] = {}
    for tags, outputs in run_batches(network, data, [layer], log):
        out = outputs[layer]
        assert out.time_dim is not None
        log_probs = np.log(np.maximum(np.swapaxes(out.canonical(), 0, 1), 1e-38))
        frames = out.lengths[out.time_dim.name]
        labels, counts = padded(data, [index[t] for t in tags])["classes"]
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
    found: dict[str, Array] = {}
    for tags, outputs in run_batches(network, data, [layer], log):
        for tag, entries in beams(tags, outputs, layer).items():
            if not np.isfinite(entries[0].score):
                raise JobError(
                    f"{tag}: found no path through its labels, needed as many frames as labels; "
                    "leave the utterance out, or pool less"
                )
            found[tag] = np.array(entries[0].labels, dtype=np.int32)
    return found
