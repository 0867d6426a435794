"""Networks of the kinds that published setups have, for RETURNN: see `returnn_cases`."""

from __future__ import annotations

from typing import Any

Net = dict[str, Any]

LABELS = 3
STREAMS: Net = {"data": {"dim": 4}, "labels": {"dim": LABELS, "sparse": True}}
LSTM: Net = {"class": "rec", "unit": "nativelstm2", "n_out": 4}
PLAIN: Net = {"class": "linear", "activation": None, "with_bias": False, "n_out": 4}
SUM: Net = {"class": "combine", "kind": "add", "n_out": 4}
NORM: Net = {"class": "layer_norm"}
HEADS: Net = {"class": "split_dims", "axis": "F", "dims": (2, 2)}
ATTENTION: Net = {"class": "self_attention", "num_heads": 2, "total_key_dim": 4, "n_out": 4}
LOG_PROBS = "safe_log(source(0)) + 0.3 * safe_log(source(1))"


def _ends(**more: Any) -> Net:
    """Return the end of a decoder, and the choice of a label from output_prob."""
    choice = {"class": "choice", "target": "labels", "beam_size": 3, "initial_output": 0}
    return {
        "end": {"class": "compare", "from": "output", "value": 0},
        "output": {**choice, "from": "output_prob", "length_normalization": False, **more},
    }


def _prob(source: Any) -> Net:
    loss = {"loss": "ce", "target": "labels", "loss_opts": {"label_smoothing": 0.1}}
    return {"class": "softmax", "from": source, **loss, "is_output_layer": True}


def _decoder(unit: Net, **layers: Net) -> Net:
    loop = {"class": "rec", "from": [], "target": "labels", "unit": unit}
    loop["max_seq_len"] = "max_len_from('base:encoder')"
    return {"encoder": {**LSTM, "from": "data"}, **layers, "output": loop}


def _transformer() -> Net:
    """Return a Transformer's decoder of one block with cross-attention."""
    unit = {
        "embed_raw": {**PLAIN, "from": "prev:output"},
        "embed": {"class": "positional_encoding", "add_to_input": True, "from": "embed_raw"},
        "self_ln": {**NORM, "from": "embed"},
        "self_att": {**ATTENTION, "attention_left_only": True, "from": "self_ln"},
        "self_lin": {**PLAIN, "from": "self_att"},
        "self_out": {**SUM, "from": ["embed", "self_lin"]},
        "att_ln": {**NORM, "from": "self_out"},
        "query0": {**PLAIN, "from": "att_ln"},
        "query": {**HEADS, "from": "query0"},
        "energy": {"class": "dot", "red1": -1, "red2": -1, "from": ["base:key", "query"]},
        "weights": {"class": "softmax_over_spatial", "energy_factor": 0.7, "from": "energy"},
        "att0": {"class": "generic_attention", "base": "base:value", "weights": "weights"},
        "att": {"class": "merge_dims", "axes": "static", "from": "att0"},
        "att_lin": {**PLAIN, "from": "att"},
        "att_out": {**SUM, "from": ["self_out", "att_lin"]},
        "ff_ln": {**NORM, "from": "att_out"},
        "ff1": {"class": "linear", "activation": "relu", "n_out": 6, "from": "ff_ln"},
        "ff2": {"class": "linear", "activation": None, "n_out": 4, "from": "ff1"},
        "out": {**SUM, "from": ["att_out", "ff2"]},
        "decoder": {**NORM, "from": "out"},
        "output_prob": _prob("decoder"),
        **_ends(),
    }
    unit["energy"] |= {"var1": "T", "var2": "T?"}
    keys = {n: {**PLAIN, "from": "encoder"} for n in ("key0", "value0")}
    heads = {n: {**HEADS, "from": f"{n}0"} for n in ("key", "value")}
    return _decoder(unit, **keys, **heads)


def _attention(**more: Net) -> Net:
    """Return an LSTM decoder with attention of two heads, with the weights so far."""
    unit = {
        "embed": {**PLAIN, "n_out": 3, "from": "prev:output"},
        "feedback": {**PLAIN, "from": "prev:accum"},
        "state": {**PLAIN, "from": "s"},
        "energy_in": {**SUM, "from": ["base:enc_ctx", "feedback", "state"]},
        "energy_tanh": {"class": "activation", "activation": "tanh", "from": "energy_in"},
        "energy": {**PLAIN, "n_out": 2, "from": "energy_tanh"},
        "weights": {"class": "softmax_over_spatial", "from": "energy"},
        "accum": {
            **{"class": "eval", "from": ["prev:accum", "weights", "base:fertility"]},
            "eval": "source(0) + source(1) * source(2) * 0.5",
            "out_type": {"dim": 2, "shape": (None, 2)},
        },
        "att0": {"class": "generic_attention", "weights": "weights", "base": "base:enc_value"},
        "att": {"class": "merge_dims", "axes": "except_batch", "from": "att0"},
        "s": {"class": "rnn_cell", "unit": "LSTMBlock", "n_out": 4, "from": ["embed", "prev:att"]},
        "readout_in": {"class": "linear", "activation": None, "n_out": 6, "from": ["s", "att"]},
        "readout": {"class": "reduce_out", "mode": "max", "num_pieces": 2, "from": "readout_in"},
        "output_prob": _prob("readout"),
        **_ends(),
        **more,
    }
    return _decoder(
        unit,
        enc_ctx={**PLAIN, "with_bias": True, "from": "encoder"},
        fertility={**PLAIN, "activation": "sigmoid", "n_out": 2, "from": "encoder"},
        enc_value={**HEADS, "from": "encoder"},
    )


def _fusion() -> Net:
    """Return attention with the scores of a Transformer language model, which has a state."""
    model = {
        "i": {**PLAIN, "from": "data"},
        "p": {"class": "positional_encoding", "add_to_input": True, "from": "i"},
        "n": {**NORM, "from": "p"},
        "a": {**ATTENTION, "attention_left_only": True, "from": "n"},
        "r": {**SUM, "from": ["p", "a"]},
        "output": {"class": "softmax", "n_out": LABELS, "from": "r"},
    }
    return _attention(
        lm={"class": "subnetwork", "from": "prev:output", "subnetwork": model},
        scores={"class": "eval", "eval": LOG_PROBS, "from": ["output_prob", "lm"]},
        output=_ends(input_type="log_prob", **{"from": "scores"})["output"],
    )


def _two_ends() -> Net:
    """Return attention that ends with a label or after three of them."""
    return _attention(
        end={"class": "combine", "kind": "logical_or", "from": ["is_end", "is_last"]},
        is_end={"class": "compare", "value": 0, "from": "output"},
        is_last={"class": "compare", "kind": "greater_equal", "value": 2, "from": ":i"},
    )


def _conformer() -> Net:
    """Return a Conformer block behind a convolution for every third of seven frames."""
    conv = {"class": "conv", "filter_size": (3,), "padding": "same", "n_out": 4, "with_bias": True}
    wide = {"class": "linear", "activation": "swish", "n_out": 8}
    norm = {"class": "batch_norm", "masked_time": True, "momentum": 0.1, "epsilon": 1e-3}
    rel = {"class": "relative_positional_encoding", "n_out": 2, "clipping": 3}
    return {
        "front": {**conv, "strides": 3, "activation": "relu", "from": "data"},
        "ff_ln": {**NORM, "from": "front"},
        "ff1": {**wide, "from": "ff_ln"},
        "ff2": {**PLAIN, "from": "ff1"},
        "ff_half": {"class": "eval", "eval": "0.5 * source(0)", "from": "ff2"},
        "ff_res": {**SUM, "from": ["ff_half", "front"]},
        "att_ln": {**NORM, "from": "ff_res"},
        "rel": {**rel, "from": "att_ln"},
        "att": {**ATTENTION, "key_shift": "rel", "from": "att_ln"},
        "att_res": {**SUM, "from": ["att", "ff_res"]},
        "conv_in": {**wide, "activation": None, "from": "att_res"},
        "glu": {"class": "gating", "activation": "identity", "from": "conv_in"},
        "depthwise": {**conv, "groups": 4, "activation": None, "from": "glu"},
        "bn": {**norm, "update_sample_only_in_training": True, "from": "depthwise"},
        "swish": {"class": "activation", "activation": "swish", "from": "bn"},
        "conv_res": {**SUM, "from": ["swish", "att_res"]},
        "output": {**NORM, "from": "conv_res", "loss": "as_is"},
    }


def _tied() -> Net:
    """Return a language model of two kinds of LSTM, whose softmax has the embedding's weights."""
    unit = {
        "embed": {**PLAIN, "from": "data:source"},
        "r1": {**LSTM, "unit": "lstm", "L2": 0.01, "from": "embed"},
        "r2": {"class": "rnn_cell", "unit": "lstmblock", "n_out": 4, "from": "r1"},
        "output": {
            **{"class": "softmax", "from": "r2", "target": "labels", "loss": "ce"},
            "use_transposed_weights": True,
            "reuse_params": {"map": {"W": {"reuse_layer": "embed"}, "b": None}},
        },
    }
    return {"output": {"class": "rec", "from": "data", "target": "labels", "unit": unit}}


def cases() -> dict[str, Net]:
    """Return the arguments of `returnn_cases.Case` by name."""
    found: dict[str, Net] = {}
    for name, net in (("transformer", _transformer()), ("attention", _attention())):
        opts = {"net": net, "streams": STREAMS, "outputs": ("output/output_prob",)}
        found[name] = {**opts, "lengths": {"data": [5, 2, 4], "labels": [3, 1, 2]}}
    searched = (("transformer", _transformer()), ("fusion", _fusion()), ("two_ends", _two_ends()))
    for name, net in searched:
        opts = {"net": net, "streams": STREAMS, "lengths": {"data": [6, 6], "labels": [3, 2]}}
        found[f"{name}_search"] = {**opts, "search": True}
    data = {"data": {"dim": 4}}
    found["conformer"] = {"net": _conformer(), "streams": data, "lengths": {"data": [7, 7]}}
    words = {"dim": 6, "sparse": True}
    streams = {"data": words, "labels": {**words, "same_dim_tags_as": {"t": "data"}}}
    lengths = {"data": [5, 3], "labels": [5, 3]}
    found["tied"] = {"net": _tied(), "streams": streams, "lengths": lengths}
    return {f"published_{k}": v for k, v in found.items()}
