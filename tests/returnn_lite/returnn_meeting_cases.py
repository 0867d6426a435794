"""What Dims in a config are the same, and where they meet: arguments of `returnn_cases.Case`."""

from __future__ import annotations

from typing import Any

from returnn_lite.dim import BATCH, FeatureDim, SpatialDim

Net = dict[str, Any]

TIME, OTHER = SpatialDim("time"), SpatialDim("other")
IN, OUT = FeatureDim("in", 4), FeatureDim("out", 3)
LINEAR: Net = {"class": "linear", "activation": "tanh"}
STREAMS: Net = {
    "data": ({"dim_tags": [BATCH, TIME, IN]}, [4, 2]),
    "other": ({"dim_tags": [BATCH, OTHER, IN]}, [2, 3]),
}
LAYERS: dict[str, Net] = {
    "joined_times": {
        "output": {
            **{**LINEAR, "from": ["data", "data:other"], "out_dim": OUT},
            "out_shape": {BATCH, TIME, OTHER, OUT},
        }
    },
}


def cases() -> dict[str, Net]:
    """Return the arguments of `returnn_cases.Case` by name."""
    return {f"dims_{name}": _case(net) for name, net in LAYERS.items()}


def _case(layers: Net) -> Net:
    used = [key for key in STREAMS if f"data:{key}'" in repr(layers) or key == "data"]
    return {
        "net": {k: {**v, "is_output_layer": True} for k, v in layers.items()},
        "streams": {key: STREAMS[key][0] for key in used},
        "lengths": {key: STREAMS[key][1] for key in used},
        "outputs": tuple(k for k in layers if not k.startswith("_")),
    }
