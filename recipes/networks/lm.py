"""A recurrent language model over the units of the recogniser."""

from __future__ import annotations

from typing import Any

from recipes.networks.dropout import dropped
from recipes.networks.encoder import Net


def lstm_lm(*, labels: int, embed: int, units: int, layers: int, dropout: float) -> Net:
    """Return a language model: `output` is the probability of the label after `data:delayed`."""
    net = _body(source="data:delayed", embed=embed, units=units, layers=layers, dropout=dropout)
    output = {"class": "softmax", **dropped(dropout), "target": "data", "loss": "ce"}
    return {**net, "output": {**output, "from": f"lstm{layers - 1}", "n_out": labels}}


def step_lm(*, labels: int, embed: int, units: int, layers: int) -> Net:
    """Return the same model with `data` as the label before, and log-probabilities as `output`."""
    net = _body(source="data", embed=embed, units=units, layers=layers, dropout=0.0)
    output: dict[str, Any] = {"class": "linear", "activation": "log_softmax", "n_out": labels}
    return {**net, "output": {**output, "from": f"lstm{layers - 1}"}}


def _body(*, source: str, embed: int, units: int, layers: int, dropout: float) -> Net:
    net: Net = {
        "input": {
            "class": "linear",
            "activation": None,
            "with_bias": False,
            "from": source,
            "n_out": embed,
        }
    }
    below = "input"
    for i in range(layers):
        net[f"lstm{i}"] = {
            "class": "rec",
            "unit": "nativelstm2",
            "n_out": units,
            "from": below,
            **dropped(dropout),
        }
        below = f"lstm{i}"
    return net
