"""Losses that RETURNN and this project compute: arguments of `returnn_cases.Case`."""

from __future__ import annotations

import copy
from typing import Any

Net = dict[str, Any]

STREAMS: Net = {
    "data": {"dim": 3},
    "dense": {"dim": 4, "same_dim_tags_as": {"t": "data"}},
    "classes": {"dim": 4, "sparse": True, "same_dim_tags_as": {"t": "data"}},
    "labels": {"dim": 4, "sparse": True},
}
LENGTHS: Net = {k: [5, 2, 4] for k in ("data", "dense", "classes")}
LENGTHS["labels"] = [3, 1, 2]


def _linear(activation: str | None, loss: str, target: str | None, **opts: Any) -> Net:
    layer: Net = {"class": "linear", "activation": activation, "n_out": 4, "from": "data"}
    layer |= {"loss": loss, "loss_opts": opts}
    return layer if target is None else {**layer, "target": target}


def _frames() -> Net:
    net = {
        "focal": _linear("softmax", "ce", "classes", focal_loss_factor=2.0, scale=0.5),
        "bound": _linear("softmax", "ce", "classes", fake_upper_bound=0.7, label_smoothing=0.1),
        "soft": _linear("softmax", "ce", "dense"),
        "mse": _linear("tanh", "mse", "dense", scale=3.0),
        "mse_labels": _linear("softmax", "mse", "classes"),
        "l1": _linear(None, "mean_l1", "dense"),
        "binary": _linear(None, "bin_ce", "dense", pos_weight=2.0),
        "as_is": {**_linear("tanh", "as_is", None), "loss_scale": 0.3},
        "other_norm": _linear("tanh", "as_is", None, custom_inv_norm_factor="length"),
        "reported": _linear("tanh", "as_is", None, as_error=True),
        "unscaled": {**_linear("softmax", "ce", "classes"), "loss_scale": 0},
        "length": {"class": "length", "from": "data:labels"},
    }
    names = tuple(n for n in net if n != "length")
    return {"net": net, "streams": STREAMS, "lengths": LENGTHS, "outputs": names}


def _options() -> Net:
    """Return losses of frames with options that few have, and of one number for each frame."""
    smooth: Net = {"label_smoothing": 0.2, "label_smoothing_gaussian": True}
    net = {
        "density": _linear("softmax", "ce", "classes", **smooth),
        "density_of_log": _linear("sigmoid", "ce", "classes", **smooth),
        "logits": _linear(None, "ce", "data:classes", input_type="logits", label_smoothing=0.1),
        "dense_logits": _linear(None, "ce", "dense", input_type="logits"),
        "limited": _linear("sigmoid", "ce", "classes", safe_log_opts={"eps": 0.4}),
        "unfused": _linear("softmax", "ce", "classes", use_fused=False, safe_log_opts={"eps": 0.2}),
        "norm": _linear("tanh", "mse", "dense", custom_norm_factor=3.0, use_normalized_loss=True),
        "l1": _linear(None, "l1", "dense", use_flatten_frames=False),
        "one": {**_linear(None, "as_is", None), "n_out": 1},
        "binary": {"class": "squeeze", "axis": "F", "from": "one", "loss": "bin_ce"},
    }
    net["binary"]["target"] = "curve"
    curve = {"shape": (None,), "dim": None, "same_dim_tags_as": {"t": "data"}}
    streams = {**{k: STREAMS[k] for k in ("data", "dense", "classes")}, "curve": curve}
    lengths = dict.fromkeys(streams, LENGTHS["data"])
    return {"net": net, "streams": streams, "lengths": lengths, "outputs": tuple(net)}


def _ctc() -> Net:
    log_probs: Net = {**_linear("log_softmax", "ctc", "labels"), "n_out": 5}
    lstm: Net = {"class": "rec", "unit": "nativelstm2", "n_out": 3, "from": "data"}
    skip = {"ignore_longer_outputs_than_inputs": True}
    rna = {"label_loop": False}
    plain: Net = {"class": "softmax", "from": "lstm", "target": "labels", "loss": "ctc"}
    in_log: Net = {"beam_width": 1, "use_native": True, "output_in_log_space": True}
    net: Net = {
        "lstm": lstm,
        "skip": {**plain, "loss_opts": {"beam_width": 1, "ctc_opts": skip}},
        "native": {**plain, "loss_opts": {"beam_width": 1, "use_native": True}},
        "logits": {**log_probs, "activation": None},
        "normal": {**log_probs, "from": "lstm"},
        "rna": {**plain, "loss_opts": {"beam_width": 1, "use_native": True, "ctc_opts": rna}},
    }
    net["logits"]["loss_opts"] = {**in_log, "ctc_opts": {"logits_normalize": False}}
    net["normal"]["loss_opts"] = {**in_log, "ctc_opts": {"logits_normalize": False}}
    lengths = {**LENGTHS, "data": [7, 4, 6], "labels": [3, 2, 2]}
    lengths = {k: v for k, v in lengths.items() if k in ("data", "labels")}
    outputs = ("skip", "native", "logits", "normal", "rna")
    return {"net": net, "streams": STREAMS, "lengths": lengths, "outputs": outputs}


def _ctc_options() -> Net:
    """Return CTC of the best path, and of labels that are changed first."""
    plain: Net = {**_linear("softmax", "ctc", "labels", beam_width=1), "n_out": 5}
    best: Net = {"class": "ctc_loss", "targets": "data:labels", "max_approx": True, "loss": "as_is"}
    net: Net = {
        "best": {**plain, "loss_opts": {"beam_width": 1, "use_viterbi": True}},
        "clipped": {**plain, "loss_opts": {"beam_width": 1, "auto_clip_target_len": True}},
        "unlike": {**plain, "loss_opts": {"beam_width": 1, "target_collapse_repeated": True}},
        "other": {**plain, "loss_opts": {"beam_width": 1}},
        "scores": {"class": "linear", "activation": "log_softmax", "n_out": 5, "from": "data"},
        "layer": {**best, "logits": "scores", "logits_normalized": True},
        "rna": {**best, "logits": "scores", "label_loop": False},
    }
    net["other"]["loss_opts"]["ctc_opts"] = {"preprocess_collapse_repeated": True}
    net["clipped"]["target"] = "many"
    streams = {**{k: STREAMS[k] for k in ("data", "labels")}, "many": STREAMS["labels"]}
    lengths = {"data": [9, 7, 8], "labels": [3, 4, 2], "many": [2, 7, 3]}
    return {"net": net, "streams": streams, "lengths": lengths, "outputs": tuple(net)}


def _layers() -> Net:
    """Return losses as layers, and a loss by Baum-Welch."""
    as_is: Net = {"loss": "as_is"}
    via = {"loss_wrt_to_act_in": "softmax", "align_layer": "posteriors"}
    bw: Net = {"class": "fast_bw", "align_target": "ctc", "align_target_key": "labels"}
    net: Net = {
        "probs": {"class": "softmax", "n_out": 4, "from": "data"},
        "ce": {"class": "loss", "from": "probs", "loss_": "ce", "target_": "classes", **as_is},
        "logits": {"class": "linear", "activation": None, "n_out": 5, "from": "data"},
        "ctc": {"class": "ctc_loss", "logits": "logits", "targets": "data:labels", **as_is},
        "sparse": {"class": "sparse_softmax_cross_entropy_with_logits", **as_is},
        "labels": {"class": "softmax", "n_out": 5, "from": "data"},
        "posteriors": {**bw, "input_type": "prob", "from": "labels", "am_scale": 0.7},
        "aligned": {"class": "copy", "from": "labels", "loss": "via_layer"},
        "copied": {"class": "copy", "from": "probs", "loss": "ce", "target": "classes"},
        "by_signal": {"class": "copy", "from": "logits", "loss": "via_layer"},
    }
    net["sparse"] |= {"logits": "probs", "targets": "data:classes"}
    net["aligned"]["loss_opts"] = via
    net["by_signal"]["loss_opts"] = {"error_signal_layer": "posteriors"}
    net["posteriors"]["is_output_layer"] = True
    outputs = ("ce", "ctc", "sparse", "aligned", "posteriors", "by_signal", "copied")
    lengths = {k: v for k, v in LENGTHS.items() if k != "dense"}
    return {"net": net, "streams": STREAMS, "lengths": lengths, "outputs": outputs}


def _parts() -> Net:
    """Return the parts of loss layers, below names that checkpoints have with other letters."""
    unit = {"d-e": {"class": "linear", "n_out": 3, "from": "data:source", "activation": "relu"}}
    unit["output"] = {"class": "linear", "n_out": 3, "from": ["d-e", "prev:output"]}
    net: Net = {
        "in-put (1)": {"class": "linear", "activation": "tanh", "n_out": 3, "from": "data"},
        "_r:c": {"class": "rec", "from": "in-put (1)", "unit": unit},
        "p+q": {"class": "softmax", "n_out": 4, "from": "_r:c"},
        "x, y": {"class": "loss", "from": "p+q", "loss_": "ce"},
        "value": {"class": "copy", "from": "x, y/loss", "loss": "as_is", "loss_scale": 0.5},
        "error": {"class": "copy", "from": "x, y/error", "loss": "as_is", "loss_scale": 0},
    }
    lengths = {k: LENGTHS[k] for k in ("data", "classes")}
    streams = {k: STREAMS[k] for k in lengths}
    return {"net": net, "streams": streams, "lengths": lengths, "outputs": ("value", "error")}


def _search(*, train: bool) -> Net:
    """Return a decoder whose hypotheses are compared with labels."""
    unit: Net = {
        "e": {"class": "linear", "activation": None, "n_out": 3, "from": "prev:output"},
        "s": {"class": "rnn_cell", "unit": "LSTMBlock", "n_out": 4, "from": ["e", "base:last"]},
        "p": {"class": "softmax", "from": "s", "n_out": 4},
        "output": {"class": "choice", "from": "p", "target": "labels", "beam_size": 3},
        "end": {"class": "compare", "from": "output", "value": 3},
    }
    unit["output"] |= {"initial_output": 0, "length_normalization": False}
    loop: Net = {"class": "rec", "from": [], "target": "labels", "unit": unit, "include_eos": True}
    risk: Net = {"loss": {"class": "edit_distance"}, "loss_kind": "error"}
    scored: Net = {"class": "copy", "from": "output", "target": "labels"}
    net: Net = {
        "fw": {"class": "rec", "unit": "nativelstm2", "n_out": 2, "from": "data"},
        "last": {"class": "get_last_hidden_state", "from": "fw", "key": "h", "n_out": 2},
        "output": {**loop, "max_seq_len": "max_len_from('base:fw')"},
        "decision": {"class": "decide", "from": "output", "target": "labels"},
        "risk": {**scored, "loss": "expected_loss", "loss_opts": risk},
        "sum": {**scored, "loss": "expected_loss"},
        "score": {"class": "copy", "from": "output", "loss": "search_score", "loss_scale": 0.2},
    }
    net["decision"] |= {"loss": "edit_distance", "only_on_search": True}
    net["decision"]["loss_opts"] = {"debug_print": True}
    net["sum"]["loss_opts"] = {**risk, "subtract_average_loss": False, "divide_beam_size": False}
    streams = {k: STREAMS[k] for k in ("data", "labels")}
    lengths = {"data": [6, 6, 6], "labels": [3, 1, 4]}
    outputs = ("output", "decision", *(("risk", "sum", "score") if train else ()))
    if not train:
        net = {k: v for k, v in net.items() if k not in ("risk", "sum", "score")}
        net["decision"]["length_normalization"] = True
    return {
        "net": net,
        "streams": streams,
        "lengths": lengths,
        "outputs": outputs,
        "search": True,
        "train": train,
    }


def _extra_search() -> Net:
    """Return a decoder that is trained on labels, and on hypotheses beside their truth."""
    case = _search(train=True)
    net = {k: case["net"][k] for k in ("fw", "last", "output")}
    net["extra.search:output"] = copy.deepcopy(net["output"])
    net["extra.search:output"]["unit"]["output"]["cheating"] = "exclusive"
    net["output"]["unit"]["p"] |= {"target": "labels", "loss": "ce", "loss_scale": 0.3}
    net["risk"] = {**case["net"]["risk"], "from": "extra.search:output"}
    lengths = {**case["lengths"], "labels": [3, 3, 3]}
    return {**case, "net": net, "lengths": lengths, "outputs": ("output", "risk"), "search": False}


def _layers_as_targets() -> Net:
    """Return a decoder of which a loss has a layer of the loop as its target."""
    plain: Net = {"class": "linear", "activation": "tanh", "n_out": 3}
    unit: Net = {
        "e": {**plain, "from": "prev:output"},
        "s": {**plain, "from": ["e", "base:mean", "prev:s"]},
        "p": {"class": "softmax", "from": "s", "target": "labels", "loss": "ce"},
        "output": {"class": "choice", "from": "p", "target": "labels", "beam_size": 1},
        "end": {"class": "compare", "from": "output", "value": 0},
        "same": {"class": "copy", "from": "output"},
        "q": {"class": "softmax", "n_out": 4, "from": "s", "target": "layer:same", "loss": "ce"},
    }
    unit["output"]["initial_output"] = 0
    net: Net = {
        "mean": {"class": "reduce", "mode": "mean", "axis": "T", "from": "data"},
        "output": {"class": "rec", "from": [], "target": "labels", "unit": unit},
    }
    net["output"]["max_seq_len"] = 9
    streams = {k: STREAMS[k] for k in ("data", "labels")}
    lengths = {k: LENGTHS[k] for k in streams}
    return {"net": net, "streams": streams, "lengths": lengths, "outputs": ("output",)}


LOSS_CASES: dict[str, Net] = {
    "losses": _frames(),
    "losses_with_options": _options(),
    "losses_ctc": _ctc(),
    "losses_ctc_options": _ctc_options(),
    "losses_as_layers": _layers(),
    "losses_as_parts": _parts(),
    "losses_of_layers_in_a_loop": _layers_as_targets(),
    "losses_of_search": _search(train=False),
    "losses_of_beam": _search(train=True),
    "losses_of_an_extra_search": _extra_search(),
}
