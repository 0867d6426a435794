"""The best path of a CTC model: the best label of every frame, repeats and blanks taken away."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from jobs import network_expected
from jobs.engine_errors import engine_errors
from jobs.files import written
from jobs.job import Expected, Resources, file
from jobs.shards import WHOLE, Shard

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


def expected(params: Params, inputs: Mapping[str, Expected]) -> dict[str, Expected]:
    """Build the network."""
    network_expected.searched(None, params.layer, inputs)
    return {}


@engine_errors()
def run(
    inputs: Inputs, outputs: Outputs, params: Params, log: logging.Logger, shard: Shard = WHOLE
) -> None:
    """Search."""
    from jobs.search.best_path import best_paths
    from jobs.search.decode import features_dataset, timed
    from jobs.search.networks import check_units, search_network
    from jobs.search.results import searched, write_hypotheses, write_speed
    from jobs.train.model import Model
    from jobs.units.units import Units

    model, units = Model.load(inputs.model), Units.load(inputs.units)
    data = features_dataset(inputs.features, model)
    utterances = searched(inputs.corpus, data.tags)
    network = search_network(model, None, params.layer, {}, lm=None)
    check_units(network, params.layer, units, model)
    found, seconds = timed(network, data, params.layer, best_paths, log, shard)
    with written(outputs.hypotheses) as tmp:
        write_hypotheses(tmp, found, units)
    with written(outputs.search) as tmp:
        write_speed(tmp, [u for u in utterances if u.utt in found], seconds)


def merge(
    inputs: Inputs, parts: Sequence[Outputs], outputs: Outputs, params: Params, log: logging.Logger
) -> None:
    """Put the hypotheses of all shards together, in the order of the features."""
    from jobs.search.results import merge_searches

    merge_searches(inputs.corpus, inputs.features, parts, outputs)
