"""The best alignment of labels to frames by a search in which the labels are fixed."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from jobs.engine_errors import engine_errors
from jobs.job import Resources, file

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
    """alignment: a label or the blank, the last, for each frame of the network's output."""

    alignment: Path = file("alignment.hdf")


@dataclass(frozen=True, kw_only=True)
class Params:
    """network: the dict, whose choice is bound to the labels `classes`. layer: the alignment."""

    network: dict[str, Any]
    layer: str = "output"


def resources(params: Params) -> Resources:
    """Return what a network of moderate size needs."""
    return Resources(threads=2, mem_mb=2500, minutes=240)


@engine_errors()
def run(inputs: Inputs, outputs: Outputs, params: Params, log: logging.Logger) -> None:
    """Align."""
    from jobs.align.viterbi import check_blank, searched_alignments, write_alignments
    from jobs.search.decode import features_dataset
    from jobs.search.networks import search_network
    from jobs.train.model import Model

    model = Model.load(inputs.model)
    data = features_dataset(inputs.features, model, inputs.targets)
    network = search_network(
        model, params.network, params.layer, {}, lm=None, streams=data.extern_data
    )
    check_blank(network, data, params.layer)
    found = searched_alignments(network, data, params.layer, log)
    write_alignments(outputs.alignment, found, data)
