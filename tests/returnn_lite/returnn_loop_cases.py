"""Recurrent layers, loops and losses, one network each, for RETURNN."""

from __future__ import annotations

from typing import Any

from returnn_option_cases import CE, COUNT, EVEN, HALF, LSTM, PLAIN, RAGGED, TANH, small

Net = dict[str, Any]

LINEAR: Net = {"class": "linear", "activation": None, "n_out": 3, "from": "data"}
SOURCE: Net = {**TANH, "from": ["prev:output", "data:source"]}
IN: Net = {**TANH, "from": "data:source"}
MASK: Net = {"class": "compare", "kind": "not_equal", "value": 0, "from": "data:classes"}
CTC: Net = {"class": "softmax", "loss": "ctc", "target": "labels", "loss_opts": {"beam_width": 1}}
LAST: Net = {**TANH, "from": "data"}
# By name of a unit: the options, and whether rnn_cell has it, too.
UNITS: dict[str, tuple[Net, bool]] = {
    "lstm": ({}, False),
    "lstmp": ({}, False),
    "nativelstm": ({}, False),
    "nativelstm2": ({"rec_weight_dropout": 0.0}, False),
    "lstmblock": ({}, True),
    "standardlstm": ({"use_peepholes": True, "forget_bias": 0.0}, True),
    "basiclstm": ({}, True),
    "zoneoutlstm": ({"zoneout_factor_cell": 0.0, "zoneout_factor_output": 0.0}, True),
    "layernormvariantslstm": ({"cell_norm": True, "global_norm": True}, True),
    "basicrnn": ({}, True),
    "gru": ({}, True),
    "rhn": ({"depth": 1}, True),
}


def _loop(**unit: Net) -> Net:
    return {"class": "rec", "from": "data", "unit": unit}


LAYERS: dict[str, Net] = {
    **{
        f"unit_{name}": {
            "x": {**LSTM, "unit": name, "unit_opts": opts, "from": "data"},
            "y": {**LSTM, "unit": name, "unit_opts": opts, "direction": -1, "from": "x"},
        }
        for name, (opts, _) in UNITS.items()
    },
    **{
        f"cell_{name}": {
            "x": _loop(
                s={
                    **{"class": "rnn_cell", "unit": name, "unit_opts": opts, "n_out": 3},
                    **{"from": ["data:source", "prev:output"], "L2": 0.1, "dropout": 0.0},
                },
                output={**TANH, "from": "s"},
            )
        }
        for name, (opts, both) in UNITS.items()
        if both
    },
    "rec_sparse": {"x": {**LSTM, "from": "data:classes"}},
    "rec_initialised": {
        "x": {
            **{**LSTM, "L2": 0.1, "forward_weights_init": "glorot_uniform"},
            **{"recurrent_weights_init": "orthogonal", "bias_init": 0.1, "from": "data"},
        }
    },
    "rec_reused": {"x": {**LSTM, "from": "data"}, "y": {**LSTM, "reuse_params": "x"}},
    "rec_of_windows": {
        "_w": {"class": "split_dims", "axis": "F", "dims": [2, 2], "from": "data"},
        "x": {**LSTM, "axis": "T", "from": "_w"},
        "last": LAST,
    },
    "rec_states": {
        "_fw": LSTM,
        "x": {"class": "get_last_hidden_state", "from": "_fw", "n_out": 6},
        "y": {"class": "get_last_hidden_state", "from": "_fw", "key": "c", "n_out": 3},
        "z": {**LSTM, "initial_state": {"c": "y", "h": 0}, "from": "data"},
    },
    # loops
    "loop_initial_outputs": {
        "_m": {"class": "reduce", "mode": "mean", "axis": "T", "from": "data"},
        "x": _loop(
            a={**IN, "from": ["prev:a", "data:source"], "initial_output": "ones"},
            b={**IN, "from": ["prev:b", "data:source"], "initial_output": 0.5},
            c={**IN, "from": ["prev:c", "data:source"], "initial_output": "base:x_m"},
            output={"class": "copy", "from": ["a", "b", "c"]},
        ),
    },
    "loop_initial_words": {
        "x": _loop(
            a={**IN, "from": ["prev:a", "data:source"], "initial_output": "var"},
            b={**IN, "from": ["prev:b", "data:source"], "initial_output": "apply(0)"},
            c={**IN, "from": "data:source", "initial_output": "apply(0)"},
            output={"class": "copy", "from": ["a", "b", "prev:c"]},
        ),
    },
    "loop_index": {
        "x": _loop(
            i={"class": "cast", "dtype": "float32", "from": ":i"},
            s={"class": "combine", "kind": "mul", "from": ["data:source", "i"]},
            output={**SOURCE, "from": ["prev:output", "s"]},
        )
    },
    "loop_outputs": {
        "x": _loop(
            s={**SOURCE, "is_output_layer": True},
            output={**TANH, "from": "s"},
        ),
        "y": {"class": "copy", "from": "x/s"},
        "last": {"class": "copy", "from": ["x", "y"]},
    },
    "loop_in_a_loop": {
        "_w": {"class": "window", "window_size": 2, "window_right": 0, "from": "_z"},
        "_z": {"class": "seq_len_mask", "axis": "T", "mask_value": 0.0, "from": "data"},
        "x": _loop(
            sub={
                "class": "subnetwork",
                "from": ["data:source", "prev:output"],
                "subnetwork": {"a": TANH, "output": {**TANH, "from": "a"}},
            },
            output={"class": "copy", "from": "sub"},
        ),
        "last": LAST,
    },
    "loop_with_loss": {
        "x": _loop(
            s=SOURCE,
            p={**CE, "from": "s", "loss_opts": {"label_smoothing": 0.1}},
            output={"class": "copy", "from": "s"},
        )
    },
    "loop_with_losses_of_sequences": {
        "x": _loop(
            s=SOURCE,
            p={**CTC, "from": "s"},
            moved={**CTC, "from": "data:source"},
            output={"class": "copy", "from": "s"},
        )
    },
    "loop_opts": {
        "x": {
            **_loop(output=SOURCE),
            **{"n_out": 4, "back_prop": True, "optimize_move_layers_out": False, "axis": "T"},
        }
    },
    "loop_collocated": {
        "x": _loop(
            a={"class": "eval", "eval": "source(0) * 2.0", "from": "data:source"},
            b={
                **{"class": "constant", "value": 0.5, "collocate_with": "a"},
            },
            s={"class": "combine", "kind": "mul", "from": ["a", "b"]},
            output={**SOURCE, "from": ["prev:output", "s"]},
        )
    },
    "loop_reuse": {
        "_e": TANH,
        "x": _loop(
            e={**IN, "reuse_params": "base:x_e"},
            output={**TANH, "from": ["e", "prev:output"]},
        ),
    },
    "loop_cumulated": {
        "x": _loop(
            a={"class": "cumsum", "from": "data:source", "initial_output": 0.5},
            output={**TANH, "from": ["a", "prev:output"]},
        ),
    },
    "subnetworks": {
        "x": {
            **{"class": "subnetwork", "from": ["data", "data:dense"], "trainable": True},
            **{"subnetwork": {"a": TANH, "output": LSTM | {"from": "a"}}, "n_out": 3},
        },
        "y": {"class": "copy", "from": "x/a"},
        "last": {"class": "copy", "from": ["x", "y"]},
    },
    # losses
    "loss_ce_of_copy": {
        "_p": {"class": "softmax", "from": "data", "n_out": 3},
        "output": {
            **{"class": "copy", "from": "_p", "loss": "ce", "target": "classes"},
            "loss_opts": {"scale": 0.3, "focal_loss_factor": 1.0},
        },
    },
    "loss_ce_fused": {
        "_x": LAST,
        "output": {
            **{**CE, "from": "_x"},
            "loss_opts": {"use_fused": True, "label_smoothing": 0.2, "use_normalized_loss": False},
        },
    },
    "loss_ce_normalised": {
        "_x": LAST,
        "output": {**CE, "from": "_x", "loss_opts": {"use_normalized_loss": True}},
    },
    "loss_as_is": {
        "_x": LAST,
        "output": {
            **{"class": "eval", "eval": "source(0) ** 2", "from": "_x", "loss": "as_is"},
            **{"loss_scale": 0.2, "loss_opts": {"as_error": False}},
        },
    },
    "loss_of_batch": {
        "_x": LAST,
        "_s": {"class": "reduce", "mode": "mean", "axes": ["T", "F"], "from": "_x"},
        "output": {"class": "activation", "activation": "exp", "from": "_s", "loss": "as_is"},
    },
    "loss_mse": {"output": {**LINEAR, "loss": "mse", "target": "dense"}},
    "loss_l1": {"output": {**LINEAR, "loss": "mean_l1", "target": "dense"}},
    "loss_binary": {"output": {**LINEAR, "loss": "bin_ce", "target": "dense"}},
    "loss_edit_distance": {
        "_p": {"class": "softmax", "from": "data", "n_out": 3},
        "_best": {"class": "reduce", "mode": "argmax", "axis": "F", "from": "_p"},
        "x": {"class": "edit_distance", "a": "_best", "b": "data:labels"},
        "last": LAST,
    },
    "loss_reinterpreted": {
        "_p": {"class": "softmax", "from": "data", "n_out": 3},
        "output": {
            **{"class": "reinterpret_data", "from": "_p", "size_base": "data:classes"},
            **{"loss": "ce", "target": "classes", "loss_scale": 0.7},
        },
    },
    "loss_squeezed": {
        "_x": {**LINEAR, "n_out": 1},
        "output": {"class": "squeeze", "axis": "F", "from": "_x", "loss": "as_is"},
    },
    "loss_sampled": {
        "_x": LAST,
        "output": {
            **{**CE, "from": "_x", "loss": "sampling_loss", "use_transposed_weights": True},
            "loss_opts": {"num_sampled": 2, "use_full_softmax": True, "nce_loss": False},
        },
    },
    "loss_ctc": {
        "_x": {**LSTM, "from": "data"},
        "output": {
            **{"class": "softmax", "loss": "ctc", "target": "labels", "from": "_x"},
            "loss_opts": {"beam_width": 1},
        },
    },
    "loss_two_targets": {
        "_x": {**LSTM, "from": "data"},
        "y": {**CE, "from": "_x", "loss_scale": 0.1},
        "output": {**LINEAR, "from": "_x", "loss": "mse", "target": "dense"},
    },
    "masked_frames": {
        "_m": MASK,
        "x": {"class": "masked_computation", "mask": "_m", "from": "data", "unit": LSTM},
        "last": LAST,
    },
    "packed_frames": {
        "_p": {"class": "flatten_batch", "from": "data"},
        "_x": {**TANH, "from": "_p"},
        "x": {"class": "unflatten_batch", "from": "_x"},
    },
    "slices_by_steps": {
        "x": _loop(
            label={"class": "gather", "axis": "T", "position": ":i", "from": "base:data:classes"},
            start={"class": "reinterpret_data", "set_sparse": False, "from": "label"},
            slices={"class": "slice_nd", "start": "start", "size": None, "from": "base:data"},
            most={"class": "reduce", "mode": "max", "axes": "stag:slice", "from": "slices"},
            output={**TANH, "from": ["most", "data:source"]},
        ),
    },
    "scattered": {
        "_flat": {"class": "reinterpret_data", "set_sparse": False, "from": "data:classes"},
        "_z": {"class": "seq_len_mask", "axis": "T", "mask_value": 0.0, "from": "data"},
        "x": {
            **{"class": "scatter_nd", "position": "_flat", "position_axis": "T", "from": "_z"},
            "output_dim_via_time_from": "data",
        },
        "last": {**TANH, "from": "x"},
    },
    "positions_of_labels": {
        "_half": {**HALF, "from": "count"},
        "count": COUNT,
        "x": {"class": "gather_nd", "position": "_half", "from": "data"},
        "last": LAST,
    },
    "variables": {
        "_v": {
            **{"class": "variable", "shape": (4,), "param_name": "offset", "dtype": "float32"},
            "init": "glorot_uniform",
        },
        "x": {"class": "combine", "kind": "add", "from": ["data", "_v"]},
        "_w": {"class": "variable", "shape": (2,), "add_batch_axis": True, "trainable": False},
        "y": {"class": "copy", "from": "_w"},
        "last": {**PLAIN, "n_out": 2, "from": "x"},
    },
}
EVEN_LAYERS: dict[str, Net] = {
    "conv_blocks": {
        "_1": {
            **{"class": "conv", "filter_size": (3, 3), "padding": "same", "n_out": 2},
            **{"activation": "relu", "with_bias": True, "input_add_feature_dim": True},
            "from": "data",
        },
        "_2": {
            "class": "pool",
            "mode": "max",
            "pool_size": (1, 2),
            "padding": "same",
            "from": "_1",
        },
        "x": {**LSTM, "from": "_4"},
        "_4": {"class": "merge_dims", "axes": "static", "from": "_2"},
    },
}


def cases() -> dict[str, Net]:
    """Return the arguments of `returnn_cases.Case` by name."""
    parts = ((LAYERS, RAGGED), (EVEN_LAYERS, EVEN))
    return {f"part_{k}": small(v, n) for layers, n in parts for k, v in layers.items()}
