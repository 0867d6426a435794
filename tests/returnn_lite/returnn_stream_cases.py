"""Streams that layers make, and `data` in loops, for RETURNN: see `returnn_cases`."""

from __future__ import annotations

from typing import Any

Net = dict[str, Any]

WORDS: Net = {"dim": 6, "sparse": True}
TEXT: Net = {"data": WORDS, "delayed": {**WORDS, "same_dim_tags_as": {"t": "data"}}}
TEXT_LENGTHS: Net = {"data": [5, 3, 4], "delayed": [5, 3, 4]}
PLAIN: Net = {"class": "linear", "activation": None, "n_out": 4}


def _language_model() -> Net:
    """Return a loop over the words before, whose target `data` is no input of it."""
    attention = {"class": "self_attention", "num_heads": 2, "total_key_dim": 4, "n_out": 4}
    unit = {
        "embed": {**PLAIN, "with_bias": False, "param_device": None, "from": ["data:source"]},
        "norm": {"class": "layer_norm", "from": ["embed"]},
        "att": {**attention, "attention_left_only": True, "reuse_params": None, "from": ["norm"]},
        "sum": {"class": "combine", "kind": "add", "n_out": 4, "from": ["embed", "att"]},
        "output": {"class": "softmax", "loss": "ce", "target": "data", "from": ["sum"]},
    }
    return {
        "output": {
            "class": "rec",
            "from": ["data:delayed"],
            "target": "data",
            "unit": unit,
        }
    }


def _data_in_a_loop() -> Net:
    """Return loops that look at the stream `data` by all its names, and at their sources."""
    net: Net = {"embed": {**PLAIN, "from": "data"}}
    words = {"default": None, "stream": "data", "named": "data:data", "source": "data:source"}
    for name, word in words.items():
        inner = {**PLAIN, "class": "linear", "activation": "tanh"}
        unit = {
            "x": {**inner, **({"from": word} if word else {})},
            "output": {"class": "combine", "kind": "add", "from": ["x", "prev:output"]},
        }
        loop = {"class": "rec", "from": "embed", "unit": unit}
        net[name] = {**loop, "is_output_layer": True}
    net["output"] = {"class": "copy", "from": list(words)}
    return net


def _last_frames(source: Any, **_: Any) -> Any:
    """Return 1 in the last two frames of each sequence, and 0 before; RETURNN passes the same."""
    import tensorflow as tf

    data = source(0, as_data=True)
    (time,) = data.get_dynamic_axes()
    lengths = tf.expand_dims(data.get_dynamic_size(time), axis=1)
    frames = tf.expand_dims(tf.range(tf.shape(data.placeholder)[time]), axis=0)
    return tf.cast(tf.expand_dims(frames >= lengths - 2, axis=2), tf.float32)


def _frames_of_a_step(windows: str) -> Net:
    """Return what a step of the decoder does; windows: its target."""
    end = {"class": "linear", "activation": None, "n_out": 1, "loss": "bin_ce"}
    frames = {"class": "linear", "activation": None, "n_out": 6, "loss": "mean_l1"}
    return {
        "chosen": {
            **{"class": "choice", "input_type": "regression", "beam_size": 1, "from": "output"},
            "target": windows,
        },
        "last": {"class": "slice", "axis": "F", "slice_start": 3, "from": "prev:chosen"},
        "pad_left": {
            **{"class": "pad", "axes": "s:0", "mode": "constant", "padding": ((1, 0),)},
            **{"value": 1, "from": "prev:accum"},
        },
        "pad": {
            **{"class": "pad", "axes": "s:0", "mode": "constant", "padding": ((0, 1),)},
            "from": "pad_left",
        },
        "seen": {
            **{"class": "conv", "filter_size": (3,), "padding": "valid", "n_out": 4},
            **{"activation": None, "from": "pad"},
        },
        "state": {**PLAIN, "with_bias": False, "from": "cell"},
        "energy_in": {"class": "combine", "kind": "add", "from": ["base:encoder", "state", "seen"]},
        "energy": {**PLAIN, "n_out": 1, "from": "energy_in"},
        "weights": {"class": "softmax_over_spatial", "from": "energy"},
        "accum": {"class": "combine", "kind": "add", "from": ["prev:accum", "weights"]},
        "att": {"class": "generic_attention", "base": "base:encoder", "weights": "weights"},
        "cell": {
            **{
                "class": "rnn_cell",
                "unit": "zoneoutlstm",
                "n_out": 4,
                "from": ["last", "prev:att"],
            },
            "unit_opts": {"zoneout_factor_cell": 0.0, "zoneout_factor_output": 0.0},
        },
        "output": {**frames, "target": windows, "from": ["cell", "att"]},
        "end_logit": {**end, "target": "end_target", "from": ["cell", "att"]},
    }


def _synthesis() -> Net:
    """Return a decoder of two frames a step, whose targets are windows of the stream `data`."""
    windows = "windows_target"
    merge = {"class": "merge_dims", "from": "windows"}
    return {
        "windows": {"class": "window", "window_size": 2, "window_right": 1, "stride": 2},
        "joined": {**merge, "axes": "static", "n_out": 6, "register_as_extern_data": windows},
        "frames": {**merge, "axes": ["T", "static:0"], "n_out": 3},
        "frames_target": {
            **{"class": "copy", "from": "frames", "register_as_extern_data": "frames_target"}
        },
        "end_target": {
            **{"class": "eval", "eval": _last_frames, "from": "joined"},
            "out_type": {"dim": 1, "shape": (None, 1)},
            "register_as_extern_data": "end_target",
        },
        "speaker": {"class": "squeeze", "axis": "T", "from": "data:speaker"},
        "voice": {**PLAIN, "from": "speaker"},
        "text": {**PLAIN, "from": "data:classes"},
        "encoder": {"class": "combine", "kind": "add", "from": ["text", "voice"]},
        "decoder": {
            "class": "rec",
            "from": [],
            "target": windows,
            "unit": _frames_of_a_step(windows),
        },
        "apart": {"class": "split_dims", "axis": "F", "dims": (2, -1), "from": "decoder"},
        "output": {
            **{"class": "merge_dims", "axes": ["T", "static:0"], "n_out": 3, "from": "apart"},
            **{"loss": "mean_l1", "loss_scale": 0.25, "target": "frames_target"},
        },
    }


def cases() -> dict[str, Net]:
    """Return the arguments of `returnn_cases.Case` by name."""
    speech: Net = {"data": {"dim": 3}, "classes": WORDS, "speaker": {"dim": 3, "sparse": True}}
    made = ("output", "joined", "end_target", "encoder")
    loops = ("default", "stream", "named", "source")
    return {
        "stream_language_model": {
            **{"net": _language_model(), "streams": TEXT, "lengths": TEXT_LENGTHS},
        },
        "stream_data_in_a_loop": {
            **{"net": _data_in_a_loop(), "streams": {"data": {"dim": 3}}, "outputs": loops},
            "lengths": {"data": [5, 3]},
        },
        "stream_synthesis": {
            **{"net": _synthesis(), "streams": speech, "outputs": made},
            "lengths": {"data": [6, 6, 6], "classes": [4, 4, 4], "speaker": [1, 1, 1]},
        },
    }
