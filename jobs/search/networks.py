"""A trained model's network, made ready for a search."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from jobs.job import JobError, nearest
from jobs.train.model import Model
from jobs.units.units import Units
from returnn_lite.network import Network

LM = "{lm}"  # stands for the checkpoint of the language model in a network


class ConfigValues(dict[str, Any]):
    """Values of the config, which know whether the network asked for them.

    given: those of the search; the others are the model's, and need not be asked for.
    """

    def __init__(self, model: Mapping[str, Any], given: Mapping[str, Any]) -> None:
        super().__init__({**model, **given})
        self.given = frozenset(given)
        self.asked: set[str] = set()

    def __getitem__(self, name: str) -> Any:
        self.asked.add(name)
        return super().__getitem__(name)


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

    network: the dict, None for the model's own; `{lm}` in it is the checkpoint of lm. streams:
    data streams besides those of the model. Raises JobError where lm is given and not
    named, or the other way round, NetworkError for a mistake in the network.
    """
    layers = network or model.network
    named = _has(layers, LM)
    if named and lm is None:
        raise JobError(f"found {LM!r} in the network, needed the input lm; give a trained model")
    if lm is not None and not named:
        raise JobError(
            f"{lm}: found a language model that the network does not name; try "
            f"load_on_init {LM!r} in a layer of class subnetwork, or leave out the input lm"
        )
    if lm is not None:
        layers = _replaced(layers, LM, str(Model.load(lm).checkpoint))
    result = Network(
        layers,
        extern_data={**model.extern_data, **(streams or {})},
        search=True,
        outputs=[layer],
        config=ConfigValues(model.config, config),
    )
    # A network of its own need not have all that was trained.
    result.load(model.checkpoint, subset=network is not None)
    return result


def check_config(network: Network) -> None:
    """Raise JobError for a value of the config that a network did not ask for when it ran."""
    values = network.config.values
    if not isinstance(values, ConfigValues):  # it searches nothing
        return
    for name in values.given - values.asked:
        raise JobError(
            f"config: found the value {name!r}, which the network does not ask for"
            f"{nearest(name, values.asked)}"
        )


def check_units(network: Network, layer: str, units: Units, model: Model) -> None:
    """Raise JobError where a layer's labels are not those of the units, with or without blank."""
    x = network.template(layer)
    if x.time_dim is None or x.classes is None:
        raise JobError(f"layer {layer!r}: found {x}, needed labels, or scores of labels, over time")
    if x.classes.size not in (len(units), len(units) + 1):
        raise JobError(
            f"layer {layer!r} of {model.folder}: found {x.classes.size} labels, needed "
            f"{len(units)} units, and possibly a blank; give the units that it was trained with"
        )


def _has(value: Any, text: str) -> bool:
    """Return whether a JSON value has a string as one of its values."""
    if isinstance(value, dict):
        return any(_has(v, text) for v in value.values())
    if isinstance(value, list | tuple):
        return any(_has(v, text) for v in value)
    return bool(value == text)


def _replaced(value: Any, old: str, new: str) -> Any:
    """Return a JSON value with a string replaced wherever it is a value."""
    if isinstance(value, dict):
        return {k: _replaced(v, old, new) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [_replaced(v, old, new) for v in value]
    return new if value == old else value
