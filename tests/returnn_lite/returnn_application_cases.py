"""The networks of the RETURNN tutorial's second part, small: arguments of `returnn_cases.Case`."""

from __future__ import annotations

from returnn_tutorial_cases import (
    ATTEND,
    CHOICE,
    DECODER,
    LINEAR,
    LSTM,
    OVER_TIME,
    SMOOTH,
    SOFTMAX,
    WORDS,
    Net,
    Opts,
    decoding,
    marked,
    of_frames,
)

LM_CELL: Net = {"class": "rec", "unit": "nativelstm2", "n_out": 2, "unit_opts": {"forget_bias": 0}}


def _conformer_attention() -> Opts:
    """Return self-attention with relative positions."""
    init = "variance_scaling_initializer(mode='fan_in', distribution='uniform', scale=1.0)"
    net: Net = {
        "enc_att_laynorm": {"class": "layer_norm", "from": "data"},
        "enc_rel_pos": {
            **{"class": "relative_positional_encoding", "from": ["enc_att_laynorm"]},
            **{"n_out": 2, "forward_weights_init": init},
        },
        "enc_att_att": {
            **{"class": "self_attention", "num_heads": 2, "total_key_dim": 4, "n_out": 4},
            **{"from": ["enc_att_laynorm"], "attention_left_only": False},
            **{"attention_dropout": 0.0, "forward_weights_init": init, "key_shift": "enc_rel_pos"},
        },
        "output": {**SOFTMAX, "from": "enc_att_att"},
    }
    return of_frames(net, "enc_att_att")


def _lm_fusion() -> Opts:
    """Return a search with a language model as a subnetwork in the loop."""
    net: Net = {"input": {"class": "linear", "n_out": 3, "activation": "identity"}}
    net["lstm0"] = {**LM_CELL, "from": ["input"]}
    net["lstm1"] = {**LM_CELL, "from": ["lstm0"]}
    net["output"] = {"class": "linear", "from": ["lstm1"], "activation": "identity", "n_out": 5}
    both = "safe_log(source(0)) + 0.25 * safe_log(source(1))"
    case = decoding(
        {
            "output": {**CHOICE, "input_type": "log_prob", "from": ["combo_output_log_prob"]},
            "combo_output_log_prob": {
                **{"class": "eval", "eval": both},
                "from": ["output_prob", "lm_output_prob"],
            },
            "output_prob": {**SOFTMAX, "from": ["readout"], "dropout": 0.0},
            "lm_output": {
                **{"class": "subnetwork", "from": ["prev:output"], "n_out": 5},
                "subnetwork": net,
            },
            "lm_output_prob": {
                **{"class": "activation", "activation": "softmax", "from": ["lm_output"]},
                "target": "classes",
            },
        },
        search=True,
    )
    return case


def _two_decoders() -> Opts:
    """Return translation of speech together with its recognition."""
    weight = 0.3
    case = decoding({"output_prob": _weighted("classes", weight)})
    other = {**DECODER, "output_prob": _weighted("words", 1.0 - weight)}
    other["output"] = {**CHOICE, "target": "words", "from": ["output_prob"]}
    loop = {**case["net"]["output"], "unit": marked(other, ("s",)), "target": "words"}
    case["net"]["output_asr"] = {**loop, "is_output_layer": True}
    case["streams"] = {**WORDS, "words": {"dim": 4, "sparse": True}}
    case["lengths"] = {**case["lengths"], "words": [2, 1, 3]}
    outputs = ("output/output_prob", "output_asr/output_prob")
    return {**case, "outputs": outputs}


def _weighted(target: str, scale: float) -> Net:
    opts = {"label_smoothing": 0.1, "scale": scale}
    return {**SMOOTH, "from": ["readout"], "target": target, "loss_opts": opts}


def _audio_or_text() -> Opts:
    """Return a decoder whose context is that of the audio or, where that is empty, of the text."""
    net: Net = {
        "source": {"class": "eval", "eval": "tf.clip_by_value(source(0), -3.0, 3.0)"},
        "audio": {**LSTM, "from": ["source"]},
        "source_text": {**LINEAR, "n_out": 3, "from": ["data:source_text"]},
        "text": {**LSTM, "from": ["source_text"]},
        "length": {"class": "length", "from": ["data:data"]},
        "length_is_empty": {
            **{"class": "compare", "value": 1, "from": ["length"], "kind": "less_equal"},
        },
    }
    unit: Net = {
        "output": {**CHOICE, "from": ["output_prob"]},
        "target_embed": {**LINEAR, "from": ["output"], "n_out": 2, "initial_output": 0},
        "s": {"class": "rnn_cell", "unit": "LSTMBlock", "n_out": 2},
        "context": {
            **{"class": "switch", "condition": "base:length_is_empty"},
            **{"true_from": "context_text", "false_from": "context_audio"},
        },
        "output_prob": {**SMOOTH, "from": ["s", "context"]},
    }
    unit["s"]["from"] = ["prev:target_embed", "prev:context"]
    for name in ("audio", "text"):
        energy = {"class": "dot", "red1": -1, "red2": -1, "var1": "T", "var2": "T?"}
        unit[f"energy_{name}"] = {**energy, "from": [f"base:{name}", "s"]}
        unit[f"weights_{name}"] = {**OVER_TIME, "from": f"energy_{name}"}
        attend = {**ATTEND, "weights": f"weights_{name}", "base": f"base:{name}"}
        unit[f"context_{name}"] = attend
    net["output"] = {"class": "rec", "from": [], "target": "classes", "unit": unit}
    streams = {"data": {"dim": 3}, "source_text": {"dim": 4, "sparse": True}}
    streams["classes"] = WORDS["classes"]
    lengths = {"data": [5, 1, 4], "source_text": [2, 3, 1], "classes": [3, 4, 2]}
    more = {"streams": streams, "lengths": lengths, "outputs": ("output/output_prob",)}
    return {"net": net, **more}


def _with_ctc() -> Opts:
    """Return translation with CTC on the encoder."""
    case = decoding({})
    opts = {"beam_width": 1, "ctc_opts": {"ignore_longer_outputs_than_inputs": True}}
    ctc = {"class": "softmax", "from": ["encoder"], "loss": "ctc", "target": "text"}
    case["net"]["ctc"] = {**ctc, "loss_opts": opts}
    case["streams"] = {**WORDS, "text": {"dim": 3, "sparse": True}}
    case["lengths"] = {**case["lengths"], "text": [2, 1, 2]}
    return {**case, "outputs": ("output/output_prob", "ctc")}


def _speech() -> dict[str, Opts]:
    """Return the parts of Tacotron: merged frames, and style tokens."""
    windowed: Net = {
        "windowed_data": {
            **{"class": "window", "from": ["data"], "window_size": 2, "window_right": 1},
            "stride": 2,
        },
        "windowed_data_target": {
            **{"class": "merge_dims", "from": ["windowed_data"], "axes": "static", "n_out": 6},
            "register_as_extern_data": "windowed_data_target",
        },
        "decoder": {**LSTM, "n_out": 6, "from": "data:windowed_data_target"},
        "output_split": {"class": "split_dims", "from": ["decoder"], "axis": "F", "dims": (2, -1)},
        "output_reshape": {
            **{"class": "merge_dims", "from": ["output_split"], "axes": ["T", "static:0"]},
            "n_out": 3,
        },
        "output": {
            **{"class": "copy", "from": "decoder", "loss": "mse", "loss_opts": {"scale": 0.5}},
            "target": "windowed_data_target",
        },
    }
    streams = {"data": {"dim": 3}}
    case = {"net": marked(windowed, ("output_reshape",)), "streams": streams}
    same = {"lengths": {"data": [6, 6]}, "outputs": ("output", "output_reshape")}
    styled: Net = {
        "ref_enc": {**LSTM, "direction": 1, "n_out": 3, "unit": "nativelstm"},
        "ref_enc_reduce": {
            **{"class": "reduce", "from": ["ref_enc"], "axis": "T", "mode": "mean", "n_out": 3},
        },
        "ref_enc_last": {
            **{"class": "get_last_hidden_state", "from": ["ref_enc"], "combine": "concat"},
            "n_out": 3,
        },
        "style_token_variable": {"class": "variable", "init": "glorot_normal", "shape": (4, 3)},
        "style_token": {
            **{"class": "reinterpret_data", "from": ["style_token_variable"]},
            "set_axes": {"T": "s:0"},
        },
        "energy": {
            **{"class": "dot", "from": ["ref_enc_reduce", "style_token"], "reduce": "F"},
            **{"var1": "auto", "var2": "auto"},
        },
        "style": {**LINEAR, "n_out": 2, "from": "ref_enc_last"},
        "output": {**SOFTMAX, "from": ["ref_enc", "style"]},
    }
    return {
        "windowed_data": {**case, **same},
        "style_tokens": of_frames(styled, "ref_enc_reduce", "ref_enc_last", "energy"),
    }


APPLICATION_CASES: dict[str, Opts] = {
    f"tutorial_{name}": opts
    for name, opts in {
        "relative_positions": _conformer_attention(),
        "lm_fusion": _lm_fusion(),
        "two_decoders": _two_decoders(),
        "audio_or_text": _audio_or_text(),
        "with_ctc": _with_ctc(),
        **_speech(),
    }.items()
}
