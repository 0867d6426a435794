"""The networks of the RETURNN tutorial, small: arguments of `returnn_cases.Case`.

What the tutorial leaves out ("...") is filled in with what it has elsewhere. Dropout is 0, since
RETURNN draws other numbers.
"""

from __future__ import annotations

from typing import Any

Net = dict[str, Any]

DENSE: Net = {"data": {"dim": 3}, "classes": {"dim": 5, "sparse": True}}
FRAMES: Net = {
    "data": {"dim": 3},
    "classes": {"dim": 4, "sparse": True, "same_dim_tags_as": {"t": "data"}},
}
WORDS: Net = {"data": {"dim": 6, "sparse": True}, "classes": {"dim": 5, "sparse": True}}
OF_FRAMES: Net = {"data": [5, 2, 4], "classes": [5, 2, 4]}
OF_WORDS: Net = {"data": [5, 2, 4], "classes": [3, 4, 2]}
LSTM: Net = {"class": "rec", "unit": "nativelstm2", "n_out": 2}
LINEAR: Net = {"class": "linear", "activation": None, "with_bias": False}
SUM: Net = {"class": "combine", "kind": "add"}
TANH: Net = {"class": "activation", "activation": "tanh"}
SOFTMAX: Net = {"class": "softmax", "loss": "ce", "target": "classes"}
SMOOTH: Net = {**SOFTMAX, "dropout": 0.0, "loss_opts": {"label_smoothing": 0.1}}
CHOICE: Net = {"class": "choice", "target": "classes", "beam_size": 3, "initial_output": 0}
CHOICE["length_normalization"] = False
END: Net = {"class": "compare", "from": "output", "value": 0}
ATTEND: Net = {"class": "generic_attention", "weights": "att_weights"}
OVER_TIME: Net = {"class": "softmax_over_spatial", "from": "energy"}
Opts = dict[str, Any]


def of_frames(net: Net, *outputs: str) -> Opts:
    """Return a case with a class for each frame."""
    opts = {"streams": FRAMES, "lengths": OF_FRAMES, "outputs": (*outputs, "output")}
    return {"net": marked(net, outputs), **opts}


def marked(net: Net, outputs: tuple[str, ...]) -> Net:
    return {k: v | {"is_output_layer": True} if k in outputs else v for k, v in net.items()}


def _blstm(layers: int = 2) -> Net:
    net: Net = {}
    source: str | list[str] = "data"
    for i in range(layers):
        for suffix, direction in (("fw", 1), ("bw", -1)):
            opts = {"unit": "lstm", "n_out": 2, "direction": direction, "from": source}
            net[f"lstm{i}_{suffix}"] = {"class": "rec", **opts}
        source = [f"lstm{i}_fw", f"lstm{i}_bw"]
    return net | {"output": {"class": "softmax", "loss": "ce", "from": source}}


def _simple() -> dict[str, Opts]:
    conv = {"class": "conv", "filter_size": [5], "padding": "same", "n_out": 3, "from": "data"}
    conv_lstm: Net = {
        "conv0": conv,
        "lstm1": {**LSTM, "unit": "lstm", "from": "conv0"},
        "lstm2": {**LSTM, "unit": "lstm", "from": "lstm1"},
        "output": {"class": "softmax", "loss": "ce", "from": "lstm2"},
    }
    gate = {"class": "linear", "activation": "relu"}
    unit: Net = {
        "a": {**gate, "from": "prev:b", "n_out": 2},
        "b": {**gate, "from": ["prev:a", "data:source"], "n_out": 3},
        "output": {"class": "copy", "from": "a"},
    }
    # RETURNN's filters see what is behind an end.
    same = {"data": [5, 5, 5], "classes": [5, 5, 5]}
    return {
        "blstm": of_frames(_blstm()),
        "blstm_of_one_layer": of_frames(_blstm(1)),
        "conv_lstm": {**of_frames(conv_lstm, "conv0"), "lengths": same},
        "mutual": of_frames({"output": {"class": "rec", "from": "data", "unit": unit}}),
        "residual": of_frames(_residual(), "res0"),
        # RETURNN would reuse the bias, too, of which the output has more.
        "lm": {
            **{**of_frames(_lm()), "streams": _lm_streams()},
            "returnn": {"output/reuse_params": {"map": {"W": "input", "b": None}}},
        },
    }


def _residual() -> Net:
    drop = {"class": "dropout", "dropout": 0.0}
    return {
        "source_embed": {**LINEAR, "n_out": 4},
        "source_embed_drop": {**drop, "from": ["source_embed"]},
        "lstm0_fw": {**LSTM, "direction": 1, "from": ["source_embed_drop"]},
        "lstm0_bw": {**LSTM, "direction": -1, "from": ["source_embed_drop"]},
        "concat0": {"class": "copy", "from": ["lstm0_fw", "lstm0_bw"]},
        "concat0_drop": {**drop, "from": ["concat0"]},
        "res0": {**SUM, "from": ["concat0_drop", "source_embed_drop"], "n_out": 4},
        "project_res0": {**LINEAR, "with_bias": True, "from": ["res0"], "n_out": 4},
        "output": {**SOFTMAX, "from": "project_res0"},
    }


def _lm_streams() -> Net:
    return {**FRAMES, "data": {"dim": 4, "sparse": True}}


def _lm() -> Net:
    normal = "random_normal_initializer(mean=0.0, stddev=0.1)"
    lstm = {"class": "rec", "unit": "lstm", "n_out": 2, "dropout": 0.0, "L2": 0.0}
    return {
        "input": {
            **{"class": "linear", "activation": "identity", "n_out": 3, "from": ["data"]},
            "forward_weights_init": normal,
        },
        "lstm0": {**lstm, "direction": 1, "from": ["input"]},
        "lstm1": {**lstm, "direction": 1, "from": ["lstm0"]},
        "proj": {
            **{"class": "linear", "activation": "relu", "dropout": 0.0, "n_out": 3},
            "from": ["lstm1"],
        },
        "output": {
            **{"class": "softmax", "dropout": 0.0, "reuse_params": "input"},
            **{"use_transposed_weights": True, "forward_weights_init": normal},
            **{"bias_init": normal, "loss": "ce", "target": "classes", "from": ["proj"]},
        },
    }


ENCODER: Net = {
    "source_embed": {**LINEAR, "n_out": 3},
    "lstm0_fw": {**LSTM, "direction": 1, "from": ["source_embed"], "dropout": 0.0},
    "lstm0_bw": {**LSTM, "direction": -1, "from": ["source_embed"], "dropout": 0.0},
    "encoder": {"class": "copy", "from": ["lstm0_fw", "lstm0_bw"]},
    "enc_ctx": {**LINEAR, "with_bias": True, "from": ["encoder"], "n_out": 4},
    "inv_fertility": {**LINEAR, "activation": "sigmoid", "from": ["encoder"], "n_out": 1},
    "enc_value": {"class": "split_dims", "axis": "F", "dims": (2, 2), "from": ["encoder"]},
}
CONTEXT = ["target_embed", "context_att"]
# The decoder of the pages on translation.
DECODER: Net = {
    "output": {**CHOICE, "from": ["output_prob"]},
    "end": {**END, "from": ["output"]},
    "target_embed": {**LINEAR, "from": ["output"], "n_out": 2, "initial_output": 0},
    "prev_s_transformed": {**LINEAR, "from": ["prev:s"], "n_out": 4, "dropout": 0.0},
    "energy_in": {**SUM, "from": ["base:enc_ctx", "prev_s_transformed"], "n_out": 4},
    "energy_tanh": {**TANH, "from": ["energy_in"]},
    "energy": {**LINEAR, "from": ["energy_tanh"], "n_out": 1},
    "att_weights": OVER_TIME,
    "context_att": {**ATTEND, "base": "base:enc_ctx"},
    "s": {
        **{"class": "rnn_cell", "unit": "LSTMBlock", "n_out": 2, "dropout": 0.0},
        "from": ["prev:target_embed", "context_att"],
    },
    "readout": {
        **{"class": "linear", "activation": None, "n_out": 4, "dropout": 0.0},
        "from": ["prev:s", "prev:target_embed", "context_att"],
    },
    "output_prob": {**SMOOTH, "from": ["readout"]},
}


def decoding(more: Net, *, search: bool = False, encoder: Net | None = None) -> Opts:
    """Return translation with the decoder's layers that are other or more."""
    loop: Net = {"class": "rec", "from": [], "target": "classes"}
    loop["unit"] = {**DECODER, **more}
    loop["max_seq_len"] = "max_len_from('base:encoder') * 3"
    net = {**ENCODER, **(encoder or {}), "output": loop}
    opts: Opts = {"net": net, "streams": WORDS, "lengths": OF_WORDS}
    if search:
        # RETURNN's generic_attention takes other frames than those of its input where they differ.
        return {**opts, "lengths": {"data": [5, 5]}, "search": True}
    loop["unit"] = marked(loop["unit"], ("s",))
    return {**opts, "outputs": ("output/output_prob", "output/s")}


READOUT: Net = {"class": "linear", "activation": None, "n_out": 4}
WITH_CONTEXT: Net = {**LINEAR, "from": ["prev:context_att"], "n_out": 4, "dropout": 0.0}
FERTILITY: Net = {
    "weight_feedback": {**LINEAR, "from": ["prev:accum_att_weights"], "n_out": 4, "dropout": 0.0},
    "energy_in": {**SUM, "from": ["base:enc_ctx", "prev_s_transformed", "weight_feedback"]},
    "accum_att_weights": {
        **{"class": "eval", "eval": "(source(0) + source(1)) * source(2) * 0.5"},
        "from": ["prev:accum_att_weights", "att_weights", "base:inv_fertility"],
        "out_type": {"dim": 1, "shape": (None, 1)},
    },
}
VARIANTS: dict[str, Net] = {
    "attention": {},
    "attention_simplified": {
        "energy_in": {
            **{**SUM, "n_out": 4},
            "from": ["base:enc_ctx", "prev_s_transformed", "embed_transformed"],
        },
        "embed_transformed": {**LINEAR, "from": ["prev:target_embed"], "n_out": 4},
        "readout": {**READOUT, "from": ["s", "prev:target_embed", "context_att"]},
    },
    "attention_fertility": FERTILITY,
    "attention_context_in_energy": {
        "context_att_transformed": WITH_CONTEXT,
        "energy_in": {
            **{**SUM, "n_out": 4},
            "from": ["base:enc_ctx", "prev_s_transformed", "context_att_transformed"],
        },
    },
    "attention_context_in_readout": {
        "context_att_transformed": WITH_CONTEXT,
        "s": {
            **{"class": "rnn_cell", "unit": "LSTMBlock", "n_out": 2},
            "from": ["prev:target_embed", "context_att", "context_att_transformed"],
        },
        "readout": {
            **READOUT,
            "from": [*DECODER["readout"]["from"], "context_att_transformed"],
        },
    },
    "attention_dot": {
        "energy": {
            **{"class": "dot", "red1": -1, "red2": -1, "var1": "T", "var2": "T?"},
            "from": ["base:enc_ctx", "prev_s_transformed"],
        },
        "att_weights": {**OVER_TIME, "from": ["energy"], "energy_factor": 4**-0.5},
    },
    "attention_heads": {
        "energy": {**LINEAR, "from": ["energy_tanh"], "n_out": 2},
        "context_att0": {**ATTEND, "base": "base:enc_value"},
        "context_att": {"class": "merge_dims", "axes": "except_batch", "from": ["context_att0"]},
    },
    "attention_convolved": {
        "feedback_pad_left": {
            **{"axes": "s:0", "class": "pad", "from": ["prev:accum_att_weights"]},
            **{"mode": "constant", "padding": ((3, 0),), "value": 1},
        },
        "feedback_pad_right": {
            **{"axes": "s:0", "class": "pad", "from": ["feedback_pad_left"]},
            **{"mode": "constant", "padding": ((0, 3),), "value": 0},
        },
        "convolved_att": {
            **{"L2": 1e-07, "activation": None, "class": "conv", "filter_size": (7,)},
            **{"from": ["feedback_pad_right"], "n_out": 2, "padding": "valid"},
        },
        "location_feedback_transformed": {**LINEAR, "from": ["convolved_att"], "n_out": 4},
        "accum_att_weights": {
            **{**SUM, "from": ["prev:accum_att_weights", "att_weights"], "n_out": 1},
            "initial_output": 0,
        },
        "energy_in": {
            **{"class": "combine", "kind": "add", "n_out": 4},
            "from": ["base:enc_ctx", "prev_s_transformed", "location_feedback_transformed"],
        },
    },
    "attention_of_fixed_embedding": {
        "target_embed": {**DECODER["target_embed"], "trainable": False},
    },
}


def _encoder_decoder() -> Opts:
    """Return the network without attention; RETURNN fails in a search with it."""
    unit = {
        "embed": {**LINEAR, "with_bias": True, "from": "output", "n_out": 3, "initial_output": 0},
        "s": {**LSTM, "from": "prev:embed", "initial_state": "base:input_last"},
        "p": {**SOFTMAX, "from": "s"},
        "output": {**CHOICE, "from": "p"},
        "end": END,
    }
    net = {
        "input": LSTM,
        "input_last": {"class": "get_last_hidden_state", "from": "input", "n_out": 4},
        "output": {"class": "rec", "from": [], "target": "classes", "unit": unit},
    }
    net["output"]["max_seq_len"] = "max_len_from('base:input')"
    # RETURNN takes no whole state from one layer any more.
    parts = {k: {**net["input_last"], "key": k, "n_out": 2} for k in ("c", "h")}
    state = {"output/unit/s/initial_state": {"c": "base:c", "h": "base:h"}}
    opts: Opts = {"net": net, "streams": DENSE, "lengths": OF_WORDS}
    opts["returnn"] = {**parts, **state}
    unit["s"]["is_output_layer"] = True
    return {**opts, "outputs": ("output/p", "output/s")}


def _recurrency(*, search: bool) -> Opts:
    """Return the attention model of the pages on recurrency, on a pooled encoder."""
    unit = {
        "output": {**CHOICE, "from": "output_prob"},
        "end": END,
        "embed": {**LINEAR, "from": "output", "n_out": 3, "initial_output": 0},
        "s": {**LSTM, "unit": "NativeLstm2", "from": ["prev:embed", "prev:att"]},
        "enc_ctx": {**LINEAR, "with_bias": True, "from": "base:encoder", "n_out": 4},
        "s_transformed": {**LINEAR, "from": "s", "n_out": 4},
        "energy_in": {**SUM, "from": ["enc_ctx", "s_transformed"], "n_out": 4},
        "energy_tanh": {**TANH, "from": "energy_in"},
        "energy": {**LINEAR, "from": "energy_tanh", "n_out": 2},
        "att_weights": OVER_TIME,
        "att0": {**ATTEND, "base": "base:enc_value"},
        "att": {"class": "merge_dims", "axes": "static", "from": "att0"},
        "readout_in": {**READOUT, "from": ["s", "prev:embed", "att"]},
        "readout": {"class": "reduce_out", "mode": "max", "num_pieces": 2, "from": "readout_in"},
        "output_prob": {**SMOOTH, "from": "readout"},
    }
    pool = {"class": "pool", "mode": "max", "padding": "same", "pool_size": (2,)}
    net = {
        "lstm0_fw": {**LSTM, "from": "data"},
        "lstm0_bw": {**LSTM, "direction": -1, "from": "data"},
        "lstm0_pool": {**pool, "from": ["lstm0_fw", "lstm0_bw"], "trainable": False},
        "encoder": {"class": "copy", "from": "lstm0_pool"},
        "enc_value": {"class": "split_dims", "axis": "F", "dims": (2, 2), "from": "encoder"},
        "output": {"class": "rec", "from": [], "target": "classes", "unit": unit},
    }
    net["output"]["max_seq_len"] = "max_len_from('base:encoder')"
    opts: Opts = {"net": net, "streams": DENSE, "lengths": OF_WORDS}
    if search:
        return {**opts, "lengths": {"data": [6, 6]}, "search": True}
    return {**opts, "outputs": ("output/output_prob", "encoder")}


TUTORIAL_CASES: dict[str, Opts] = {
    **{f"tutorial_{name}": opts for name, opts in _simple().items()},
    **{f"tutorial_{name}": decoding(more) for name, more in VARIANTS.items()},
    **{
        f"tutorial_{name}_search": decoding(more, search=True)
        for name, more in VARIANTS.items()
        # In a search RETURNN takes the first state to have no batch, and finds no red2.
        if name not in ("attention_of_fixed_embedding", "attention_dot")
    },
    "tutorial_encoder_decoder": _encoder_decoder(),
    "tutorial_recurrency": _recurrency(search=False),
    "tutorial_recurrency_search": _recurrency(search=True),
}
