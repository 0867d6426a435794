"""What Dims in a config are the same, and where they meet: arguments of `returnn_cases.Case`."""

from __future__ import annotations

from typing import Any

from returnn_lite.dim import BATCH, FeatureDim, SpatialDim

Net = dict[str, Any]

TIME, OTHER = SpatialDim("time"), SpatialDim("other")
IN, OUT = FeatureDim("in", 4), FeatureDim("out", 3)
BEST = SpatialDim("best")
WORDS = FeatureDim("words", 5)
LINEAR: Net = {"class": "linear", "activation": "tanh"}
DOT: Net = {"class": "dot", "var1": "auto", "var2": "auto"}
STREAMS: Net = {
    "data": ({"dim_tags": [BATCH, TIME, IN]}, [4, 2]),
    "words": ({"dim_tags": [BATCH, TIME], "sparse": True, "sparse_dim": WORDS, "dim": 5}, [4, 2]),
    "other": ({"dim_tags": [BATCH, OTHER, IN]}, [2, 3]),
}
LAYERS: dict[str, Net] = {
    "one_hot": {
        "_w": {"class": "variable", "shape": [WORDS, OUT], "add_batch_axis": False},
        "_p": {"class": "softmax", "out_dim": WORDS, "from": "data"},
        "best": {"class": "reduce", "mode": "argmax", "axis": WORDS, "from": "_p"},
        "a": {**DOT, "from": ["data:words", "_w"], "reduce": WORDS},
        "b": {**DOT, "from": ["best", "_w"], "red1": WORDS, "red2": WORDS},
        "output": {"class": "copy", "from": "a"},
    },
    "best": {
        # A batch has two sequences.
        "_n": {"class": "length", "axis": "B", "from": "data"},
        "_k": {"class": "eval", "eval": "source(0) + 1", "from": "_n"},
        "x": {"class": "top_k", "axis": IN, "k": "_k", "k_dim": BEST, "from": "data"},
        "y": {"class": "copy", "from": "x/indices"},
        "z": {"class": "range_in_axis", "axis": BEST, "from": "y"},
        "output": {"class": "reduce", "mode": "sum", "axis": BEST, "from": "x"},
    },
    "features_that_are_others": {
        "_v": {"class": "variable", "shape": (5, 2, 5, 3), "add_batch_axis": False},
        "_w": {"class": "variable", "shape": (5,), "add_batch_axis": False},
        "x": {"class": "combine", "kind": "add", "from": ["_v", "_w"]},
        "y": {"class": "combine", "kind": "sub", "from": ["_w", "_v"]},
        "output": {"class": "copy", "from": "data"},
    },
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
