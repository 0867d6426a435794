"""Networks of one or two layers with their options, for RETURNN: see `returnn_cases`."""

from __future__ import annotations

from typing import Any

from returnn_lite.dim import FeatureDim

Net = dict[str, Any]

STREAMS: Net = {
    "data": {"dim": 4},
    "dense": {"dim": 3, "same_dim_tags_as": {"t": "data"}},
    "classes": {"dim": 3, "sparse": True, "same_dim_tags_as": {"t": "data"}},
    "labels": {"dim": 3, "sparse": True},
}
RAGGED = {"data": [5, 2, 4], "dense": [5, 2, 4], "classes": [5, 2, 4], "labels": [3, 1, 2]}
EVEN = {"data": [6, 6], "dense": [6, 6], "classes": [6, 6], "labels": [3, 2]}
CE: Net = {"class": "softmax", "loss": "ce", "target": "classes"}
PLAIN: Net = {"class": "linear", "activation": None, "with_bias": False}
TANH: Net = {"class": "linear", "activation": "tanh", "n_out": 4}
LSTM: Net = {"class": "rec", "unit": "nativelstm2", "n_out": 3}
HEADS: Net = {"class": "split_dims", "axis": "F", "dims": [2, -1]}
COUNT: Net = {"class": "length", "from": "data"}
HALF: Net = {"class": "eval", "eval": "source(0) // 2", "from": "count"}
SIZE = FeatureDim("size", 5)
CLASSES = FeatureDim("found", 3)

# By name: the layers, of which those with a leading "_" are not compared. Without an `output`, it
# is a softmax on the last layer, with a loss.
LAYERS: dict[str, Net] = {
    # linear and softmax
    "embedding": {"embed": {**PLAIN, "n_out": 4, "from": "data:classes"}},
    "transposed": {"x": {**TANH, "use_transposed_weights": True}},
    "joined": {"x": {**TANH, "n_out": 2}, "y": {**TANH, "from": ["x", "data", "data:dense"]}},
    "frozen": {"x": {**TANH, "trainable": False}, "y": {**TANH, "from": "x"}},
    "reused": {"x": TANH, "y": {**TANH, "reuse_params": "x", "from": "x"}},
    "reused_part": {
        "x": TANH,
        "y": {**TANH, "reuse_params": {"map": {"W": "x", "b": None}}, "from": "x"},
    },
    "regularised": {"x": {**TANH, "L2": 0.1}, "y": {**TANH, "from": "x", "L2": 0.3}},
    "on_cpu": {"x": {**TANH, "param_device": "CPU"}},
    "named_scope": {
        "x": {**TANH, "name_scope": "other"},
        "y": {**TANH, "name_scope": "/a/b", "from": "x"},
        "z": {**LSTM, "name_scope": "c/d", "from": "y"},
        "u": {
            "class": "rec",
            "name_scope": "e",
            "unit": {"output": {**TANH, "from": "data:source"}},
            "from": "z",
        },
    },
    "named_scope_of_loops": {
        "x": {"class": "rec", "unit": "nativelstm2", "n_out": 4, "name_scope": "lstm"},
        "y": {
            "class": "rec",
            "from": "x",
            "name_scope": "",
            "unit": {
                "s": {**TANH, "from": ["data:source", "prev:s"], "n_out": 3},
                "output": {"class": "copy", "from": "s"},
            },
        },
    },
    "named_dims": {
        "x": {"class": "linear", "activation": "relu", "out_dim": SIZE, "from": "data"},
        "y": {"class": "reduce", "mode": "sum", "axis": SIZE, "keep_dims": True, "from": "x"},
        "z": {**TANH, "in_dim": SIZE, "from": "x"},
    },
    "named_output": {
        "x": {"class": "softmax", "out_dim": CLASSES, "from": "data"},
        "output": {"class": "copy", "from": "x", "loss": "ce", "target": "classes"},
    },
    "normalised": {"x": {**TANH, "batch_norm": {"masked_time": True}}},
    "initialised": {
        "a": {**TANH, "forward_weights_init": "xavier", "bias_init": 0.1},
        "b": {**TANH, "forward_weights_init": {"class": "VarianceScaling"}, "from": "a"},
        "c": {
            **{**TANH, "from": "b", "bias_init": "constant_initializer(value=-1.0)"},
            "forward_weights_init": "random_normal_initializer(mean=0.0, stddev=0.1)",
        },
        "d": {
            **{**TANH, "from": "c", "bias_init": 0.5},
            "forward_weights_init": (
                "variance_scaling_initializer(mode='fan_avg', distribution='uniform', scale=0.78)"
            ),
        },
        "e": {**TANH, "from": "d", "forward_weights_init": "glorot_uniform"},
    },
    "old_names": {
        "x": {"class": "hidden", "activation": "relu", "n_out": 4, "from": "data"},
        "y": {"class": "forward", "activation": "tanh", "n_out": 3, "from": "x"},
    },
    "softmax_opts": {
        "output": {
            **{**CE, "with_bias": False, "dropout": 0.0, "loss_scale": 0.5, "from": "data"},
            **{"loss_only_on_non_search": True, "trainable": True, "L2": 0.01},
        },
    },
    # elementwise
    "maximum": {"x": {"class": "combine", "kind": "maximum", "from": ["data", "_y"]}, "_y": TANH},
    "minimum": {"x": {"class": "combine", "kind": "minimum", "from": ["data", "_y"]}, "_y": TANH},
    "average": {"x": {"class": "combine", "kind": "average", "from": ["data", "_y"]}, "_y": TANH},
    "floordiv": {
        "_y": {"class": "eval", "eval": "source(0) + 3", "from": "count"},
        "count": COUNT,
        "x": {"class": "combine", "kind": "floordiv", "from": ["_y", "count"]},
        "last": TANH,
    },
    "combine_eval": {
        "_y": TANH,
        "x": {
            **{"class": "combine", "kind": "eval", "eval": "a * source(0) - source(1)"},
            **{"eval_locals": {"a": 2.0}, "from": ["data", "_y"], "n_out": 4},
        },
    },
    "logical": {
        "_a": {"class": "compare", "value": 0.0, "kind": "greater", "from": "data"},
        "_b": {"class": "compare", "value": 1.0, "kind": "less", "from": "data"},
        "and": {"class": "combine", "kind": "logical_and", "from": ["_a", "_b"]},
        "or": {"class": "combine", "kind": "logical_or", "from": ["_a", "_b"]},
        "last": TANH,
    },
    "comparisons": {
        "equal": {"class": "compare", "kind": "equal", "value": 1, "from": "data:classes"},
        "by_default": {"class": "compare", "value": 2, "from": "data:classes"},
        "at_least": {"class": "compare", "kind": "greater_equal", "value": 1, "from": "_n"},
        "at_most": {"class": "compare", "kind": "less_equal", "from": ["data", "_y"]},
        "_y": {"class": "eval", "eval": "source(0) ** 2", "from": "data"},
        "_n": {"class": "reinterpret_data", "set_sparse": False, "from": "data:classes"},
        "last": TANH,
    },
    "broadcast": {
        "_y": {"class": "reduce", "mode": "mean", "axis": "T", "from": "data"},
        "x": {"class": "combine", "kind": "add", "from": ["data", "_y"], "trainable": True},
        "y": {
            **{"class": "combine", "kind": "mul", "from": ["_y", "_z"]},
            "allow_broadcast_all_sources": True,
        },
        "_z": {"class": "reduce", "mode": "sum", "axis": "F", "from": "data"},
        "last": {**TANH, "from": "x"},
    },
    "activations_scaled": {
        "a": {"class": "activation", "activation": "10.0*sigmoid", "from": "data"},
        "b": {"class": "activation", "activation": "negative", "from": "a"},
        "c": {"class": "activation", "activation": "log", "from": "a"},
        "d": {"class": "activation", "activation": "exp", "from": "b", "n_out": 4},
    },
    "eval_with_locals": {
        "x": {
            **{"class": "eval", "eval": "source(0) * scale + offset", "from": "data"},
            "eval_locals": {"scale": 0.5, "offset": 2.0},
        },
        "y": {
            **{"class": "eval", "eval": "tf.cast(tf.round(source(0)), tf.int32)", "from": "x"},
            **{"out_type": {"dtype": "int32"}, "size_target": "classes"},
        },
        "last": {**TANH, "from": "x"},
    },
    "eval_of_data": {
        "x": {
            **{"class": "eval", "from": "data"},
            "eval": "tf.reduce_sum(source(0, auto_convert=False), axis=-1, keepdims=True)",
            "out_type": {"dim": 1, "shape": (None, 1)},
        },
    },
    "eval_of_nothing": {
        "_f": {
            **{"class": "eval", "from": [], "eval": "tf.range(4.0)"},
            "out_type": {"shape": (4,), "batch_dim_axis": None},
        },
        "_b": {
            **{"class": "eval", "from": (), "eval": "tf.convert_to_tensor([3, 1, 2])"},
            "out_type": {"shape": (), "dtype": "int32"},
        },
        "y": {"class": "eval", "from": ["_b"], "eval": "source(0) + 1"},
        "x": {"class": "combine", "kind": "mul", "from": ["data", "_f"]},
    },
    "registered": {
        "x": {**TANH, "register_as_extern_data": "new", "activation": "sigmoid"},
        "output": {
            **{"class": "linear", "activation": "sigmoid", "n_out": 4, "from": "data"},
            **{"loss": "mse", "target": "new"},
        },
    },
    "copies": {
        "_a": {"class": "copy", "from": "data", "n_out": 4, "dropout": 0.0},
        "x": {"class": "copy", "from": ["_a", "data:dense"], "extra_deps": ["_a"]},
    },
    "dropouts": {
        "x": {
            **{"class": "dropout", "dropout": 0.0, "dropout_noise_shape": {"*": None}},
            "from": "data",
        },
        "y": {"class": "dropout", "dropout": 0.0, "dropout_on_forward": True, "from": "x"},
        "z": {"class": "dropout", "dropout": 0.0, "dropout_axis": "T", "from": "y"},
    },
    "gates": {
        "x": {"class": "gating", "activation": "tanh", "from": "data"},
        "_y": {**TANH, "from": "x"},
        "y": {
            **{"class": "gating", "activation": "identity", "gate_activation": "relu"},
            "from": "_y",
        },
    },
    "constants": {
        "x": {"class": "constant", "value": 1.5, "shape": [4], "dtype": "float32"},
        "y": {"class": "constant", "value": 3, "shape": [2], "with_batch_dim": True},
        "_z": {"class": "constant", "value": 2, "dtype": "float32"},
        "z": {"class": "combine", "kind": "add", "from": ["data", "_z"]},
        "last": {"class": "combine", "kind": "mul", "from": ["z", "x"]},
    },
    "switches": {
        "flag": {"class": "train_flag"},
        "x": {"class": "switch", "condition": "flag", "true_from": "data", "false_from": "_y"},
        "_y": TANH,
        "y": {"class": "switch", "condition": "_m", "true_from": 1.0, "false_from": "x"},
        "_m": {"class": "compare", "kind": "less", "value": 0.3, "from": "data"},
        "printed": {"class": "print", "from": "y"},
    },
    "gradients": {
        "_x": {"class": "scaled_grad", "scale": 0.3, "from": "_in"},
        "_in": TANH,
        "x": {**TANH, "from": "_x"},
        "reversed": {"class": "scaled_grad", "scale": -0.5, "from": "x"},
        "stopped": {"class": "scaled_grad", "scale": 0.0, "from": "_in"},
        "last": {"class": "copy", "from": ["reversed", "stopped"]},
    },
}
# The same, of sequences of equal length: RETURNN's windows see what is behind an end.
EVEN_LAYERS: dict[str, Net] = {
    "chunks": {
        "_chunks": {"class": "time_chunking", "chunk_size": 3, "chunk_step": 2, "from": "data"},
        "_fw": {**LSTM, "from": "_chunks"},
        "x": {"class": "time_unchunking", "chunking_layer": "_chunks", "from": "_fw"},
    },
    "conv_default": {
        "x": {"class": "conv", "filter_size": (3,), "padding": "same", "n_out": 3, "from": "data"},
    },
    "conv_opts": {
        "x": {
            **{"class": "conv", "filter_size": (3,), "padding": "valid", "n_out": 3},
            **{"activation": "relu", "with_bias": True, "strides": (1,), "dilation_rate": (2,)},
            **{"forward_weights_init": "glorot_uniform", "dropout": 0.0, "L2": 0.01},
            **{"auto_use_channel_first": True, "trainable": True, "groups": 1, "from": "data"},
        },
        "last": TANH,
    },
    "conv_in_dims": {
        "_x": {**HEADS, "from": "data"},
        "x": {
            **{"class": "conv", "filter_size": (3, 2), "padding": "same", "n_out": 3},
            **{"in_spatial_dims": ["T", "dim:2"], "with_bias": True, "from": "_y"},
        },
        "_y": {"class": "split_dims", "axis": "F", "dims": [2, 1, -1], "from": "_z"},
        "_z": {**TANH, "n_out": 6},
        "last": TANH,
    },
    "pool_opts": {
        "x": {
            **{"class": "pool", "mode": "avg", "pool_size": (2,), "strides": (1,)},
            **{"padding": "same", "in_spatial_dims": ["T"], "from": "data"},
        },
        "y": {"class": "pool", "mode": "max", "pool_size": [2], "padding": "valid", "from": "x"},
        "last": TANH,
    },
    "transposed_conv_opts": {
        "x": {
            **{"class": "transposed_conv", "filter_size": (3,), "strides": (1,), "n_out": 2},
            **{"activation": "tanh", "with_bias": True, "L2": 0.1, "dropout": 0.0},
            **{"padding": "same", "from": "data"},
        },
        "y": {
            **{"class": "transposed_conv", "filter_size": (3,), "strides": (3,), "n_out": 2},
            **{"padding": "valid", "remove_padding": 1, "from": "data", "activation": None},
        },
        "last": TANH,
    },
    "folded": {
        "_w": {"class": "window", "window_size": 3, "stride": 3, "window_right": 2, "from": "data"},
        "_wide": {"class": "merge_dims", "axes": "static", "from": "_w"},
        "x": {**TANH, "from": "_wide"},
        "last": TANH,
    },
}

# Layers whose defaults depend on the behaviour version, by version.
VERSIONS: dict[int, Net] = {
    version: {
        "_c": {"class": "conv", "filter_size": (3,), "padding": "same", "n_out": 4},
        "x": {"class": "batch_norm", "masked_time": True, "from": "_c"},
        "_h": {"class": "split_dims", "axis": "F", "dims": [1, 4], "from": "x"},
        "y": {"class": "merge_dims", "axes": ["F", "dim:1"], "from": "_h"},
        "z": {
            **{**LSTM, "unit": "zoneoutlstm", "from": "x", "direction": 1},
            # In training they are drawn.
            "unit_opts": {"zoneout_factor_output": 0.3 if version == 17 else 0.0},
        },
    }
    for version in (1, 10, 12, 17)
}
VERSIONS[14] = {
    # Of dims of equal size in both sources, those of one Dim go together, and no others.
    "x": {"class": "linear", "activation": None, "out_dim": SIZE, "from": "data"},
    "y": {"class": "linear", "activation": "tanh", "out_dim": SIZE, "from": "data"},
    "z": {"class": "linear", "activation": None, "n_out": 5, "from": "data"},
    "same": {"class": "dot", "reduce": "T", "from": ["x", "y"]},
    "other": {"class": "dot", "reduce": "T", "from": ["x", "z"]},
    "last": {**TANH, "from": "data"},
}


def cases() -> dict[str, Net]:
    """Return the arguments of `returnn_cases.Case` by name."""
    parts = ((LAYERS, RAGGED), (EVEN_LAYERS, EVEN))
    found = {f"layer_{k}": small(v, n) for layers, n in parts for k, v in layers.items()}
    for version, layers in VERSIONS.items():
        more = {"config": {"behavior_version": version}, "train": version != 17}
        found[f"layer_version_{version}"] = small(layers, EVEN) | more
    return found


def small(layers: Net, lengths: dict[str, list[int]]) -> Net:
    """Return the arguments of a case of a few layers."""
    # RETURNN names no scope after a leading underscore.
    net = {new_name(k): renamed(v) for k, v in layers.items()}
    for layer in net.values():
        if layer["class"] not in SOURCELESS:
            layer.setdefault("from", "data")
    compared = [k for k in layers if not k.startswith("_") and k != "output"]
    for name in compared:
        net[name]["is_output_layer"] = True
    net.setdefault("output", {**CE, "from": list(net)[-1]})
    streams = used(net)
    return {
        "net": net,
        "streams": {k: STREAMS[k] for k in streams},
        "lengths": {k: lengths[k] for k in streams},
        "outputs": ("output", *compared),
    }


SOURCELESS = (
    *("constant", "switch", "train_flag", "range", "variable", "search_sorted"),
    "generic_attention",
)


def used(net: Net) -> list[str]:
    """Return the streams that the layers name."""
    text = repr(net)
    return [k for k in STREAMS if k == "data" or f"data:{k}'" in text or f"'{k}'" in text]


def new_name(name: str) -> str:
    """Return a name without a leading underscore."""
    return f"x{name}" if name.startswith("_") else name


def renamed(value: Any) -> Any:
    """Return a layer that names others by their new names."""
    if isinstance(value, dict):
        return {k: renamed(v) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return type(value)(renamed(v) for v in value)
    return new_name(value) if isinstance(value, str) else value
