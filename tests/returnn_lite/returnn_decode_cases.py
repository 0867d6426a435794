"""Layers of decoding and of loops in RETURNN and here: arguments of `returnn_cases.Case`."""

from __future__ import annotations

from typing import Any

from models import FEATURES, decoder_net

Net = dict[str, Any]

STREAMS: Net = {
    "data": {"dim": 3},
    "classes": {"dim": 4, "sparse": True, "same_dim_tags_as": {"t": "data"}},
    "labels": {"dim": 4, "sparse": True},
}
LENGTHS: Net = {"data": [5, 2, 4], "classes": [5, 2, 4], "labels": [3, 1, 2]}
LINEAR: Net = {"class": "linear", "activation": "tanh", "n_out": 4}
MASK: Net = {"class": "compare", "kind": "not_equal", "value": 0, "from": "data:classes"}
LOSS: Net = {"class": "softmax", "loss": "ce", "target": "classes"}
LABELS = "layer:base:data:labels"


def _marked(net: Net) -> tuple[str, ...]:
    """Make all layers but the last outputs; return their names."""
    names = tuple(net)[:-1]
    for name in names:
        net[name]["is_output_layer"] = True
    return (*names, tuple(net)[-1])


def _unmask() -> Net:
    """In a loop, a slow network over the steps with a true mask, and one over labels."""
    rnn = {"class": "rec", "unit": "nativelstm2", "n_out": 4}
    unit = {
        "mask": {**MASK, "initial_output": True},
        "lm": {
            "class": "masked_computation",
            "mask": "prev:mask",
            "masked_from": "base:embedded",
            "from": "data:source",
            "unit": rnn,
        },
        "here": {
            "class": "masked_computation",
            "mask": "mask",
            "from": "data:source",
            "unit": {**LINEAR, "initial_output": 1.0},
        },
        "all": {"class": "unmask", "mask": "mask", "from": "here"},
        "lm_all": {"class": "unmask", "mask": "prev:mask", "from": "lm"},
        "output": {**LINEAR, "from": ["lm_all", "all", "prev:output"]},
    }
    net = {
        "embedded": {**LINEAR, "from": "data:labels"},
        "loop": {"class": "rec", "from": "data", "unit": unit},
        "output": {**LOSS, "from": "loop"},
    }
    lengths = {**LENGTHS, "labels": [6, 3, 5]}
    outputs = ("output", "loop")
    return {"net": net, "streams": STREAMS, "lengths": lengths, "outputs": outputs}


def _edit() -> Net:
    unit = {
        "table": {"class": "edit_distance_table", "from": "data:source", "target": LABELS},
        "next": {"class": "optimal_completions", "from": "prev:table", "target": LABELS},
        "blanks": {"class": "edit_distance_table", "from": "data:source", "target": LABELS},
        "rest": {"class": "optimal_completions", "from": "blanks", "target": LABELS},
        "output": {"class": "combine", "kind": "add", "from": ["next", "rest"]},
    }
    for name in ("blanks", "rest"):
        unit[name]["blank_idx"] = 0
    net = {
        "distance": {"class": "edit_distance", "a": "data:classes", "b": "data:labels"},
        "output": {"class": "rec", "from": "data:classes", "unit": unit},
    }
    return {
        "net": net,
        "streams": STREAMS,
        "lengths": LENGTHS,
        "outputs": _marked(net),
        # RETURNN has the table in a loop only.
        "returnn": {"output/optimize_move_layers_out": False},
    }


def _align() -> Net:
    align = {"class": "forced_align", "align_target": "data:labels"}
    net = {
        "scores": {**LINEAR, "activation": "log_softmax", "n_out": 5, "from": "data"},
        "probs": {**LINEAR, "activation": "softmax", "n_out": 4, "from": "data"},
        "ctc": {**align, "topology": "ctc", "input_type": "log_prob", "from": "scores"},
        "rna": {**align, "topology": "rna", "input_type": "log_prob", "from": "scores"},
        "ctc_score": {"class": "copy", "from": "ctc/scores"},
        "rna_score": {"class": "copy", "from": "rna/scores"},
        "output": {"class": "copy", "from": "scores"},
    }
    return {"net": net, "streams": STREAMS, "lengths": LENGTHS, "outputs": _marked(net)}


def _packed() -> Net:
    net = {
        "packed": {"class": "flatten_batch", "from": "data"},
        "deep": {**LINEAR, "from": "packed"},
        "back": {"class": "unflatten_batch", "from": "deep"},
        "by_time": {"class": "flatten_batch", "batch_major": False, "from": "data"},
        "by_time_back": {"class": "unflatten_batch", "from": "by_time"},
        "merged": {"class": "merge_dims", "axes": "BT", "from": "data"},
        "split": {"class": "split_batch_time", "base": "data", "from": "merged"},
        "output": {**LOSS, "from": "back"},
    }
    outputs = ("output", "back", "by_time_back", "split", "packed", "by_time")
    for name in outputs:
        net[name]["is_output_layer"] = True
    return {"net": net, "streams": STREAMS, "lengths": LENGTHS, "outputs": outputs}


def _loops() -> Net:
    unit = {
        "x": {"class": "rec_unstack", "from": "base:data", "axis": "T", "declare_rec_time": True},
        "early": {"class": "compare", "kind": "less", "value": 2, "from": ":i"},
        "sum": {**LINEAR, "from": ["prev:rate", "x"], "need_last": True},
        "rate": {
            "class": "cond",
            "condition": "early",
            "true_layer": {"class": "eval", "eval": "source(0) * 2.0", "from": "sum"},
            "false_layer": {"class": "copy", "from": "sum"},
        },
        "output": {"class": "combine", "kind": "add", "from": ["sum", "rate"]},
    }
    net = {
        "flag": {"class": "train_flag"},
        "loop": {"class": "rec", "from": [], "unit": unit},
        "last": {"class": "rec_last_output", "rec_layer": "loop", "sub_layer_name": "sum"},
        "either": {
            "class": "cond",
            "condition": "flag",
            "true_layer": {**LINEAR, "from": "loop"},
            "false_layer": {"class": "copy", "from": "loop"},
        },
        "output": {**LOSS, "from": ["either", "loop"]},
    }
    outputs = ("output", "loop", "last", "either")
    for name in outputs:
        net[name]["is_output_layer"] = True
    return {"net": net, "streams": STREAMS, "lengths": LENGTHS, "outputs": outputs}


def _beams() -> Net:
    net = decoder_net(
        labels=4, beam_size=3, max_len="max_len_from('base:encoder')", end=3, eos=True
    )
    of_beam = {"from": "output", "is_output_layer": True, "only_on_search": True}
    net["output"]["unit"] |= {
        "scores": {"class": "choice_get_beam_scores", **of_beam},
        "before": {"class": "choice_get_src_beams", **of_beam},
    }
    net["total"] = {"class": "choice_get_beam_scores", **of_beam}
    return {
        "net": net,
        "streams": {"data": {"dim": FEATURES}, "classes": {"dim": 4, "sparse": True}},
        "lengths": {"data": [6, 6, 6]},
        "outputs": ("output", "output/scores", "output/before", "total"),
        "search": True,
    }


DECODE_CASES: dict[str, Net] = {
    "unmask": _unmask(),
    "edit_tables": _edit(),
    "forced_align": _align(),
    "packed_batch": _packed(),
    "loops": _loops(),
    "beam_scores": _beams(),
}
