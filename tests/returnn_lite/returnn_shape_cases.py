"""Networks of layers of shapes and axes, for the comparison with RETURNN: see returnn_cases."""

from __future__ import annotations

from typing import Any

Net = dict[str, Any]

STREAMS: Net = {
    "data": {"dim": 6},
    "classes": {"dim": 5, "sparse": True, "same_dim_tags_as": {"t": "data"}},
    "labels": {"dim": 4, "sparse": True},
}
RAGGED = {"data": [6, 2, 4], "classes": [6, 2, 4], "labels": [3, 2, 1]}
HEADS: Net = {"class": "split_dims", "axis": "F", "dims": [2, -1], "from": "data"}
COUNT: Net = {"class": "length", "from": "data"}
HALF: Net = {"class": "eval", "eval": "source(0) // 2", "from": "count"}


FLAT: Net = {"class": "reinterpret_data", "set_sparse": False, "from": "data:classes"}
# What lies behind a sequence is part of RETURNN's windows and sums.
ZEROED: Net = {"class": "seq_len_mask", "axis": "T", "mask_value": 0.0, "from": "data"}
WINDOW: Net = {"class": "window", "from": "_zeroed"}
REDUCE: Net = {"class": "reduce", "from": "data"}
# The layers by case; all but those with a leading "_" are compared.
LAYERS: dict[str, Net] = {
    "split_and_merge": {
        "_heads": HEADS,
        "split": {**HEADS, "dims": [3, 2]},
        "chunks": {**HEADS, "axis": "T", "dims": [-1, 1]},
        "static": {"class": "merge_dims", "axes": "static", "from": "_heads"},
        "except_time": {"class": "merge_dims", "axes": "except_time", "from": "_heads"},
        "except_batch": {"class": "merge_dims", "axes": ["T", "static:0"], "from": "_heads"},
        "ordered": {
            "class": "merge_dims",
            "axes": ["F", "s:1"],
            "keep_order": True,
            "from": "_heads",
        },
        "position": {"class": "merge_dims", "axes": [2, 3], "n_out": 6, "from": "_heads"},
        "old": {"class": "combine_dims", "axes": ["dim:3", "dim:2"], "from": "_heads"},
        "grown": {"class": "expand_dims", "axis": "spatial", "dim": 2, "from": "data"},
        "grown_f": {"class": "expand_dims", "axis": "F", "dim": 2, "from": "data"},
        "grown_feature": {"class": "expand_dims", "axis": "feature", "from": "data"},
        "grown_end": {"class": "expand_dims", "axis": 3, "from": "data"},
        "_sum": {**REDUCE, "mode": "sum", "axis": "F"},
        "grown_sum": {"class": "expand_dims", "axis": "F", "from": "_sum"},
        "grown_mean": {"class": "expand_dims", "axis": "T", "from": "_mean"},
        "_mean": {**REDUCE, "mode": "mean", "axis": "T"},
        "grown_at": {"class": "expand_dims", "axis": 1, "dim": 3, "from": "data"},
        "_one": {"class": "expand_dims", "axis": "T", "from": "data"},
        "squeezed": {"class": "squeeze", "axis": "s:-1", "from": "_one"},
        "squeezed_auto": {"class": "squeeze", "axis": "auto", "from": "_one"},
        "stacked": {**WINDOW, "window_size": 3, "window_right": 2, "stride": 3},
        "_zeroed": ZEROED,
        "merged_window": {"class": "merge_dims", "axes": "except_time", "from": "stacked"},
    },
    "cut_and_pad": {
        "slice_f": {"class": "slice", "axis": "F", "slice_start": 1, "slice_end": 5},
        "slice_step": {"class": "slice", "axis": "f", "slice_start": 1, "slice_step": 2},
        "slice_s": {"class": "slice", "axis": "T", "slice_end": -1},
        "slice_back": {"class": "slice", "axis": "F", "slice_end": -2},
        "slice_third": {"class": "slice", "axis": "s:0", "slice_step": 3},
        "slice_start": {"class": "slice", "axis": "time", "slice_start": 1},
        "padded": {"class": "pad", "axes": "F", "padding": [1, 2], "value": 3.0},
        "padded_both": {
            "class": "pad",
            "axes": "T",
            "padding": [1, 2],
            "handle_dynamic_dims": True,
        },
        "padded_mirror": {"class": "pad", "axes": "F", "padding": 2, "mode": "reflect"},
        "padded_sym": {"class": "pad", "axes": "F", "padding": 2, "mode": "symmetric"},
        "padded_rep": {"class": "pad", "axes": "F", "padding": [2, 1], "mode": "replication"},
        "prefixed": {"class": "prefix_in_time", "prefix": 2.0, "repeat": 2},
        "postfixed": {"class": "postfix_in_time", "postfix": 2.0, "repeat": 2},
        "postfixed_by": {"class": "postfix_in_time", "postfix": "_mean"},
        "back": {"class": "postfix_in_time", "postfix": 9.0, "from": "slice_s"},
        "back_is_time": {"class": "combine", "kind": "add", "from": ["back", "data"]},
        "shifted_right": {"class": "shift_axis", "axis": "T", "amount": 1},
        "shifted_cut": {
            "class": "shift_axis",
            "axis": "T",
            "amount": 1,
            "adjust_size_info": False,
        },
        "_mean": {**REDUCE, "mode": "mean", "axis": "T"},
    },
    "windows": {
        "_zeroed": ZEROED,
        "same": {**WINDOW, "window_size": 3},
        "left": {**WINDOW, "window_size": 4, "window_left": 1},
        "right": {**WINDOW, "window_size": 4, "window_right": 1, "axis": "T"},
        "valid": {**WINDOW, "window_size": 2, "padding": "valid"},
        "stride": {**WINDOW, "window_size": 3, "stride": 2},
    },
    "positions": {
        "_half": {**HALF, "from": "_count"},
        "_count": COUNT,
        "_zeroed": ZEROED,
        "_flat": FLAT,
        "_places": {"class": "eval", "eval": "source(0) % 2", "from": "_flat"},
        "gather": {"class": "gather", "position": "_half", "axis": "T", "from": "data"},
        "gather_f": {"class": "gather", "position": "data:classes", "axis": "F"},
        "gather_at": {"class": "gather", "position": 1, "axis": "F"},
        "gather_clip": {
            "class": "gather",
            "position": "_count",
            "axis": "T",
            "clip_to_valid": True,
        },
        "gather_nd": {"class": "gather_nd", "position": "_half"},
        "gather_nd_s": {"class": "gather_nd", "position": "_places"},
        "slice_nd": {"class": "slice_nd", "start": "_half", "size": 3},
        "slice_nd_all": {"class": "slice_nd", "start": "_half", "size": None},
        "slice_nd_by": {"class": "slice_nd", "start": "_half", "size": "_half", "min_size": 1},
        "scatter": {
            "class": "scatter_nd",
            "position": "_places",
            "position_axis": "T",
            "output_dim_via_time_from": "data:labels",
            "from": "_zeroed",
        },
        "top": {"class": "top_k", "axis": "F", "k": 2},
        "top_at": {"class": "copy", "from": "top/indices"},
        "_sorted": {"class": "cumsum", "axis": "T", "from": "_ones"},
        "_ones": {"class": "eval", "eval": "1.0 + 0.0 * source(0)", "from": "_sum"},
        "_sum": {**REDUCE, "mode": "sum", "axis": "F"},
        "_values": {**REDUCE, "mode": "logsumexp", "axis": "T"},
        "searched": {
            "class": "search_sorted",
            "axis": "T",
            "sorted_sequence": "_sorted",
            "values": "_values",
        },
    },
    "reductions": {
        "_heads": HEADS,
        **{m: {**REDUCE, "mode": m, "axis": "T"} for m in ("sum", "mean", "max", "min")},
        "lse": {**REDUCE, "mode": "logsumexp", "axes": "T"},
        "avg": {**REDUCE, "mode": "avg", "axes": ["T", "F"]},
        "avg_f": {**REDUCE, "mode": "avg", "axes": "F", "keep_dims": True},
        "avg_t": {**REDUCE, "mode": "avg", "axes": "T", "keep_dims": True},
        "argmax": {**REDUCE, "mode": "argmax", "axis": "F"},
        "argmax_t": {**REDUCE, "mode": "argmax", "axis": "T"},
        "argmin": {**REDUCE, "mode": "argmin", "axes": "F"},
        "heads": {**REDUCE, "mode": "sum", "axis": "F", "from": "_heads"},
        "heads_spatial": {**REDUCE, "mode": "max", "axes": "spatial", "from": "_heads"},
        "heads_at": {**REDUCE, "mode": "sum", "axis": -1, "from": "_heads"},
        "batch": {**REDUCE, "mode": "mean", "axis": "BT"},
        "positive": {"class": "compare", "kind": "greater", "value": 0, "from": "data"},
        "any": {"class": "reduce", "mode": "any", "axis": "T", "from": "positive"},
        "all": {"class": "reduce", "mode": "all", "axis": "T", "from": "positive"},
        "normed": {"class": "combine", "kind": "sub", "from": ["data", "avg_f"]},
        "normed_t": {"class": "combine", "kind": "sub", "from": ["data", "avg_t"]},
        "cumsum": {"class": "cumsum", "axis": "T"},
        "cumsum_f": {"class": "cumsum", "axis": "F", "reverse": True},
        "cumsum_more": {"class": "cumsum", "additional_left_summand_per_element": 2.0},
    },
    "values": {
        "_count": COUNT,
        "_half": {**HALF, "from": "_count"},
        "constant": {"class": "constant", "value": 2, "with_batch_dim": True},
        "times": {"class": "combine", "kind": "mul", "from": ["data", "_two"]},
        "_two": {"class": "constant", "value": 2.0},
        "cast": {"class": "cast", "dtype": "float32", "from": "data:classes"},
        "mask": {"class": "compare", "kind": "greater", "value": 2, "from": "data:classes"},
        "switch": {
            "class": "switch",
            "condition": "mask",
            "true_from": "data",
            "false_from": 0.5,
        },
        "switch_two": {
            "class": "switch",
            "condition": "mask",
            "true_from": "data",
            "false_from": "times",
        },
        "joined": {"class": "concat", "from": [("data", "F"), ("times", "F")]},
        "_split": {"class": "split", "axis": "F", "size_splits": [2, 4], "from": "data"},
        "part": {"class": "copy", "from": "_split/1"},
        "twice": {"class": "repeat", "repetitions": 2, "axis": "T"},
        "often": {"class": "repeat", "repetitions": "_often", "axis": "T"},
        "_often": {"class": "eval", "eval": "source(0) + 1", "from": "_flat"},
        "_flat": FLAT,
        "_range": {"class": "range_in_axis", "axis": "T", "from": "data"},
        "ranged": {
            "class": "eval",
            "eval": "source(0) + tf.cast(source(1), 'float32')",
            "from": ["data", "_range"],
        },
        "masked": {"class": "seq_len_mask", "axis": "T", "mask_value": -1.0, "start": "_half"},
        "masked_w": {
            "class": "seq_len_mask",
            "axis": "T",
            "mask_value": -1.0,
            "window_start": "_half",
            "window_size": 2,
        },
    },
    "meanings": {
        "_heads": HEADS,
        "sparse": {"class": "reinterpret_data", "set_sparse_dim": 9, "from": "data:classes"},
        "more": {"class": "reinterpret_data", "increase_sparse_dim": 1, "from": "data:classes"},
        "flat": FLAT,
        "sparse_again": {
            "class": "reinterpret_data",
            "set_sparse": True,
            "set_sparse_dim": 5,
            "from": "flat",
        },
        "embedded": {"class": "linear", "n_out": 3, "activation": None, "from": "sparse_again"},
        "features": {"class": "reinterpret_data", "set_axes": {"F": "s:1"}, "from": "_heads"},
        "affine": {"class": "linear", "n_out": 3, "activation": None, "from": "features"},
        "major": {"class": "reinterpret_data", "enforce_time_major": True, "from": "data"},
        "swapped": {"class": "swap_axes", "axis1": "s:1", "axis2": "F", "from": "_heads"},
    },
    "same_lengths": {
        "_chunks": {"class": "split_dims", "axis": "T", "dims": [-1, 2], "from": "data"},
        "chunks": {"class": "merge_dims", "axes": "static", "from": "_chunks"},
        "_back": {"class": "merge_dims", "axes": ["T", "static:0"], "from": "_chunks"},
        "whole": {"class": "reinterpret_data", "size_base": "data", "from": "_back"},
        "sum": {"class": "combine", "kind": "add", "from": ["whole", "data"]},
    },
}


def _steps() -> Net:
    """Return a loop with layers that keep a state over its steps."""
    unit = {
        "x": {"class": "linear", "activation": "tanh", "n_out": 3, "from": "data:source"},
        "window": {"class": "window", "window_size": 3, "window_right": 0, "from": "x"},
        "merged": {"class": "merge_dims", "axes": "static", "from": "window"},
        "sum": {"class": "cumsum", "from": "x"},
        "h": {"class": "linear", "activation": "tanh", "n_out": 3, "from": "merged"},
        "s": {"class": "linear", "activation": "tanh", "n_out": 3, "from": ["prev:s", "h", "sum"]},
        "heads": {"class": "split_dims", "axis": "F", "dims": [3, 1], "from": "s"},
        "one": {"class": "squeeze", "axis": "F", "from": "heads"},
        "output": {"class": "combine", "kind": "add", "from": ["one", "x"]},
    }
    return {"class": "rec", "from": "data", "unit": unit}


def nets() -> dict[str, tuple[Net, tuple[str, ...]]]:
    """Return networks by case, with the layers of each that are compared."""
    found: dict[str, tuple[Net, tuple[str, ...]]] = {}
    for case, layers in LAYERS.items():
        # RETURNN names no scope after a leading underscore.
        names = {n: n.replace("_", "x_", 1) if n.startswith("_") else n for n in layers}
        net = {names[n]: _renamed({"from": "data", **v}, names) for n, v in layers.items()}
        outputs = tuple(n for n in layers if not n.startswith("_"))
        for name in outputs:
            net[name]["is_output_layer"] = True
        for name, layer in net.items():
            if layer["class"] in ("constant", "switch", "train_flag", "search_sorted"):
                del net[name]["from"]
        net["output"] = {"class": "copy", "from": "data"}
        found[f"shapes_{case}"] = net, outputs
    found["shapes_steps"] = {"output": _steps()}, ("output",)
    return found


def _renamed(layer: Net, names: dict[str, str]) -> Net:
    """Return a layer that names others by their new names."""

    def new(value: Any) -> Any:
        if isinstance(value, str):
            head, slash, rest = value.partition("/")
            return names.get(head, head) + slash + rest
        if isinstance(value, list | tuple):
            return type(value)(new(v) for v in value)
        return value

    keys = (
        *("from", "position", "start", "size", "repeat", "postfix", "repetitions"),
        *("condition", "true_from", "false_from", "sorted_sequence", "values", "window_start"),
    )
    return {k: new(v) if k in keys else v for k, v in layer.items()}
