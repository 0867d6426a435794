"""Beam search with a network whose choices search, alone or with a language model."""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from jobs import network_expected
from jobs.engine_errors import engine_errors
from jobs.files import written
from jobs.job import Expected, JobError, Resources, file
from jobs.network_check import check_network
from jobs.shards import WHOLE, Shard

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

    def __post_init__(self) -> None:
        if self.network is not None:
            check_network(self.network, search=True, layer=self.layer)


def resources(params: Params) -> Resources:
    """Return what a network of moderate size needs."""
    return Resources(threads=2, mem_mb=2500, minutes=240)


def expected(params: Params, inputs: Mapping[str, Expected]) -> dict[str, Expected]:
    """Build the network."""
    network_expected.searched(params.network, params.layer, inputs)
    return {}


@engine_errors()
def run(
    inputs: Inputs, outputs: Outputs, params: Params, log: logging.Logger, shard: Shard = WHOLE
) -> None:
    """Search."""
    from jobs.search.decode import beams, features_dataset, timed
    from jobs.search.networks import check_units, search_network
    from jobs.search.results import searched, write_hypotheses, write_speed
    from jobs.train.model import Model
    from jobs.units.units import Units

    model, units = Model.load(inputs.model), Units.load(inputs.units)
    config = {**params.config, **_values(inputs.config)}
    data = features_dataset(inputs.features, model)
    utterances = searched(inputs.corpus, data.tags)
    network = search_network(model, params.network, params.layer, config, lm=inputs.lm)
    check_units(network, params.layer, units, model)
    found, seconds = timed(network, data, params.layer, beams, log, shard)
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


def _values(path: Path | None) -> dict[str, float]:
    """Return the values of a config file."""
    if path is None:
        return {}
    try:
        return {str(k): float(v) for k, v in json.loads(path.read_text("utf-8")).items()}
    except (OSError, ValueError, TypeError, AttributeError) as error:
        needed = 'needed a JSON object of numbers, such as {"lm_scale": 0.3}'
        raise JobError(f"{path}: found no config ({error!r}), {needed}") from None
