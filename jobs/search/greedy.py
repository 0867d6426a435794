"""The best path of a CTC model: the best label of every frame, repeats and blanks taken away."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from pathlib import Path

from jobs.files import written
from jobs.job import Resources, file

NAME = "search.greedy"
VERSION = 1


@dataclass(frozen=True, kw_only=True)
class Inputs:
    """corpus: the manifest of the recordings, for their duration."""

    model: Path
    features: Path
    units: Path
    corpus: Path


@dataclass(frozen=True, kw_only=True)
class Outputs:
    """hypotheses: JSON lines. search: time that it took."""

    hypotheses: Path = file("hypotheses.jsonl")
    search: Path = file("search.json")


@dataclass(frozen=True, kw_only=True)
class Params:
    """layer: the layer with the probabilities; its last label is the blank."""

    layer: str = "output"


def resources(params: Params) -> Resources:
    """Return what a network of moderate size needs."""
    return Resources(threads=2, mem_mb=2500, minutes=60)


def run(inputs: Inputs, outputs: Outputs, params: Params, log: logging.Logger) -> None:
    """Search."""
    from jobs.corpus.manifest import read_manifest
    from jobs.search.best_path import best_paths
    from jobs.search.decode import features_dataset, timed, write_hypotheses, write_speed
    from jobs.train.model import Model
    from jobs.units.units import Units
    from returnn_lite.network import Network

    model = Model.load(inputs.model)
    data = features_dataset(inputs.features, model)
    network = Network(model.network, extern_data=model.extern_data, outputs=[params.layer])
    network.load(model.checkpoint)
    found, seconds = timed(network, data, params.layer, best_paths(params.layer), log)
    with written(outputs.hypotheses) as tmp:
        write_hypotheses(tmp, found, Units.load(inputs.units))
    with written(outputs.search) as tmp:
        write_speed(tmp, sum(u.duration for u in read_manifest(inputs.corpus)), seconds)
