"""Networks that split, merge, count and name dims by objects, for RETURNN: see `returnn_cases`."""

from __future__ import annotations

from typing import Any

from returnn_lite.dim import BATCH, FeatureDim, SpatialDim

Net = dict[str, Any]

TIME, IN_DIM = SpatialDim("time"), FeatureDim("in", 6)
STREAM: Net = {"dim_tags": [BATCH, TIME, IN_DIM]}
LENGTH: Net = {"class": "length", "from": "data"}
FLOATS: Net = {"class": "cast", "dtype": "float32"}
SUM: Net = {"class": "combine", "kind": "add"}

LAYERS: dict[str, Net] = {
    "ranges": {
        "count": {**LENGTH, "axis": "B"},
        "sequences": {"class": "range_from_length", "from": "count"},
        "length": LENGTH,
        "frames": {"class": "range_from_length", "from": "length"},
        "later": {"class": "range_in_axis", "axis": TIME + 2, "from": "data"},
        "late": {**LENGTH, "axis": TIME + 2},
        "x": {**FLOATS, "from": "sequences"},
        "y": {**FLOATS, "from": "frames"},
        "output": {**SUM, "from": ["data", "x", "y"]},
    },
}


def cases() -> dict[str, Net]:
    """Return the arguments of `returnn_cases.Case` by name."""
    found: dict[str, Net] = {}
    for name, layers in LAYERS.items():
        found[f"dims_{name}"] = {
            "net": {k: {**v, "is_output_layer": True} for k, v in layers.items()},
            "streams": {"data": STREAM},
            "lengths": {"data": [5, 2, 4]},
            "outputs": tuple(layers),
        }
    return found
