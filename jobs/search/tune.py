"""Choose the scale of a language model by the word error rate on a development set."""

from __future__ import annotations

import json
import logging
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from jobs import network_expected
from jobs.engine_errors import engine_errors
from jobs.files import written
from jobs.job import Expected, Resources, file, nearest
from jobs.network_check import check_network

NAME = "search.tune"
VERSION = 1


@dataclass(frozen=True, kw_only=True)
class Inputs:
    """As those of search.beam; corpus: the manifest with the reference texts."""

    model: Path
    features: Path
    units: Path
    corpus: Path
    lm: Path


@dataclass(frozen=True, kw_only=True)
class Outputs:
    """config: the best value, for search.beam. table: all values with their error rates."""

    config: Path = file("config.json")
    table: Path = file("table.txt")


@dataclass(frozen=True, kw_only=True)
class Params:
    """name: the value of the config to tune. values: what is tried; of equals the first wins."""

    network: dict[str, Any]
    values: tuple[float, ...]
    name: str = "lm_scale"
    layer: str = "labels"

    def __post_init__(self) -> None:
        if not self.values:
            raise ValueError("found no values, needed at least one to try")
        check_network(self.network, search=True, layer=self.layer)
        asked = set(re.findall(r"typed_value\(\s*['\"]([^'\"]+)", json.dumps(self.network)))
        if self.name not in asked:
            raise ValueError(
                f"found name {self.name!r}, for which the network does not ask"
                f"{nearest(self.name, asked)}"
            )


def resources(params: Params) -> Resources:
    """Return what a network of moderate size needs."""
    return Resources(threads=2, mem_mb=2500, minutes=240)


def expected(params: Params, inputs: Mapping[str, Expected]) -> dict[str, Expected]:
    """Build the network."""
    network_expected.searched(params.network, params.layer, inputs)
    return {}


@engine_errors()
def run(inputs: Inputs, outputs: Outputs, params: Params, log: logging.Logger) -> None:
    """Search with every value, and keep the best."""
    from jobs.search.tuning import error_rates

    rates = error_rates(inputs, params, log)
    best = min(params.values, key=lambda v: rates[v])
    with written(outputs.config) as tmp:
        tmp.write_text(json.dumps({params.name: best}) + "\n", "utf-8")
    rows = [f"{params.name:>10}  WER %", *(f"{v:10g}  {rates[v]:5.2f}" for v in params.values)]
    with written(outputs.table) as tmp:
        tmp.write_text("\n".join(rows) + "\n", "utf-8")
    log.info("%s", "\n".join(rows))
