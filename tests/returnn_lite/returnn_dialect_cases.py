"""Streams, dims as objects, axes and options that other cases lack, for RETURNN."""

from __future__ import annotations

from typing import Any

from returnn_option_cases import CE, COUNT, EVEN, LSTM, PLAIN, RAGGED, TANH, small

from returnn_lite.dim import BATCH, FeatureDim, SpatialDim

Net = dict[str, Any]

LAST: Net = {**TANH, "from": "data"}
IN: Net = {**TANH, "from": "data:source"}
CONV: Net = {
    "class": "conv",
    "padding": "same",
    "with_bias": True,
    "activation": "tanh",
    "n_out": 4,
}
ATTENTION: Net = {"class": "self_attention", "num_heads": 2, "total_key_dim": 4, "n_out": 4}
SUM: Net = {"class": "reduce", "mode": "sum"}
FLAT: Net = {"class": "reinterpret_data", "set_sparse": False, "from": "data:classes"}
NORM: Net = {"class": "batch_norm", "masked_time": True}
# Streams with several dynamic dims, without time, or without the batch, and their lengths.
MORE: Net = {
    "image": ({"shape": (None, None, 3)}, [[5, 3, 4], [4, 4, 2]]),
    "grid": ({"shape": (None, 5, 3)}, [4, 2, 3]),
    "speaker": ({"dim": 6, "sparse": True, "shape": ()}, []),
    "vector": ({"shape": (4,), "time_dim_axis": None}, []),
    "fixed": ({"shape": (4,), "batch_dim_axis": None, "time_dim_axis": None}, []),
}
GRID: Net = {"from": "data:grid"}
IMAGE: Net = {"from": "data:image"}


def looped(**unit: Net) -> Net:
    """Return a loop over the frames of the data."""
    return {"class": "rec", "from": "data", "unit": unit}


def network(**layers: Net) -> Net:
    """Return a subnetwork."""
    return {"class": "subnetwork", "from": "data", "subnetwork": layers}


LAYERS: dict[str, Net] = {
    "image_axes": {
        "a": {**SUM, "axes": "s:1", **IMAGE},
        "b": {**SUM, "mode": "max", "axes": "T", **IMAGE},
        "c": {**SUM, "mode": "mean", "axes": ["s:0", "s:1"], **IMAGE},
        "d": {"class": "softmax_over_spatial", "axis": "s:1", **IMAGE},
        "e": {"class": "length", "axis": "s:1", **IMAGE},
        "f": {"class": "range_in_axis", "axis": "s:1", **IMAGE},
        "g": {"class": "slice", "axis": "s:1", "slice_end": 2, **IMAGE},
        "h": {"class": "cumsum", "axis": "s:1", **IMAGE},
        "i": {"class": "reinterpret_data", "set_axes": {"T": "s:1"}, **IMAGE},
        "j": {"class": "swap_axes", "axis1": "s:0", "axis2": "s:1", **IMAGE},
        "k": {"class": "seq_len_mask", "axis": "s:1", "mask_value": -1.0, **IMAGE},
        "m": {"class": "combine", "kind": "add", "from": ["data:image", "b"]},
        "last": LAST,
    },
    "image_recurrent": {
        "a": {**LSTM, "axis": "s:1", **IMAGE},
        "b": {**LSTM, "axis": "s:0", **IMAGE},
        "c": {**LSTM, "direction": -1, **IMAGE},
        "last": LAST,
    },
    "grid_windows": {
        "a": {"class": "merge_dims", "axes": ["dim:5", "F"], **GRID},
        "b": {"class": "conv", "filter_size": (3,), "in_spatial_dims": ["s:1"], "n_out": 2, **GRID},
        "c": {"class": "pool", "mode": "max", "pool_size": (2,), "in_spatial_dims": ["dim:5"]},
        "d": {"class": "slice", "axis": "s:1", "slice_start": 1, "slice_end": 4, **GRID},
        "e": {"class": "window", "window_size": 3, "axis": "s:1", **GRID},
        "f": {"class": "pad", "axes": ["s:1", "F"], "padding": [(1, 1), (0, 2)], **GRID},
        "g": {"class": "pad", "axes": "s:1", "padding": (1, 2), "mode": "replication", **GRID},
        "h": {"class": "gather", "axis": "s:1", "position": "g_best", **GRID},
        "g_best": {**SUM, "mode": "argmax", "axis": "s:1", **GRID},
        "i": {"class": "top_k", "axis": ["s:1", "F"], "k": 3, **GRID},
        "j": {"class": "copy", "from": "i/indices1"},
        "last": LAST,
    },
    "grid_parts": {
        "a": {"class": "resize", "axis": "s:1", "factor": 2, **GRID},
        "b": {"class": "transpose", "perm": {"s:1": "F", "F": "s:1"}, **GRID},
        "c": {"class": "split", "axis": "s:1", "size_splits": [2, 3], **GRID},
        "d": {"class": "copy", "from": "c/1"},
        "e": {"class": "concat", "from": [("data:grid", "s:1"), ("d", "s:1")]},
        "f": {**LSTM, "axis": "s:1", **GRID},
        "g": {**NORM, **GRID},
        "h": {"class": "positional_encoding", "add_to_input": True, "from": "wide"},
        "wide": {**TANH, **GRID},
        "i": {"class": "reinterpret_data", "set_axes": {"F": "s:1"}, **GRID},
        "j": {**TANH, "from": "i"},
        "last": LAST,
    },
    "speaker": {
        "e": {**PLAIN, "n_out": 4, "from": "data:speaker"},
        "x": {"class": "combine", "kind": "add", "from": ["data", "e"]},
        "y": {**TANH, "from": ["data", "e"]},
        "last": LAST,
    },
    "vector": {
        "e": {**TANH, "from": "data:vector"},
        "x": {"class": "combine", "kind": "mul", "from": ["data", "e"]},
        "y": {**LSTM, "from": ["data", "data:vector"]},
        "last": LAST,
    },
    "fixed": {
        "x": {"class": "combine", "kind": "mul", "from": ["data", "data:fixed"]},
        "y": {**TANH, "from": "data:fixed"},
        "z": {"class": "combine", "kind": "add", "from": ["y", "data"]},
        "last": LAST,
    },
    "l2_of_networks": {
        "a": {**network(output=LAST), "L2": 0.1},
        "b": {**looped(a=IN, output={**TANH, "from": ["a", "prev:output"]}), "L2": 0.2},
        "c": {**LAST, "L2": 0.3, "trainable": False},
        "d": {**NORM, "L2": 0.4, "from": "data"},
        "last": {**TANH, "from": ["a", "b", "c", "d"]},
    },
    "switch_of_itself": {
        "x": looped(
            f={**SUM, "axis": "F", "from": "data:source"},
            m={"class": "compare", "kind": "greater", "value": 0.0, "from": "f"},
            s={
                **{"class": "switch", "condition": "m", "true_from": "data:source"},
                "false_from": "prev:s",
            },
            output={"class": "copy", "from": "s"},
        )
    },
    "sources_apart": {
        "h": LAST,
        "x": {
            **network(output={**TANH, "from": ["data", "data:h", "data:1"]}),
            **{"from": ["data", "h"], "concat_sources": False},
        },
    },
    "networks_around": {
        "q": LAST,
        "x": network(
            a={**TANH, "from": ["data", "base:q"]},
            inner={
                **network(
                    k={**TANH, "from": ["data", "base:base:q", "base:a"]},
                    output={"class": "copy", "from": ["k", "base:a"]},
                ),
                "from": ["a", "base:q"],
            },
            output={**TANH, "from": ["inner", "inner/k"]},
        ),
        "y": {"class": "copy", "from": "x/inner/k"},
        "last": {**TANH, "from": ["x", "y"]},
    },
    "network_of_steps": {
        "x": looped(
            s={
                **network(
                    a={**TANH, "from": ["data", "prev:a", "base:prev:output"]},
                    l={"class": "rnn_cell", "unit": "lstmblock", "n_out": 3, "from": "a"},
                    output={**TANH, "from": ["l", "prev:l"]},
                ),
                "from": "data:source",
            },
            t={"class": "copy", "from": "s/a"},
            output={**TANH, "from": ["s", "prev:s/a", "t"]},
        )
    },
    "batch_positions": {
        "_i": {"class": "range_in_axis", "axis": "b", "from": "data"},
        "_j": {"class": "range_in_axis", "axis": "t", "from": "data"},
        "x": {"class": "compare", "kind": "equal", "from": ["_i", "_j"]},
        "last": LAST,
    },
    "evaluated_shapes": {
        "_f": FLAT,
        "_s": {**SUM, "axis": "F", "from": "data"},
        "a": {
            **{"class": "eval", "eval": "tf.cast(source(0), tf.float32)", "from": "_f"},
            "out_type": {"dim": 1, "dtype": "float32", "shape": (None, 1)},
        },
        "b": {
            **{"class": "eval", "from": "data:classes"},
            "eval": "tf.cast(tf.equal(source(0), tf.range(3)[None, None, :]), tf.float32)",
            "out_type": {"dim": 3, "sparse": False, "dtype": "float32", "shape": (None, 3)},
        },
        "c": {
            **{"class": "eval", "eval": "source(0) * tf.ones([1, 1, 2])", "from": "_s"},
            "out_type": {"dim": 2, "shape": (None, 2)},
        },
        "last": LAST,
    },
    "dot_words": {
        "_s": {"class": "split_dims", "axis": "F", "dims": (2, 2), "from": "data"},
        "_t": {"class": "split_dims", "axis": "F", "dims": (2, 2), "from": "_a"},
        "_a": LAST,
        "_m": {**SUM, "axis": "T", "from": "data"},
        "a": {
            **{"class": "dot", "red1": ["T", "F"], "red2": ["T", "F"], "from": ["_s", "_t"]},
            **{"var1": "static:0", "var2": "static:0"},
        },
        "b": {
            **{"class": "dot", "red1": "F", "red2": "F", "from": ["data", "_m"]},
            **{"var1": "T", "var2": "T?"},
        },
        "c": {
            **{"class": "dot", "red1": "F", "red2": "F", "from": ["data", "_m"]},
            **{"var1": "T", "var2": [], "add_var2_if_empty": False},
        },
        "last": LAST,
    },
    "loss_words": {
        "_x": {"class": "linear", "activation": "sigmoid", "n_out": 2, "from": "data"},
        "_n": {**COUNT, "from": "data:labels"},
        "a": {**SUM, "mode": "mean", "axes": "BT", "from": "_x", "loss": "as_is"},
        "b": {"class": "constant", "value": 1.5, "loss": "as_is"},
        "c": {**SUM, "axis": "T", "from": "_x", "loss": "as_is", "loss_scale": 0.1},
        "d": {**CE, "from": "data", "loss_opts": {"custom_inv_norm_factor": "_n"}},
        "e": {**CE, "from": "data", "loss_opts": {"fake_upper_bound": 1.0}, "loss_scale": 0.3},
        "last": LAST,
    },
    "relative_positions": {
        "_e": {"class": "relative_positional_encoding", "n_out": 2, "clipping": 2, "from": "data"},
        "a": {**ATTENTION, "key_shift": "_e", "from": "data"},
        "b": {**ATTENTION, "n_out": 6, "total_key_dim": 8, "from": "a"},
        "x": looped(
            i={**TANH, "from": ["data:source", "prev:output"]},
            e={"class": "relative_positional_encoding", "n_out": 2, "clipping": 2, "from": "i"},
            a={**ATTENTION, "attention_left_only": True, "key_shift": "e", "from": "i"},
            p={"class": "positional_encoding", "add_to_input": True, "from": "a"},
            output={**TANH, "from": ["p", "i"]},
        ),
    },
    "longer_times": {
        "a": {"class": "prefix_in_time", "prefix": 1.0, "repeat": 2, "from": "data"},
        "b": {"class": "postfix_in_time", "postfix": "_m", "repeat": 3, "from": "data"},
        "_m": {**SUM, "mode": "mean", "axis": "T", "from": "data"},
        "c": {"class": "prefix_in_time", "prefix": 2, "from": "data:classes"},
        "d": {**LSTM, "from": "b"},
        "e": {"class": "softmax_over_spatial", "from": "a"},
        "last": LAST,
    },
}
LAYERS["grid_windows"]["c"] |= {"padding": "valid", **GRID}
LAYERS["grid_windows"]["b"] |= {"padding": "same", "activation": None, "with_bias": True}
# Windows apart, which lie around the middle of a sequence, by its length.
APART: Net = {
    "a": {**CONV, "filter_size": (3,), "strides": 2, "from": "data"},
    "b": {"class": "pool", "mode": "max", "pool_size": [3], "padding": "same", "from": "data"},
    "c": {"class": "pool", "mode": "avg", "pool_size": [4], "strides": [3], "from": "data"},
    "d": {**CONV, "filter_size": (4,), "strides": 3, "groups": 2, "from": "data"},
    "last": LAST,
}
APART["c"]["padding"] = "same"
TIME, IN_DIM, HIDDEN = SpatialDim("time"), FeatureDim("in", 4), FeatureDim("hidden", 6)
HEADS, KEY, OTHER = SpatialDim("heads", 2), FeatureDim("key", 3), SpatialDim("other")
PAIR, ONE = SpatialDim("pair", 2), SpatialDim("one", 1)
SPLIT: Net = {"class": "split_dims", "axis": HIDDEN, "dims": [HEADS, KEY]}
HALF: Net = {"class": "pool", "mode": "avg", "pool_size": [2], "from": "data"}
BACK: Net = {
    **{"class": "transposed_conv", "filter_size": [2], "activation": "sigmoid", "from": "down"},
    **{"out_spatial_dims": [TIME], "out_dim": IN_DIM},
}
DIFFERENCE: Net = {"class": "combine", "kind": "sub", "from": ["up", "data"]}
# Of streams with Dims.
DIMS: dict[str, Net] = {
    "objects": {
        "a": {"class": "linear", "activation": "tanh", "out_dim": HIDDEN, "from": "data"},
        "b": {**SPLIT, "from": "a"},
        "c": {"class": "merge_dims", "axes": [HEADS, KEY], "keep_order": True, "from": "b"},
        "d": {**SUM, "axis": [HEADS, KEY], "from": "b"},
        "e": {"class": "expand_dims", "axis": "spatial", "dim": PAIR, "from": "data"},
        "f": {"class": "constant", "value": 1.5, "shape": [PAIR, IN_DIM]},
        "g": {
            **{"class": "combine", "kind": "add", "from": ["data", "f"]},
            "out_shape": {BATCH, TIME, PAIR, IN_DIM},
        },
        "h": {"class": "split_dims", "axis": IN_DIM, "dims": [IN_DIM, ONE], "from": "data"},
        "output": {"class": "rec", "unit": "lstm", "out_dim": KEY, "axis": TIME, "from": "data"},
    },
    "objects_in_a_loop": {
        "output": {
            **{"class": "rec", "axis": TIME, "from": "data"},
            "unit": {
                "s": {**SPLIT, "from": "h"},
                "h": {
                    **{"class": "linear", "activation": "tanh", "out_dim": HIDDEN},
                    "from": ["data:source", "prev:h"],
                },
                "output": {**SUM, "mode": "max", "axis": HEADS, "from": "s"},
            },
        }
    },
    "two_times": {
        "output": {
            **{"class": "combine", "kind": "add", "from": ["data", "data:more"]},
            "out_shape": {BATCH, TIME, OTHER, IN_DIM},
        }
    },
    "length_again": {
        "down": {**HALF, "padding": "same"},
        "up": {**BACK, "padding": "same"},
        "output": DIFFERENCE,
    },
    "length_filled_up": {
        "down": {**HALF, "padding": "valid"},
        "up": {**BACK, "padding": "valid"},
        "output": DIFFERENCE,
    },
}


def cases() -> dict[str, Net]:
    """Return the arguments of `returnn_cases.Case` by name."""
    found = {}
    for name, layers in LAYERS.items():
        found[name] = small(layers, RAGGED)
        for key in (k for k in MORE if f"data:{k}'" in repr(layers)):
            found[name]["streams"][key], found[name]["lengths"][key] = MORE[key]
    for frames in (4, 5, 7):
        found[f"apart_{frames}"] = small(APART, {k: [frames] * 2 for k in EVEN})
    return {f"dialect_{k}": v for k, v in (found | _of_dims()).items()}


def _of_dims() -> dict[str, Net]:
    found: dict[str, Net] = {}
    more = {"more": {"dim_tags": [BATCH, OTHER, IN_DIM]}}
    for name, layers in DIMS.items():
        outputs = tuple(layers)
        net = {k: {**v, "is_output_layer": True} for k, v in layers.items()}
        streams: Net = {"data": {"dim_tags": [BATCH, TIME, IN_DIM]}}
        lengths = {"data": [5, 5]}
        if name == "two_times":
            streams, lengths = streams | more, {"data": [5, 2], "more": [3, 4]}
        found[name] = {"net": net, "streams": streams, "lengths": lengths, "outputs": outputs}
    return found
