"""A stack of bidirectional LSTMs with time pooling, as in the tutorial's speech models."""

from __future__ import annotations

from typing import Any

Net = dict[str, Any]


def blstm(*, layers: int, units: int, pooling: tuple[int, ...], dropout: float) -> Net:
    """Return layers that end in `encoder`: float [batch, time / product of pooling, 2 units].

    units: per direction. pooling: by how much the frames are pooled after each of the first layers.
    dropout: on the input of every layer but the first.
    """
    net: Net = {}
    source: str | list[str] = "data"
    for i in range(layers):
        lstm = {"class": "rec", "unit": "nativelstm2", "n_out": units, "from": source}
        if i:
            lstm["dropout"] = dropout
        net[f"lstm{i}_fw"] = {**lstm, "direction": 1}
        net[f"lstm{i}_bw"] = {**lstm, "direction": -1}
        source = [f"lstm{i}_fw", f"lstm{i}_bw"]
        if i < len(pooling) and pooling[i] > 1:
            net[f"pool{i}"] = {
                "class": "pool",
                "mode": "max",
                "pool_size": [pooling[i]],
                "padding": "same",
                "from": source,
            }
            source = f"pool{i}"
    net["encoder"] = {"class": "copy", "from": source}
    return net
