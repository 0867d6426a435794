"""The best alignment of labels to frames, by a search or by a layer that finds it."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from jobs import network_expected
from jobs.engine_errors import engine_errors
from jobs.job import Expected, Resources, file
from jobs.network_check import check_network
from jobs.shards import WHOLE, Shard

NAME = "align.search"
VERSION = 1


@dataclass(frozen=True, kw_only=True)
class Inputs:
    """A model, and features and labels of the same utterances."""

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
    """network: the dict, whose choice is bound to the labels `classes`. layer: the alignment.

    The layer may also be a forced_align of `data:classes`: of scores of CTC, of a transducer, or of
    the states of a hidden Markov model, which then stand in the alignment. on_no_path: what to do
    with utterances that have more labels than frames: "error", or "skip".
    """

    network: dict[str, Any]
    layer: str = "output"
    on_no_path: Literal["error", "skip"] = "error"

    def __post_init__(self) -> None:
        check_network(self.network, search=True, layer=self.layer)


def resources(params: Params) -> Resources:
    """Return what a network of moderate size needs."""
    return Resources(threads=2, mem_mb=2500, minutes=240)


def expected(params: Params, inputs: Mapping[str, Expected]) -> dict[str, Expected]:
    """Build the network; return the labels of the alignment."""
    targets = inputs["targets"].stream
    if targets is None:
        return {}
    found = network_expected.searched(params.network, params.layer, inputs, {"classes": targets})
    if found is None or found.classes is None:
        return network_expected.with_blank(targets)
    return {"alignment": Expected(stream={**targets, "dim": found.classes.size})}


@engine_errors()
def run(
    inputs: Inputs, outputs: Outputs, params: Params, log: logging.Logger, shard: Shard = WHOLE
) -> None:
    """Align."""
    from jobs.align.viterbi import (
        forced_alignments,
        label_count,
        no_path,
        searched_alignments,
        topology_of,
        write_alignments,
    )
    from jobs.search.decode import features_dataset
    from jobs.search.networks import search_network
    from jobs.train.model import Model

    model = Model.load(inputs.model)
    data = features_dataset(inputs.features, model, inputs.targets)
    network = search_network(
        model, params.network, params.layer, {}, lm=None, streams=data.extern_data
    )
    topology = topology_of(network, params.layer)
    labels = label_count(network, data, params.layer, blank=topology != "hmm")
    align = searched_alignments if topology is None else forced_alignments
    skipped = no_path(NAME, skip=params.on_no_path == "skip")
    found = align(network, data, params.layer, skipped, log, shard)
    skipped.finish(outputs.skipped, len(data.tags), log, whole=shard.whole)
    write_alignments(outputs.alignment, found, data, labels)


@engine_errors()
def merge(
    inputs: Inputs, parts: Sequence[Outputs], outputs: Outputs, params: Params, log: logging.Logger
) -> None:
    """Put the alignments of all shards together, in the order of the features."""
    from jobs.align.viterbi import merge_alignments

    merge_alignments(inputs.features, parts, outputs, params.on_no_path == "skip", NAME, log)
