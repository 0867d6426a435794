"""A trained model's network, made ready for a search."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from jobs.job import JobError
from jobs.train.model import Model
from returnn_lite.errors import NetworkError
from returnn_lite.network import Network


def search_network(
    model: Model,
    network: dict[str, Any] | None,
    layer: str,
    config: Mapping[str, Any],
    *,
    lm: Path | None,
    streams: Mapping[str, Any] | None = None,
) -> Network:
    """Return the network, its choices searching, with the model's parameters.

    network: the dict, None for the model's own; `{lm}` in it is the checkpoint of lm. streams: the
    data streams, by default `data` as the model has it.
    """
    layers = network or model.network
    if lm is not None:
        layers = _replaced(layers, "{lm}", str(Model.load(lm).checkpoint))
    streams = streams or {"data": model.extern_data["data"]}
    try:
        result = Network(layers, extern_data=streams, search=True, outputs=[layer], config=config)
        result.load(model.checkpoint)
    except NetworkError as error:
        raise JobError(str(error)) from error
    return result


def _replaced(value: Any, old: str, new: str) -> Any:
    """Return a JSON value with a string replaced wherever it is a value."""
    if isinstance(value, dict):
        return {k: _replaced(v, old, new) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [_replaced(v, old, new) for v in value]
    return new if value == old else value
