"""Networks in which layers meet as in published setups, for RETURNN: see `returnn_cases`."""

from __future__ import annotations

from typing import Any

from returnn_option_cases import CE, COUNT, EVEN, HALF, LSTM, PLAIN, RAGGED, TANH, small

from returnn_lite.dim import BATCH, FeatureDim, SpatialDim

Net = dict[str, Any]

IN: Net = {**TANH, "from": "data:source"}
LAST: Net = {**TANH, "from": "data"}
SUM: Net = {"class": "combine", "kind": "add"}
REDUCE: Net = {"class": "reduce", "mode": "mean", "axis": "T"}
INNER = FeatureDim("inner", 5)
HEAD = SpatialDim("head", 2)
KEY = FeatureDim("key", 3)
HISTORY = SpatialDim("history")
ATTENTION: Net = {"class": "self_attention", "num_heads": 2, "total_key_dim": 4, "n_out": 4}


def _loop(**unit: Net) -> Net:
    return {"class": "rec", "from": "data", "unit": unit}


LAYERS: dict[str, Net] = {
    "transformer_block": {
        "_n": {"class": "layer_norm", "from": "data"},
        "_a": {**ATTENTION, "attention_dropout": 0.0, "from": "_n", "trainable": True},
        "_l": {**PLAIN, "n_out": 4, "from": "_a"},
        "x": {**SUM, "from": ["data", "_l"], "trainable": False},
        "_m": {"class": "layer_norm", "from": "x"},
        "_f": {"class": "linear", "activation": "relu", "n_out": 6, "from": "_m"},
        "_g": {**PLAIN, "n_out": 4, "from": "_f"},
        "y": {**SUM, "from": ["x", "_g"], "n_out": 4},
    },
    "transformer_in_a_loop": {
        "x": _loop(
            n={"class": "layer_norm", "from": ["data:source"]},
            a={**ATTENTION, "attention_left_only": True, "from": "n"},
            output={**SUM, "from": ["a", "data:source"]},
        )
    },
    "glu": {
        "_x": {"class": "linear", "activation": "swish", "n_out": 8, "from": "data"},
        "x": {"class": "gating", "activation": "identity", "from": "_x"},
    },
    "maxout": {
        "_x": {"class": "linear", "activation": None, "n_out": 6, "from": "data"},
        "x": {"class": "reduce_out", "mode": "max", "num_pieces": 2, "from": "_x"},
    },
    "statistics": {
        "_m": {**REDUCE, "from": "data"},
        "_d": {"class": "combine", "kind": "sub", "from": ["data", "_m"]},
        "_v": {"class": "eval", "eval": "source(0) ** 2", "from": "_d"},
        "_s": {**REDUCE, "from": "_v"},
        "x": {
            **{"class": "eval", "eval": "source(0) * tf.math.rsqrt(source(1) + 1e-3)"},
            "from": ["_d", "_s"],
        },
    },
    "merged_frames": {
        "_w": {"class": "window", "window_size": 2, "window_right": 1, "stride": 2, "from": "_z"},
        "_z": {"class": "seq_len_mask", "axis": "T", "mask_value": 0.0, "from": "data"},
        "_m": {"class": "merge_dims", "axes": "static", "from": "_w"},
        "x": {**LSTM, "from": "_m"},
        "last": LAST,
    },
    "dims_of_heads": {
        "_q": {"class": "linear", "activation": None, "n_out": 6, "from": "data"},
        "_h": {"class": "split_dims", "axis": "F", "dims": [HEAD, KEY], "from": "_q"},
        # The labels of a sequence are all the same here, so that only places make a difference.
        "_l": {**PLAIN, "n_out": 6, "from": "data:labels"},
        "_k": {"class": "positional_encoding", "add_to_input": True, "from": "_l"},
        "_j": {"class": "split_dims", "axis": "F", "dims": [HEAD, KEY], "from": "_k"},
        "_e": {
            **{"class": "dot", "reduce": KEY, "from": ["_h", "_j"]},
            **{"var1": "auto", "var2": "auto"},
        },
        "_w": {"class": "softmax_over_spatial", "axis": "stag:extern_data:labels", "from": "_e"},
        "_a": {
            **{"class": "dot", "reduce": "stag:extern_data:labels", "from": ["_w", "_j"]},
            **{"var1": "auto", "var2": "auto"},
        },
        "x": {"class": "merge_dims", "axes": [HEAD, KEY], "keep_order": True, "from": "_a"},
    },
    "dims_in_out_shape": {
        "_a": {"class": "linear", "activation": "relu", "out_dim": INNER, "from": "data"},
        "x": {"class": "reduce", "mode": "max", "axis": "T", "from": "_a"},
        "y": {**SUM, "from": ["_a", "x"]},
    },
    "norm_without_scale": {
        "x": {
            **{"class": "batch_norm", "use_std": False, "use_shift": False, "from": "data"},
            **{"masked_time": True, "momentum": 0.1, "epsilon": 1e-5, "param_version": 2},
            **{"update_sample_only_in_training": True, "delay_sample_update": False},
        },
    },
    "norm_as_option": {
        "x": {
            **{"class": "activation", "activation": "relu", "from": "data"},
            "batch_norm": {"masked_time": True, "epsilon": 0.01},
        }
    },
    "subnetwork_of_two": {
        "_s": {
            **{"class": "subnetwork", "from": ["data"]},
            "subnetwork": {
                "a": {**TANH, "from": "data"},
                "b": {**TANH, "from": ["a", "base:data:dense"]},
                "output": {**SUM, "from": ["a", "b"]},
            },
        },
        "x": {"class": "copy", "from": "_s/b"},
        "last": {"class": "copy", "from": ["_s", "x"]},
    },
    "subnetwork_with_loss": {
        "s": {
            **{"class": "subnetwork", "from": ["data"], "is_output_layer": True},
            "subnetwork": {
                "aux": {**CE, "from": "h"},
                "h": {**TANH, "from": "data"},
                "output": {**TANH, "from": "h"},
            },
        },
    },
    "nested_subnetworks": {
        "x": {
            **{"class": "subnetwork", "from": "data"},
            "subnetwork": {
                "a": {
                    **{"class": "subnetwork", "from": "data"},
                    "subnetwork": {
                        "output": {**TANH, "from": ["data", "base:base:data:dense"]},
                    },
                },
                "output": {**TANH, "from": "a"},
            },
        },
    },
    "rec_in_a_subnetwork_in_a_loop": {
        "x": _loop(
            s={
                **{"class": "subnetwork", "from": ["data:source", "prev:output"]},
                "subnetwork": {
                    "r": {**LSTM, "from": "data"},
                    "output": {**TANH, "from": "r"},
                },
            },
            output={"class": "copy", "from": "s"},
        )
    },
    "loop_over_labels": {
        "_e": LSTM,
        "_l": {"class": "get_last_hidden_state", "from": "_e", "key": "h", "n_out": 3},
        "_d": {
            **{"class": "rec", "from": [], "target": "labels", "cheating": False},
            "unit": {
                "o": {
                    **{"class": "choice", "target": "labels", "beam_size": 2, "from": "p"},
                    "initial_output": 0,
                },
                "e": {**PLAIN, "n_out": 2, "from": "prev:o", "initial_output": 0},
                "s": {**LSTM, "from": ["e", "base:x_l"]},
                "p": {**CE, "target": "labels", "from": ["s", "e"]},
                "output": {"class": "copy", "from": "s"},
            },
        },
        "x": {"class": "copy", "from": "_d"},
        "last": LAST,
    },
    "loop_of_scheduled_context": {
        "_keys": {**TANH, "from": "data:labels"},
        "x": _loop(
            q=IN,
            e={
                **{"class": "dot", "red1": "F", "red2": "F", "from": ["base:x_keys", "q"]},
                **{"var1": "T", "var2": "T?"},
            },
            w={"class": "softmax_over_spatial", "from": "e", "energy_factor": 0.5},
            c={"class": "generic_attention", "weights": "w", "base": "base:x_keys"},
            output={**TANH, "from": ["c", "q", "prev:output"]},
        ),
    },
    "loop_with_history": {
        "x": _loop(
            k=IN,
            h={"class": "cum_concat", "from": "k", "out_spatial_dim": HISTORY},
            e={
                **{"class": "dot", "reduce": "F", "from": ["h", "k"]},
                **{"var1": "auto", "var2": "auto"},
            },
            w={"class": "softmax_over_spatial", "axis": HISTORY, "from": "e"},
            output={
                **{"class": "dot", "reduce": HISTORY, "from": ["w", "h"]},
                **{"var1": "auto", "var2": "auto"},
            },
        ),
    },
    "loop_with_unstacked_input": {
        "_m": TANH,
        "x": {
            **{"class": "rec", "from": []},
            "unit": {
                "a": {
                    **{"class": "rec_unstack", "from": "base:x_m", "axis": "T"},
                    "declare_rec_time": True,
                },
                "b": {"class": "rec_unstack", "from": "base:data:dense", "axis": "T"},
                "output": {**TANH, "from": ["a", "b", "prev:output"]},
            },
        },
    },
    "unit_of_the_targets_size": {
        "_x": {"class": "rec", "unit": "nativelstm2", "target": "classes", "from": "data"},
        "x": {"class": "activation", "activation": "tanh", "from": "_x"},
        "last": {**TANH, "from": "x"},
    },
    "loop_of_conditions": {
        "x": _loop(
            i={"class": "compare", "kind": "less", "value": 2, "from": ":i"},
            s={
                **{"class": "switch", "condition": "i", "true_from": "a"},
                "false_from": "prev:output",
            },
            a=IN,
            output={**TANH, "from": "s"},
        )
    },
    "loop_that_reads_states": {
        "x": _loop(
            s={**LSTM, "from": ["data:source", "prev:c"]},
            c={"class": "get_last_hidden_state", "from": "s", "key": "c", "n_out": 3},
            output={**TANH, "from": ["s", "c"]},
        )
    },
    "loop_with_window": {
        "x": _loop(
            a=IN,
            w={"class": "window", "window_size": 2, "window_right": 0, "from": "a"},
            m={"class": "merge_dims", "axes": "static", "from": "w"},
            output={**TANH, "from": ["m", "prev:output"]},
        )
    },
    "loop_with_embedding": {
        "x": {
            **{"class": "rec", "from": "data:classes"},
            "unit": {
                "e": {**PLAIN, "n_out": 3, "from": "data:source"},
                "r": {**PLAIN, "n_out": 2, "from": "data:source", "trainable": False},
                "output": {**TANH, "from": ["e", "r", "prev:output"]},
            },
        },
        "last": {"class": "copy", "from": "x"},
    },
    "loop_backwards": {
        "_bw": {**LSTM, "direction": -1},
        "x": {
            **{"class": "rec", "from": ["_bw", "data"]},
            "unit": {"output": {**TANH, "from": ["data:source", "prev:output"]}},
        },
    },
    "state_of_a_loop": {
        "_r": _loop(
            s={**LSTM, "from": ["data:source", "prev:output"], "need_last": True},
            output={**TANH, "from": "s"},
        ),
        "x": {"class": "rec_last_output", "rec_layer": "_r", "sub_layer_name": "s"},
        "last": {"class": "copy", "from": "_r"},
    },
    "loss_of_many": {
        "_h": TANH,
        "a": {**CE, "from": "_h", "loss_opts": {"focal_loss_factor": 2.0}},
        "b": {**CE, "from": "_h", "loss_opts": {"label_smoothing": 0.3, "scale": 0.2}},
        "output": {"class": "linear", "activation": None, "n_out": 3, "from": "_h", "loss": "mse"}
        | {"target": "dense", "loss_scale": 0.5},
    },
    "loss_of_a_frame": {
        "_half": {**HALF, "from": "count"},
        "count": COUNT,
        "_x": {"class": "gather", "position": "_half", "axis": "T", "from": "data"},
        "_y": {"class": "linear", "activation": "tanh", "n_out": 1, "from": "_x"},
        "output": {"class": "squeeze", "axis": "F", "from": "_y", "loss": "as_is"},
    },
    "loss_of_positions": {
        "_p": {"class": "softmax", "n_out": 3, "from": "data"},
        "_i": {"class": "reinterpret_data", "set_sparse": False, "from": "data:classes"},
        "_x": {"class": "gather", "position": "data:classes", "axis": "F", "from": "_p"},
        "_l": {"class": "activation", "activation": "safe_log", "from": "_x"},
        "output": {"class": "eval", "eval": "-source(0)", "from": "_l", "loss": "as_is"},
    },
    "loss_with_weights": {
        "_l": {
            **{"class": "loss", "loss_": "ce", "target_": "classes", "from": "_p"},
        },
        "_p": {"class": "softmax", "n_out": 3, "from": "data"},
        "_w": {"class": "linear", "activation": "sigmoid", "n_out": 1, "from": "data"},
        "_v": {"class": "squeeze", "axis": "F", "from": "_w"},
        "output": {"class": "combine", "kind": "mul", "from": ["_l", "_v"], "loss": "as_is"},
    },
    "copies_of_words": {
        "_e": {**PLAIN, "n_out": 3, "from": "data:labels"},
        "_p": {"class": "prefix_in_time", "prefix": 0.0, "from": "_e"},
        "_q": {"class": "postfix_in_time", "postfix": 1.0, "from": "_p"},
        "x": {**LSTM, "from": "_q"},
        "last": LAST,
    },
    "random_dims": {
        "_b": {"class": "constant", "value": 1.0, "shape": [BATCH, KEY]},
        "x": {"class": "eval", "eval": "source(0) * 2.0", "from": "_b"},
        "last": LAST,
    },
}
EVEN_LAYERS: dict[str, Net] = {
    "pooled_and_repeated": {
        "_p": {"class": "pool", "mode": "max", "pool_size": (2,), "padding": "same", "from": "_z"},
        "_z": {"class": "activation", "activation": "relu", "from": "data"},
        "_r": {"class": "repeat", "repetitions": 2, "axis": "T", "from": "_p"},
        "_c": {"class": "reinterpret_data", "size_base": "data", "from": "_r"},
        "x": {**SUM, "from": ["_c", "data"]},
    },
    "conformer_conv": {
        "_n": {"class": "layer_norm", "from": "data"},
        "_p": {"class": "linear", "activation": None, "n_out": 8, "from": "_n"},
        "_g": {"class": "gating", "activation": "identity", "from": "_p"},
        "_d": {
            **{"class": "conv", "filter_size": (3,), "padding": "same", "groups": 4, "n_out": 4},
            **{"with_bias": False, "from": "_g"},
        },
        "_b": {"class": "batch_norm", "masked_time": False, "from": "_d"},
        "_s": {"class": "activation", "activation": "swish", "from": "_b"},
        "x": {**SUM, "from": ["_s", "data"]},
    },
    "resnet_block": {
        "_x": {"class": "split_dims", "axis": "F", "dims": [4, 1], "from": "data"},
        "_c": {
            **{"class": "conv", "filter_size": (3, 3), "padding": "same", "n_out": 2},
            **{"with_bias": False, "from": "_x"},
        },
        "_b": {"class": "batch_norm", "masked_time": False, "from": "_c"},
        "_r": {"class": "activation", "activation": "relu", "from": "_b"},
        "_d": {
            **{"class": "conv", "filter_size": (1, 1), "padding": "same", "n_out": 2},
            **{"with_bias": False, "from": "_x", "strides": (1, 1)},
        },
        "_s": {**SUM, "from": ["_r", "_d"]},
        "_a": {"class": "reduce", "mode": "avg", "axes": "dim:4", "from": "_s"},
        "x": {**TANH, "from": "_a"},
    },
    "upsampled": {
        "_p": {
            "class": "pool",
            "mode": "max",
            "pool_size": (2,),
            "padding": "same",
            "from": "data",
        },
        "_e": {**LSTM, "from": "_p"},
        "_u": {
            **{"class": "transposed_conv", "filter_size": (2,), "strides": (2,), "n_out": 3},
            **{"activation": "relu", "from": "_e"},
        },
        "x": {"class": "reinterpret_data", "size_base": "data", "from": "_u"},
    },
}


def cases() -> dict[str, Net]:
    """Return the arguments of `returnn_cases.Case` by name."""
    parts = ((LAYERS, RAGGED), (EVEN_LAYERS, EVEN))
    return {f"mixed_{k}": small(v, n) for layers, n in parts for k, v in layers.items()}
