"""Variants of layers and of where they stand, for RETURNN: see `returnn_cases`."""

from __future__ import annotations

from typing import Any

from returnn_option_cases import COUNT, HALF, LSTM, RAGGED, TANH, small

from returnn_lite.dim import FeatureDim, SpatialDim

Net = dict[str, Any]

IN: Net = {**TANH, "from": "data:source"}
LAST: Net = {**TANH, "from": "data"}
OUT = FeatureDim("out", 6)


def looped(**unit: Net) -> Net:
    """Return a loop over the frames of the data."""
    return {"class": "rec", "from": "data", "unit": unit}


LAYERS: dict[str, Net] = {
    "copy_init": {
        "x": looped(
            a={**IN, "from": ["data:source", "prev:c"]},
            c={"class": "copy", "from": ["a", "prev:d"], "initial_output": 0.5},
            d={"class": "eval", "eval": "source(0)*0.5", "from": "a", "initial_output": "zeros"},
            output={"class": "copy", "from": "c"},
        )
    },
    "eval_acc": {
        "x": looped(
            a={**IN},
            acc={
                "class": "eval",
                "eval": "0.5*source(0)+source(1)",
                "from": ["prev:acc", "a"],
                "initial_output": 1.0,
            },
            output={"class": "copy", "from": "acc", "dropout": 0.0},
        )
    },
    "act_out_type": {
        "x": {"class": "activation", "activation": "relu", "from": "data", "out_type": {"dim": 4}}
    },
    "lin_out_type": {
        "x": {
            "class": "linear",
            "activation": None,
            "n_out": 4,
            "from": "data",
            "out_type": {"dim": 4, "dtype": "float32"},
        }
    },
    "masked_reg": {
        "_m": {"class": "compare", "kind": "not_equal", "value": 0, "from": "data:classes"},
        "x": {
            "class": "masked_computation",
            "mask": "_m",
            "from": "data",
            "unit": {"class": "copy", "from": "data"},
            "register_as_extern_data": "short",
        },
        "y": {**LSTM, "from": "data:short"},
        "last": LAST,
    },
    "slice_reg": {
        "x": {
            "class": "slice",
            "axis": "T",
            "slice_end": -1,
            "from": "data",
            "register_as_extern_data": "cut",
        },
        "y": {**LSTM, "from": "data:cut"},
        "last": LAST,
    },
    "rec_out_dim": {
        "x": {"class": "rec", "unit": "nativelstm2", "out_dim": OUT, "from": "data"},
        "y": {"class": "linear", "activation": "tanh", "n_out": 3, "in_dim": OUT, "from": "x"},
    },
    "subnet_init": {
        "x": looped(
            s={
                "class": "subnetwork",
                "from": ["data:source"],
                "subnetwork": {
                    "a": {**TANH, "from": ["data", "prev:a"], "initial_output": 1.0},
                    "output": {"class": "copy", "from": "a"},
                },
            },
            output={**TANH, "from": ["s", "prev:s"]},
        )
    },
    "posenc_off": {
        "_half": HALF,
        "count": COUNT,
        "x": {"class": "positional_encoding", "n_out": 6, "offset": "_half", "from": "data"},
        "y": {"class": "positional_encoding", "n_out": 4, "constant": 3, "from": "data"},
        "last": LAST,
    },
    "scatter_f": {
        "_flat": {"class": "reinterpret_data", "set_sparse": False, "from": "_p"},
        "_p": {"class": "eval", "eval": "source(0)*4", "from": "data:classes"},
        "_z": {"class": "seq_len_mask", "axis": "T", "mask_value": 0.0, "from": "data"},
        "x": {
            "class": "scatter_nd",
            "position": "_flat",
            "position_axis": "T",
            "from": "_z",
            "output_dim_via_time_from": "data:labels",
            "filter_invalid_indices": True,
        },
        "last": LAST,
    },
    "var_cond": {
        "_f": {"class": "train_flag"},
        "x": {
            "class": "cond",
            "condition": "_f",
            "true_layer": {"class": "linear", "activation": "relu", "n_out": 4, "from": "data"},
            "false_layer": {"class": "copy", "from": "data"},
        },
    },
    "concat_t": {
        "x": {
            "class": "concat",
            "from": [("data", "F"), ("data:dense", "F")],
            "out_dim": FeatureDim("both", 7),
        },
        "last": {**TANH, "from": "x"},
    },
    "repeat_loss": {
        "x": {"class": "repeat", "repetitions": 3, "axis": "F", "from": "data"},
        "last": {**TANH, "from": "x"},
    },
    "topk_dim": {
        "x": {
            "class": "top_k",
            "axis": "F",
            "k": 2,
            "k_dim": SpatialDim("best", 2),
            "from": "data",
        },
        "last": LAST,
    },
    "dot_times": {
        "x": {
            "class": "dot",
            "red1": "F",
            "red2": "F",
            "var1": "T",
            "var2": "T",
            "from": ["data", "_c"],
        },
        "_c": TANH,
        "last": LAST,
    },
    "tconv_dims": {
        "x": {
            "class": "transposed_conv",
            "filter_size": (2,),
            "strides": (2,),
            "n_out": 3,
            "activation": "relu",
            "in_spatial_dims": ["T"],
            "out_dim": FeatureDim("tc", 3),
            "from": "data",
        },
        "last": LAST,
    },
    "lossscale": {
        "_p": {"class": "softmax", "n_out": 3, "from": "data"},
        "l": {
            "class": "loss",
            "loss_": "ce",
            "target_": "classes",
            "from": "_p",
            "loss": "as_is",
            "loss_scale": 0.2,
        },
        "last": LAST,
    },
    "sqz_loss_scale": {
        "_x": {"class": "linear", "activation": "sigmoid", "n_out": 1, "from": "data"},
        "x": {
            "class": "squeeze",
            "axis": "F",
            "from": "_x",
            "loss": "as_is",
            "loss_scale": 0.3,
            "register_as_extern_data": "sq",
        },
        "y": {"class": "eval", "eval": "source(0)*2.0", "from": "data:sq"},
        "last": LAST,
    },
    "window_even": {
        "_z": {"class": "seq_len_mask", "axis": "T", "mask_value": 0.0, "from": "data"},
        "x": {"class": "window", "window_size": 4, "from": "_z"},
        "y": {"class": "window", "window_size": 5, "stride": 3, "window_left": 1, "from": "_z"},
        "last": LAST,
    },
    "avg_mask": {
        "x": {
            "class": "reduce",
            "mode": "mean",
            "axis": "T",
            "use_time_mask": True,
            "from": "data",
        },
        "y": {"class": "reduce", "mode": "max", "axes": ["F"], "keep_dims": True, "from": "data"},
        "last": LAST,
    },
    "layernorm_cell": {
        "x": looped(
            a={
                "class": "rnn_cell",
                "unit": "layernormvariantslstm",
                "n_out": 3,
                "unit_opts": {"global_norm": False, "per_gate_norm": True, "cell_norm": True},
                "from": "data:source",
            },
            output={"class": "copy", "from": "a"},
        )
    },
    "relpos_att": {
        "_e": {"class": "relative_positional_encoding", "n_out": 2, "from": "data", "clipping": 3},
        "x": {
            "class": "self_attention",
            "num_heads": 2,
            "total_key_dim": 4,
            "n_out": 4,
            "key_shift": "_e",
            "attention_left_only": True,
            "from": "data",
        },
    },
    "edit": {
        "_p": {"class": "softmax", "n_out": 3, "from": "data"},
        "d": {"class": "edit_distance", "a": "data:classes", "b": "data:labels", "loss": "as_is"},
        "last": LAST,
    },
}


def cases() -> dict[str, Net]:
    """Return the arguments of `returnn_cases.Case` by name."""
    return {f"variant_{k}": small(v, RAGGED) for k, v in LAYERS.items()}
