"""The best alignment of labels to frames by a CTC model (Viterbi)."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from jobs import network_expected
from jobs.engine_errors import engine_errors
from jobs.job import Expected, Resources, file
from jobs.shards import WHOLE, Shard

NAME = "align.ctc"
VERSION = 1


@dataclass(frozen=True, kw_only=True)
class Inputs:
    """A CTC model, and features and labels of the same utterances."""

    model: Path
    features: Path
    targets: Path


@dataclass(frozen=True, kw_only=True)
class Outputs:
    """alignment: a label or the blank, the last, for each frame. skipped: who has none, why."""

    alignment: Path = file("alignment.hdf")
    skipped: Path = file("skipped.jsonl")


@dataclass(frozen=True, kw_only=True)
class Params:
    """repeat_labels: True for CTC's topology; False for RNA's, in which a label takes one frame.

    on_no_path: what to do with utterances that have more labels than frames: "error", or "skip".
    """

    repeat_labels: bool
    layer: str = "output"
    on_no_path: Literal["error", "skip"] = "error"


def resources(params: Params) -> Resources:
    """Return what a network of moderate size needs."""
    return Resources(threads=2, mem_mb=2500, minutes=60)


def expected(params: Params, inputs: Mapping[str, Expected]) -> dict[str, Expected]:
    """Build the network; return the labels of the alignment."""
    network_expected.searched(None, params.layer, inputs)
    return network_expected.with_blank(inputs["targets"].stream)


@engine_errors()
def run(
    inputs: Inputs, outputs: Outputs, params: Params, log: logging.Logger, shard: Shard = WHOLE
) -> None:
    """Align."""
    from jobs.align.viterbi import ctc_alignments, label_count, no_path, write_alignments
    from jobs.search.decode import features_dataset
    from jobs.search.networks import search_network
    from jobs.train.model import Model

    model = Model.load(inputs.model)
    data = features_dataset(inputs.features, model, inputs.targets)
    network = search_network(model, None, params.layer, {}, lm=None)
    labels = label_count(network, data, params.layer)
    skipped = no_path(NAME, skip=params.on_no_path == "skip")
    found = ctc_alignments(
        network, data, params.layer, skipped, log, shard, repeat_labels=params.repeat_labels
    )
    skipped.finish(outputs.skipped, len(data.tags), log, whole=shard.whole)
    write_alignments(outputs.alignment, found, data, labels)


@engine_errors()
def merge(
    inputs: Inputs, parts: Sequence[Outputs], outputs: Outputs, params: Params, log: logging.Logger
) -> None:
    """Put the alignments of all shards together, in the order of the features."""
    from jobs.align.viterbi import merge_alignments

    merge_alignments(inputs.features, parts, outputs, params.on_no_path == "skip", NAME, log)
