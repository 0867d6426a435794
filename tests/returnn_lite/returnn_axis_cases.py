"""Axis words, layers of shapes, and positions, one network each, for RETURNN."""

from __future__ import annotations

from typing import Any

from returnn_option_cases import COUNT, EVEN, HALF, HEADS, LSTM, PLAIN, RAGGED, TANH, small

from returnn_lite.dim import FeatureDim, SpatialDim

Net = dict[str, Any]

REDUCE: Net = {"class": "reduce", "mode": "sum"}
SLICE: Net = {"class": "slice", "slice_start": 1}
LAST: Net = {**TANH, "from": "data"}
OTHER: Net = {**PLAIN, "n_out": 4, "from": "data:labels"}
PART = SpatialDim("part", 2)
HALVES = FeatureDim("halves", 2)
WINDOW = SpatialDim("window", 3)


LAYERS: dict[str, Net] = {
    "word_f": {"x": {**REDUCE, "axis": "f", "from": "data"}, "last": LAST},
    "word_t": {"x": {**REDUCE, "axes": "t", "from": "data"}, "last": LAST},
    "word_bt": {
        "x": {**REDUCE, "mode": "mean", "axes": "bt", "from": "data"},
        "last": LAST,
    },
    "word_static": {
        "_h": HEADS,
        "x": {**REDUCE, "axes": "static", "from": "_h"},
        "y": {**REDUCE, "axes": "static:-1", "mode": "max", "from": "_h"},
        "z": {**REDUCE, "axes": "static:-2", "mode": "mean", "from": "_h"},
        "last": LAST,
    },
    "word_spatial": {
        "_h": HEADS,
        "x": {**REDUCE, "axes": "s:1", "from": "_h"},
        "y": {**REDUCE, "axes": "spatial", "mode": "max", "from": "_h"},
        "last": LAST,
    },
    "word_stag": {
        "x": {**REDUCE, "mode": "mean", "axis": "stag:extern_data:data", "from": "data"},
        "_e": {**OTHER, "activation": "tanh"},
        "y": {**REDUCE, "mode": "logsumexp", "axis": "stag:extern_data:labels", "from": "_e"},
        "last": LAST,
    },
    "word_dim": {
        "_h": HEADS,
        "x": {"class": "split_dims", "axis": "F", "dims": [1, 4], "from": "data"},
        "y": {"class": "squeeze", "axis": "dim:1", "from": "x"},
        "z": {**REDUCE, "axis": "dim:4", "from": "y"},
        "last": {**TANH, "from": "y"},
    },
    "word_except": {
        "_h": HEADS,
        "x": {**REDUCE, "axes": "except_batch", "from": "_h"},
        "y": {**REDUCE, "axes": "except_time", "mode": "max", "from": "_h"},
        "last": LAST,
    },
    "word_list": {
        "_h": HEADS,
        "x": {**REDUCE, "axes": ["T", "F"], "mode": "mean", "from": "_h"},
        "y": {"class": "merge_dims", "axes": ["s:1", "F"], "from": "_h"},
        "last": {**TANH, "from": "y"},
    },
    "word_dim_object": {
        "_h": {"class": "split_dims", "axis": "F", "dims": [PART, HALVES], "from": "data"},
        "x": {**REDUCE, "axis": PART, "from": "_h"},
        "y": {"class": "softmax_over_spatial", "axis": PART, "from": "_h"},
        "z": {"class": "dot", "reduce": PART, "from": ["_h", "y"], "var1": "auto", "var2": "auto"},
        "last": LAST,
    },
    "dot_positions": {
        "_a": HEADS,
        "_b": {**HEADS, "from": "_c"},
        "_c": TANH,
        "x": {
            **{"class": "dot", "red1": "static:-1", "red2": "static:-1", "from": ["_a", "_b"]},
            **{"var1": "static:0", "var2": "static:0"},
        },
        "y": {
            **{"class": "dot", "red1": 3, "red2": 3, "var1": 2, "var2": 2, "from": ["_a", "_b"]},
            "debug": True,
        },
        "last": {"class": "merge_dims", "axes": "static", "from": "x"},
    },
    "dot_times": {
        "_q": {**TANH, "n_out": 4},
        "_k": OTHER,
        "x": {
            **{"class": "dot", "red1": "F", "red2": "F", "var1": "T", "var2": "T"},
            "from": ["_q", "_k"],
        },
        "_w": {"class": "softmax_over_spatial", "axis": "stag:extern_data:labels", "from": "x"},
        "last": {
            **{"class": "dot", "reduce": "stag:extern_data:labels", "from": ["_w", "_k"]},
            **{"var1": "auto", "var2": "auto"},
        },
    },
    "dot_vectors": {
        "_m": {**REDUCE, "mode": "mean", "axis": "T", "from": "data"},
        "_n": {**REDUCE, "mode": "max", "axis": "T", "from": "data"},
        "x": {"class": "dot", "reduce": "F", "from": ["data", "_m"], "var1": "T", "var2": None},
        "y": {
            **{"class": "dot", "reduce": "F", "from": ["_m", "_n"], "var1": None, "var2": None},
            "add_var2_if_empty": False,
        },
        "last": LAST,
    },
    "softmax_over_words": {
        "_h": HEADS,
        "x": {"class": "softmax_over_spatial", "axis": "T", "energy_factor": 0.5, "from": "data"},
        "y": {"class": "softmax_over_spatial", "axis": "s:1", "from": "_h"},
        "z": {"class": "softmax_over_spatial", "axis": "F", "from": "data", "log_space": True},
        "last": {**TANH, "from": "x"},
    },
    "softmax_without_mask": {
        "x": {"class": "softmax_over_spatial", "use_time_mask": True, "from": "data"},
        "last": {**TANH, "from": "x"},
    },
    "attention_of_heads": {
        "_w": {"class": "softmax_over_spatial", "axis": "T", "from": "_e"},
        "_e": {**TANH, "n_out": 2},
        "_v": HEADS,
        "x": {"class": "generic_attention", "weights": "_w", "base": "_v", "auto_squeeze": False},
        "_one": {**TANH, "n_out": 1},
        "_w1": {"class": "softmax_over_spatial", "from": "_one"},
        "y": {"class": "generic_attention", "weights": "_w1", "base": "data", "auto_squeeze": True},
        "last": LAST,
    },
    "attention_dot": {
        "_q": {**REDUCE, "mode": "mean", "axis": "T", "from": "_k"},
        "_k": TANH,
        "x": {
            **{"class": "dot_attention", "from": "_q", "base": "data", "base_ctx": "_k"},
            **{"n_out": 4, "energy_factor": 0.7},
        },
        "last": LAST,
    },
    "ranges": {
        "y": {"class": "range_in_axis", "axis": "T", "keepdims": False, "from": "data"},
        "z": {"class": "range_in_axis", "axis": "F", "from": "data"},
        "_r": {"class": "range", "limit": 9, "start": 1, "delta": 2},
        "_s": {"class": "cast", "dtype": "float32", "from": "_r"},
        "w": {"class": "combine", "kind": "add", "from": ["data", "_s"]},
        "_l": {"class": "range_from_length", "from": "count"},
        "_m": {"class": "cast", "dtype": "float32", "from": "_l"},
        "v": {"class": "combine", "kind": "add", "from": ["_m", "_o"]},
        "_o": {**REDUCE, "axis": "T", "mode": "mean", "from": "data"},
        "count": COUNT,
        "last": LAST,
    },
    "lengths": {
        "x": {"class": "length", "from": "data", "dtype": "float32"},
        "y": {"class": "length", "from": "data:labels", "axis": "T"},
        "z": {"class": "length", "from": "data", "add_time_axis": True},
        "w": {"class": "length", "from": "data", "sparse": True},
        "last": LAST,
    },
    "transposed_axes": {
        "_h": HEADS,
        "x": {"class": "transpose", "perm": {"static:0": "F", "F": "static:0"}, "from": "_h"},
        "y": {"class": "swap_axes", "axis1": "static:0", "axis2": "static:1", "from": "_h"},
        "last": LAST,
    },
    "tiled": {
        "x": {"class": "tile", "multiples": {"F": 3}, "from": "data"},
        "last": {**TANH, "from": "x"},
    },
    "split_parts": {
        "_s": {"class": "split", "axis": "F", "num_splits": 2, "from": "data"},
        "x": {"class": "copy", "from": "_s/0"},
        "y": {"class": "copy", "from": "_s/1"},
        "_n": {
            **{"class": "split", "axis": "F", "from": "data"},
            "out_dims": [FeatureDim("one", 1), FeatureDim("three", 3)],
        },
        "z": {"class": "copy", "from": "_n/1"},
        "last": {"class": "combine", "kind": "mul", "from": ["_s/0", "y"]},
    },
    "window_dim": {
        "_w": {"class": "window", "window_dim": WINDOW, "window_size": 3, "from": "_z"},
        "_z": {"class": "seq_len_mask", "axis": "T", "mask_value": 0.0, "from": "data"},
        "x": {**REDUCE, "axis": WINDOW, "from": "_w"},
        "last": {**TANH, "from": "x"},
    },
    "slices": {
        "x": {**SLICE, "axis": "F", "slice_end": -1, "from": "data"},
        "y": {**SLICE, "axis": "T", "slice_step": 2, "from": "data", "trainable": False},
        "z": {"class": "slice", "axis": "s:0", "slice_end": 1, "from": "data"},
        "last": LAST,
    },
    "slice_nd_size": {
        "_half": {**HALF, "from": "count"},
        "count": COUNT,
        "x": {"class": "slice_nd", "axis": "T", "start": "_half", "size": 2, "from": "data"},
        "last": LAST,
    },
    "gathered": {
        "_half": {**HALF, "from": "count"},
        "count": COUNT,
        "x": {"class": "gather", "position": "_half", "axis": "T", "from": "data"},
        "y": {"class": "gather", "position": 2, "axis": "F", "from": "data"},
        "last": LAST,
    },
    "repeated": {
        "x": {"class": "repeat", "repetitions": 2, "axis": "T", "from": "data"},
        "y": {**LSTM, "from": "x"},
        "last": LAST,
    },
    "shifted": {
        "x": {
            **{"class": "shift_axis", "axis": "T", "amount": 1, "pad": True, "from": "data"},
            **{"pad_value": 0, "adjust_size_info": False},
        },
        "last": {**TANH, "from": "x"},
    },
    "sorted": {
        "_q": {"class": "eval", "eval": "source(0) * 3.0", "from": "_m"},
        "_m": {**REDUCE, "axis": "F", "from": "data"},
        "_o": {"class": "eval", "eval": "1.0 + 0.0 * source(0)", "from": "_m"},
        "_s": {"class": "cumsum", "axis": "T", "from": "_o"},
        "_v": {**REDUCE, "mode": "max", "axis": "F", "from": "_w"},
        "_w": {**OTHER, "activation": "relu"},
        "x": {
            **{"class": "search_sorted", "axis": "T", "sorted_sequence": "_s", "values": "_v"},
            "side": "right",
        },
        "last": LAST,
    },
    "best": {
        "x": {"class": "top_k", "axis": "F", "k": 2, "sorted": True, "from": "data"},
        "y": {"class": "copy", "from": "x/indices"},
        "last": LAST,
    },
    "summed": {
        "x": {"class": "cumsum", "axis": "T", "from": "data", "n_out": 4},
        "last": {**TANH, "from": "x"},
    },
    "masked_sequence": {
        "_half": {**HALF, "from": "count"},
        "count": COUNT,
        "x": {"class": "seq_len_mask", "axis": "T", "mask_value": -2.0, "from": "data"},
        "last": {**TANH, "from": "x"},
    },
    "reinterpreted": {
        "x": {"class": "reinterpret_data", "enforce_batch_major": True, "from": "_fw"},
        "_fw": LSTM,
        "y": {"class": "reinterpret_data", "enforce_time_major": True, "from": "data"},
        "last": {**TANH, "from": "x"},
    },
    "squeezed": {
        "_one": {**TANH, "n_out": 1},
        "x": {"class": "squeeze", "axis": "F", "from": "_one"},
        "y": {"class": "squeeze", "axis": "dim:1", "from": "_one", "allow_no_op": True},
        "z": {"class": "expand_dims", "axis": "F", "dim": 2, "from": "x"},
        "last": LAST,
    },
    "accumulated": {
        "x": {"class": "accumulate_mean", "exp_average": 0.1, "axes": "bt", "from": "data"},
        "last": LAST,
    },
    "normalised_layer": {
        "x": {"class": "layer_norm", "from": "data"},
        "last": {**TANH, "from": "x"},
    },
    "encoded_positions": {
        "x": {"class": "positional_encoding", "from": "data", "n_out": 6},
        "y": {"class": "positional_encoding", "add_to_input": True, "from": "data"},
        "_half": {**HALF, "from": "count"},
        "count": COUNT,
        "last": {**TANH, "from": "y"},
    },
    "fixed_relative_positions": {
        "x": {
            **{"class": "relative_positional_encoding", "from": "data", "n_out": 4},
            **{"fixed": True, "clipping": 2},
        },
        "last": LAST,
    },
}
EVEN_LAYERS: dict[str, Net] = {
    "word_b": {"x": {**REDUCE, "mode": "max", "axis": "B", "from": "data"}, "last": LAST},
    "padded": {
        "x": {"class": "pad", "axes": "T", "padding": (1, 1), "mode": "reflect", "from": "data"},
        "y": {"class": "pad", "axes": "T", "padding": (2, 0), "value": 1.0, "from": "data"},
        "last": LAST,
    },
}

SQUARES: dict[str, Net] = {
    "unflattened": {
        "_s": {"class": "constant", "value": 2, "shape": [2], "with_batch_dim": True},
        "x": {"class": "unflatten_nd", "sizes": "_s", "num_axes": 2, "from": "data"},
        "last": LAST,
    },
}


def cases() -> dict[str, Net]:
    """Return the arguments of `returnn_cases.Case` by name."""
    squares = {key: [4, 4] for key in EVEN}
    parts = ((LAYERS, RAGGED), (EVEN_LAYERS, EVEN), (SQUARES, squares))
    return {f"axis_{k}": small(v, n) for layers, n in parts for k, v in layers.items()}
