"""Beam search with a network whose choices search, alone or with a language model."""

from __future__ import annotations

import json
import logging
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from jobs.files import written
from jobs.job import JobError, Resources, file

NAME = "search.beam"
VERSION = 1


@dataclass(frozen=True, kw_only=True)
class Inputs:
    """model: gives parameters and normalisation. lm: a trained model that the network names `{lm}`.

    config: a JSON file whose values go before those of the parameters. corpus: the manifest.
    """

    model: Path
    features: Path
    units: Path
    corpus: Path
    lm: Path | None = None
    config: Path | None = None


@dataclass(frozen=True, kw_only=True)
class Outputs:
    """hypotheses: JSON lines with the n best. search: time that it took."""

    hypotheses: Path = file("hypotheses.jsonl")
    search: Path = file("search.json")


@dataclass(frozen=True, kw_only=True)
class Params:
    """network: the dict, None for the model's. layer: the one with the labels. config: values."""

    network: dict[str, Any] | None = None
    layer: str = "labels"
    config: dict[str, float] = field(default_factory=dict)


def resources(params: Params) -> Resources:
    """Return what a network of moderate size needs."""
    return Resources(threads=2, mem_mb=2500, minutes=240)


def run(inputs: Inputs, outputs: Outputs, params: Params, log: logging.Logger) -> None:
    """Search."""
    from jobs.corpus.manifest import read_manifest
    from jobs.search.decode import beams, features_dataset, timed, write_hypotheses, write_speed
    from jobs.search.networks import search_network
    from jobs.train.model import Model
    from jobs.units.units import Units

    model = Model.load(inputs.model)
    config = {**params.config, **_values(inputs.config)}
    network = search_network(model, params.network, params.layer, config, lm=inputs.lm)
    data = features_dataset(inputs.features, model)
    found, seconds = timed(
        network, data, params.layer, lambda tags, out: beams(tags, out, params.layer), log
    )
    with written(outputs.hypotheses) as tmp:
        write_hypotheses(tmp, found, Units.load(inputs.units))
    with written(outputs.search) as tmp:
        write_speed(tmp, sum(u.duration for u in read_manifest(inputs.corpus)), seconds)


def _values(path: Path | None) -> dict[str, float]:
    if path is None:
        return {}
    found = json.loads(path.read_text("utf-8"))
    if not isinstance(found, dict):
        raise JobError(f"{path}: found {type(found).__name__}, needed a JSON object of values")
    return {str(k): float(v) for k, v in found.items()}
