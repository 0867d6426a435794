"""The best alignment of labels to frames by a CTC model (Viterbi)."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from pathlib import Path

from jobs.engine_errors import engine_errors
from jobs.job import Resources, file

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
    """alignment: a label or the blank, the last, for each frame of the model's output."""

    alignment: Path = file("alignment.hdf")


@dataclass(frozen=True, kw_only=True)
class Params:
    """repeat_labels: True for CTC's topology; False for RNA's, in which a label takes one frame."""

    repeat_labels: bool
    layer: str = "output"


def resources(params: Params) -> Resources:
    """Return what a network of moderate size needs."""
    return Resources(threads=2, mem_mb=2500, minutes=60)


@engine_errors()
def run(inputs: Inputs, outputs: Outputs, params: Params, log: logging.Logger) -> None:
    """Align."""
    from jobs.align.viterbi import check_blank, ctc_alignments, write_alignments
    from jobs.search.decode import features_dataset
    from jobs.search.networks import search_network
    from jobs.train.model import Model

    model = Model.load(inputs.model)
    data = features_dataset(inputs.features, model, inputs.targets)
    network = search_network(model, None, params.layer, {}, lm=None)
    check_blank(network, data, params.layer)
    found = ctc_alignments(network, data, params.layer, log, repeat_labels=params.repeat_labels)
    write_alignments(outputs.alignment, found, data)
