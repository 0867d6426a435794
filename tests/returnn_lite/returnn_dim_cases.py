"""Networks that split, merge, count and name dims by objects, for RETURNN: see `returnn_cases`."""

from __future__ import annotations

from typing import Any

from returnn_lite.dim import BATCH, SINGLE_STEP, FeatureDim, SpatialDim

Net = dict[str, Any]

TIME, IN_DIM = SpatialDim("time"), FeatureDim("in", 6)
ROWS, HEADS, KEY = SpatialDim("rows"), SpatialDim("heads", 2), FeatureDim("key", 3)
OTHER, FRAMES = SpatialDim("other"), SpatialDim("frames")
ONE, STEPS = FeatureDim("one", 1), SpatialDim("steps", 4)
STREAM: Net = {"dim_tags": [BATCH, TIME, IN_DIM]}
LENGTH: Net = {"class": "length", "from": "data"}
FLOATS: Net = {"class": "cast", "dtype": "float32"}
SUM: Net = {"class": "combine", "kind": "add"}
SPLIT: Net = {"class": "split_dims", "from": "data"}
PLAIN: Net = {"class": "linear", "activation": None, "n_out": 2}
OWN = SpatialDim("own")
OWN_UNIT: dict[str, Net] = {
    "half": {"class": "constant", "value": 0.5},
    "sum": {**SUM, "from": ["prev:sum", "half"], "initial_output": "base:zeros", "need_last": True},
    "end": {"class": "compare", "kind": "greater_equal", "from": ["sum", "base:frames"]},
    "output": {"class": "combine", "kind": "mul", "from": ["sum", "base:mean"]},
}
LSTM: Net = {"class": "rec", "unit": "nativelstm2", "n_out": 2}
SOURCE: Net = {"from": "data:source"}
STEPS_UNIT: dict[str, Net] = {
    "sums": {"class": "cumsum", "axis": TIME, "initial_output": 1, **SOURCE},
    "frames": {"class": "window", "axis": TIME, **SOURCE},
    "both": {"class": "merge_dims", "axes": "static", "from": "frames"},
    "heads": {**SPLIT, "axis": "F", "dims": [2, -1], **SOURCE},
    "states": {**LSTM, "axis": SINGLE_STEP, "from": "heads"},
    "cells": {**LSTM, "axis": TIME, **SOURCE},
    "flat": {"class": "merge_dims", "axes": "static", "from": "states"},
    "output": {"class": "copy", "from": ["sums", "both", "flat", "cells"]},
}
STEPS_UNIT["frames"] |= {"window_size": 2, "window_right": 0}

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
    # Which of them the features are shows by the parameters.
    "new_names": {
        "heads": {**SPLIT, "axis": IN_DIM, "dims": [HEADS, KEY]},
        "other": {
            **{"class": "reinterpret_data", "from": "heads"},
            "set_dim_tags": ((HEADS, OTHER), (TIME, FRAMES)),
        },
        "mean": {"class": "reduce", "mode": "mean", "axis": FRAMES, "from": "other"},
        "best": {"class": "reduce", "mode": "argmax", "axis": KEY, "from": "heads"},
        "classes": {"class": "reinterpret_data", "set_sparse_dim": IN_DIM, "from": "best"},
        "affine": {**PLAIN, "from": "classes"},
        "output": {"class": "reduce", "mode": "sum", "axis": OTHER, "from": "other"},
    },
    "features": {
        "a": {**SPLIT, "axis": "F", "dims": [-1, 1]},
        "b": {**PLAIN, "from": "a"},
        "c": {**SPLIT, "axis": "F", "dims": [KEY, HEADS]},
        "d": {**PLAIN, "from": "c"},
        "e": {"class": "reduce", "mode": "mean", "axis": "F", "from": "data"},
        "f": {**SPLIT, "axis": "T", "dims": [-1, 1], "from": "e"},
        "g": {**PLAIN, "from": "f"},
        "h": {**SPLIT, "axis": "B", "dims": [1, -1]},
        "output": {"class": "reduce", "mode": "max", "axis": "dim:1", "from": "h"},
    },
    "batch": {
        "merged": {
            **{"class": "merge_dims", "axes": ["B", HEADS], "keep_order": True},
            "from": "heads",
        },
        "heads": {**SPLIT, "axis": IN_DIM, "dims": [HEADS, KEY]},
        "backwards": {
            **{"class": "rec", "unit": "nativelstm2", "n_out": 2, "direction": -1},
            "from": "merged",
        },
        "mean": {"class": "reduce", "mode": "mean", "axis": "T", "from": "merged"},
        "length": {**LENGTH, "from": "merged"},
        "output": {**SPLIT, "axis": BATCH, "dims": [BATCH, HEADS], "from": "backwards"},
    },
    "single_steps": {
        "loop": {"class": "rec", "unit": STEPS_UNIT},
        "each": {**LSTM, "axis": SINGLE_STEP},
        "mean": {"class": "reduce", "mode": "mean", "axis": TIME},
        "state": {**PLAIN, "from": "mean"},
        "output": {**LSTM, "from": "mean", "state": {"c": "state", "h": "state"}},
    },
    "own_steps": {
        "zeros": {"class": "constant", "value": 0.0, "shape": [BATCH]},
        "ten": {"class": "constant", "value": 10},
        "length": LENGTH,
        "frames": {**FLOATS, "from": "length"},
        "mean": {"class": "reduce", "mode": "mean", "axis": TIME},
        "loop": {
            **{"class": "rec", "from": [], "axis": OWN, "unit": OWN_UNIT, "include_eos": True},
            **{"max_seq_len_via": "ten", "out_shape": {BATCH, OWN, IN_DIM}},
        },
        "last": {"class": "rec_last_output", "rec_layer": "loop", "sub_layer_name": "sum"},
        "output": {"class": "reduce", "mode": "sum", "axis": OWN, "from": "loop"},
    },
    "pixels": {
        "count": {**LENGTH, "axis": "B"},
        "frames": {"class": "reduce", "mode": "max", "axis": "B", "from": "length"},
        "length": LENGTH,
        "all": {"class": "combine", "kind": "mul", "from": ["count", "frames"]},
        "range": {"class": "range_from_length", "from": "all"},
        "twice": {"class": "concat", "from": [("range", "T"), ("range", "T")]},
        "output": {**SPLIT, "axis": "T", "dims": [BATCH, TIME * 2], "from": "twice"},
    },
}
EVEN_LAYERS: dict[str, Net] = {
    "numbers": {
        "two": {
            **{"class": "eval", "eval": "tf.constant([3, 0])", "from": []},
            "out_type": {"shape": (), "dtype": "int32"},
        },
        "row": {
            **{"class": "eval", "eval": "tf.range(3.0)", "from": ()},
            "out_type": {"shape": (3,), "batch_dim_axis": None},
        },
        "sum": {**SUM, "from": ["data", "floats"]},
        "floats": {**FLOATS, "from": "two"},
        "affine": {**PLAIN, "from": "row"},
        "steps": {"class": "range", "limit": 4, "out_spatial_dim": STEPS},
        "places": {**SUM, "from": ["two", "steps"], "out_shape": {BATCH, STEPS}},
        "table": {"class": "variable", "shape": (STEPS, 3)},
        "output": {
            **{"class": "scatter_nd", "position": "places", "position_axis": STEPS},
            **{"output_dim_via_time_from": "data", "filter_invalid_indices": True},
            "from": "table",
        },
    },
    "time_major": {
        "lstm": {"class": "rec", "unit": "nativelstm2", "n_out": 3},
        "merged": {"class": "merge_dims", "axes": ["B", "T"], "from": "lstm"},
        "ordered": {"class": "merge_dims", "axes": ["B", "T"], "keep_order": True, "from": "lstm"},
        "affine": {**PLAIN, "from": "merged"},
        "output": {"class": "split_batch_time", "base": "lstm", "from": "affine"},
    },
    "left_context": {
        "rows": {"class": "concat", "from": [("data", TIME), ("data", TIME)]},
        "rel": {
            **{"class": "relative_positional_encoding", "n_out": 4, "clipping": 2},
            **{"query_spatial_dim": TIME, "key_value_spatial_dim": "T", "query_offset": 3},
            "from": "rows",
        },
        "own": {"class": "relative_positional_encoding", "n_out": 4, "query_offset": 1},
        "queries": {**PLAIN, "n_out": 4},
        "energy": {
            **{"class": "dot", "red1": "F", "red2": "F", "var1": "auto", "var2": "auto"},
            "from": ["queries", "rel"],
        },
        "output": {"class": "softmax_over_spatial", "axis": TIME + TIME, "from": "energy"},
    },
    "batch_as_spatial": {
        "rows": {"class": "reinterpret_data", "set_dim_tags": {"B": ROWS}},
        "sums": {"class": "cumsum", "axis": "T", "from": "rows"},
        "best": {"class": "reduce", "mode": "max", "axis": ROWS, "from": "rows"},
        "back": {"class": "reinterpret_data", "set_dim_tags": {ROWS: BATCH}, "from": "sums"},
        "output": {**SUM, "from": ["data", "back", "best"]},
    },
    "reshaped": {
        "a": {"class": "reshape", "in_dims": ["T", "F"], "out_dims": [IN_DIM, TIME]},
        "b": {**SPLIT, "axis": "F", "dims": [HEADS, KEY]},
        "c": {"class": "reshape", "in_dims": [KEY, TIME], "out_dims": [TIME, KEY], "from": "b"},
        "d": {"class": "reshape", "in_dims": ["T"], "out_dims": [TIME, ONE], "from": "c"},
        "e": {**PLAIN, "from": "d"},
        "output": {"class": "reshape", "in_dims": [HEADS, KEY], "out_dims": [IN_DIM], "from": "c"},
    },
}


def equal_sizes() -> Net:
    """Dims of equal size, which from behaviour version 16 on are different ones."""
    time, wide, other = SpatialDim("time"), FeatureDim("wide", 3), FeatureDim("other", 3)
    third, pairs = FeatureDim("third", 3), {"allow_broadcast_all_sources": True}
    named = {"class": "linear", "activation": None, "out_dim": third}
    layers: dict[str, Net] = {
        "row": {"class": "variable", "shape": [other]},
        "square": {"class": "variable", "shape": [wide, other]},
        "outer": {**SUM, **pairs, "from": ["data", "row"]},
        "affine": {**PLAIN, "from": "outer"},
        "moved": {"class": "dot", "from": ["data", "square"], "reduce": wide},
        "gram": {"class": "dot", "from": ["data", "moved"], "reduce": time},
        "named": {**named, "from": "data"},
        "again": {**named, "from": "moved"},
        "same": {**SUM, "from": ["named", "again"]},
        "all": {**SUM, **pairs, "from": ["same", "gram"]},
        "output": {"class": "reduce", "mode": "sum", "axis": [other, third], "from": "all"},
    }
    return {
        "net": {k: {**v, "is_output_layer": True} for k, v in layers.items()},
        "streams": {"data": {"dim_tags": [BATCH, time, wide]}},
        "lengths": {"data": [5, 5]},
        "outputs": tuple(layers),
        "config": {"behavior_version": 16},
    }


def cases() -> dict[str, Net]:
    """Return the arguments of `returnn_cases.Case` by name."""
    found: dict[str, Net] = {"dims_equal_sizes": equal_sizes()}
    parts = ((LAYERS, [5, 2, 4]), (EVEN_LAYERS, [5, 5]))
    for name, layers, lengths in ((k, v, n) for found_, n in parts for k, v in found_.items()):
        found[f"dims_{name}"] = {
            "net": {k: {**_source(v), **v, "is_output_layer": True} for k, v in layers.items()},
            "streams": {"data": STREAM},
            "lengths": {"data": lengths},
            "outputs": tuple(layers),
        }
    return found


def _source(layer: Net) -> Net:
    made = ("range", "variable", "constant", "rec_last_output")
    return {} if layer["class"] in made else {"from": "data"}
