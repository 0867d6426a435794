"""Whole networks of speech setups, small, for RETURNN: see `returnn_cases`."""

from __future__ import annotations

from typing import Any

from returnn_lite.dim import BATCH, FeatureDim, SpatialDim

Net = dict[str, Any]

WORDS = 4
LSTM: Net = {"class": "rec", "unit": "nativelstm2", "n_out": 4}
PLAIN: Net = {"class": "linear", "activation": None, "with_bias": False}
ADD: Net = {"class": "combine", "kind": "add"}
DOT: Net = {"class": "dot", "add_var2_if_empty": False}
CE: Net = {"class": "softmax", "loss": "ce"}
CHOICE: Net = {"class": "choice", "beam_size": 3, "initial_output": 0}


def _activated(name: str, source: str) -> Net:
    return {"class": "activation", "activation": name, "from": source}


def _evaluated(text: Any, *sources: str, **more: Any) -> Net:
    return {"class": "eval", "eval": text, "from": list(sources), **more}


def _gammatones(last: Net) -> Net:
    """Return filters over samples, their energies by frame, and cepstra that are normalised."""
    filters, one = FeatureDim("filters", 6), FeatureDim("one", 1)
    conv = {"class": "conv", "padding": "valid"}
    inner = {
        "before": {"class": "slice", "axis": "T", "slice_end": -1, "from": "data"},
        "after": {"class": "slice", "axis": "T", "slice_start": 1, "from": "data"},
        "now": {"class": "reinterpret_data", "size_base": "before", "from": "after"},
        "emphasis": {"class": "combine", "kind": "sub", "from": ["now", "before"]},
        "bank": {**conv, "filter_size": (8,), "n_out": 6, "activation": "abs"},
        "split": {"class": "split_dims", "axis": "F", "dims": (filters, one), "from": "bank"},
        "sums": {
            **{**conv, "filter_size": (6, 1), "strides": (3, 1), "n_out": 1, "from": "split"},
            **{"in_spatial_dims": ["T", filters], "out_dim": one},
            "forward_weights_init": "numpy.hanning(6).reshape((6, 1, 1, 1))",
        },
        "merged": {"class": "merge_dims", "axes": [filters, one], "from": "sums"},
        "loud": _evaluated("tf.pow(tf.abs(source(0)) + 0.01, 0.1)", "merged"),
        "cepstra": {"class": "dct", "from": "loud"},
        "output": {**last, "from": "cepstra"},
    }
    inner["bank"] |= {"in_spatial_dims": "T", "from": "emphasis"}
    net = {"x": {"class": "subnetwork", "from": "data", "subnetwork": inner}}
    lstm = {**LSTM, "from": "x"}
    return {**net, "output": {**lstm, "loss": "as_is"}}


def _contrast() -> Net:
    """Return contexts that tell the frames at masked places from those at other ones."""
    frames, three = SpatialDim("frames"), SpatialDim("three", 3)
    masked = {"class": "masked_computation", "mask": "mask", "out_spatial_dim": frames}
    masked["unit"] = {"class": "copy"}
    place = {"out_type": {"sparse": False, "dim": None, "dtype": "int32"}}
    unit = "tf.nn.l2_normalize(source(0), axis=-1)"
    net: Net = {
        "mask": {"class": "compare", "value": 1, "from": "data:mask"},
        "hidden": {"class": "variable", "shape": (3,), "add_batch_axis": True},
        "seen": {"class": "switch", "condition": "mask"},
        "context": {**LSTM, "from": "seen"},
        "x": {**masked, "from": "context"},
        "linear": {**PLAIN, "n_out": 4, "from": "data"},
        "y": {**masked, "from": "linear"},
        "n": {"class": "length", "from": "y"},
        "i": {"class": "range_in_axis", "axis": "T", "from": "y"},
        "all": {"class": "stack", "from": ["y", "y1", "y2"], "out_spatial_dim": three},
        "units": _evaluated(unit, "all"),
        "unit": _evaluated(unit, "x"),
        "cosine": {**DOT, "reduce": "F", "var1": three, "var2": None, "from": ["units", "unit"]},
        "p": {"class": "softmax_over_spatial", "axis": three, "log_space": True, "from": "cosine"},
        "first": {"class": "gather", "axis": three, "position": 0, "from": "p"},
        "output": _evaluated("-source(0)", "first", loss="as_is"),
    }
    net["seen"] |= {"true_from": "hidden", "false_from": "data"}
    for k in (1, 2):
        net[f"i{k}"] = _evaluated(f"(source(0) + {k}) % source(1)", "i", "n", **place)
        net[f"y{k}"] = {"class": "gather", "axis": "T", "position": f"i{k}", "from": "y"}
    return net


def _lengthened(phones: Any) -> Net:
    """Return states and pitch of phones for all frames of these, which are one dim."""
    often = {"out_type": {"sparse": False, "dim": None, "dtype": "int32"}}
    again = {"class": "repeat", "axis": phones, "out_dim": SpatialDim("frames")}
    return {
        "often": _evaluated("source(0) % 3 + 1", "data", **often),
        "embed": {**PLAIN, "n_out": 4, "from": "data"},
        "states": {**LSTM, "from": "embed"},
        "pitch": {**PLAIN, "n_out": 1, "from": "states"},
        "x": {**again, "repetitions": "often", "from": "states"},
        "y": {**again, "repetitions": "often", "from": "pitch"},
        "output": {**LSTM, "from": ["x", "y"], "loss": "as_is"},
    }


def _upsampled(time: Any) -> Net:
    """Return states for stacked frames, from which those of all frames are made again."""
    return {
        "window": {"class": "window", "window_size": 3, "window_right": 0, "stride": 3},
        "stacked": {"class": "merge_dims", "axes": ["stag:window:window", "F"], "from": "window"},
        "lstm": {**LSTM, "from": "stacked"},
        "up": {
            **{"class": "transposed_conv", "filter_size": (3,), "strides": (3,), "n_out": 3},
            **{"with_bias": True, "activation": "relu", "from": "lstm"},
        },
        "cut": {"class": "slice_nd", "start": 0, "size": time, "from": "up"},
        "left": {**PLAIN, "n_out": 3, "from": "data:left"},
        "output": {**CE, "from": ["cut", "left"], "target": "left"},
    }


def _chunks(*, search: bool) -> Net:
    """Return attention within a chunk of frames, of which label 0 ends each."""
    frames, chunks = SpatialDim("frames", 3), SpatialDim("chunks")
    gather = {"class": "gather", "axis": chunks, "position": "at"}
    prob: Net = {**CE, "from": "readout", "target": "labels"}
    unit: Net = {
        "output": {**CHOICE, "from": "p", "target": "labels", "length_normalization": False},
        "embed": {**PLAIN, "n_out": 3, "from": "output", "initial_output": 0},
        "ends": {"class": "compare", "value": 0, "from": "output"},
        "more": {"class": "switch", "condition": "ends", "true_from": 1, "false_from": 0},
        "chunk": {**ADD, "from": ["prev:chunk", "more"], "initial_output": 0},
        "at": _evaluated("tf.minimum(source(0), source(1))", "prev:chunk", "base:last"),
        "key": {**gather, "from": "base:keys"},
        "value": {**gather, "from": "base:encoder"},
        "s": {**LSTM, "n_out": 3, "from": ["prev:embed", "prev:att"]},
        "query": {**PLAIN, "n_out": 4, "from": "s"},
        "sum": {**ADD, "from": ["key", "query"]},
        "energy0": {**PLAIN, "n_out": 1, "from": "sum", "activation": "tanh"},
        "energy": {"class": "squeeze", "axis": "F", "from": "energy0"},
        "weights": {"class": "softmax_over_spatial", "axis": frames, "from": "energy"},
        "att": {**DOT, "reduce": frames, "var1": None, "var2": "F", "from": ["weights", "value"]},
        "readout": {**PLAIN, "n_out": 4, "from": ["s", "prev:embed", "att"]},
        "p": {**prob, "is_output_layer": True},
        "end": {"class": "compare", "kind": "greater_equal", "from": ["chunk", "base:count"]},
    }
    if not search:
        del unit["end"]
    loop = {"class": "rec", "from": [], "target": "labels", "unit": unit, "include_eos": True}
    net: Net = {
        "window": {
            **{"class": "window", "window_dim": frames, "stride": 2, "window_left": 0},
            **{"out_spatial_dim": chunks, "from": "data"},
        },
        "conv": {
            **{"class": "conv", "filter_size": (3,), "padding": "same", "n_out": 4, "groups": 4},
            **{"in_spatial_dims": [frames], "from": "window"},
        },
        "before": {"class": "shift_axis", "axis": chunks, "amount": 1, "adjust_size_info": False},
        "encoder": {**ADD, "from": ["conv", "before"]},
        "keys": {**PLAIN, "n_out": 4, "from": "encoder"},
        "count": {"class": "length", "axis": chunks, "from": "encoder"},
        "last": _evaluated("source(0) - 1", "count"),
        "output": {**loop, "max_seq_len": "max_len_from('base:encoder') * 3"},
    }
    net["before"]["from"] = "conv"
    return net


def _kept(condition: str, name: str, **more: Any) -> Net:
    """Return a switch between what a layer's new value is, and the one of the step before."""
    choices = {"true_from": f"new_{name}", "false_from": f"prev:{name}"}
    return {"class": "switch", "condition": f"base:{condition}", **choices, **more}


def _attention_of_labels() -> Net:
    """Return attention whose states stay where there is no new label."""
    typed = {"out_type": {"dim": 1, "shape": (None, 1)}}
    accumulated = "source(0) + source(1) * source(2) * 0.5"
    inner: Net = {
        "new_embed": {**PLAIN, "n_out": 3, "from": "base:label", "initial_output": 0},
        "embed": _kept("new", "embed"),
        "new_sums": _evaluated(accumulated, "prev:sums", "weights", "base:base:fertility", **typed),
        "sums": _kept("before", "sums", **typed),
        "feedback": {**PLAIN, "n_out": 4, "from": "prev:sums"},
        "query": {**PLAIN, "n_out": 4, "from": "s"},
        "sum": {**ADD, "n_out": 4, "from": ["base:base:keys", "feedback", "query"]},
        "energy": {**PLAIN, "n_out": 1, "from": "sum", "activation": "tanh"},
        "weights": {"class": "softmax_over_spatial", "from": "energy"},
        "att": {"class": "generic_attention", "weights": "weights", "base": "base:base:encoder"},
        "context": {"class": "merge_dims", "axes": "except_batch", "from": "att"},
        "new_s": {"class": "rnn_cell", "unit": "lstmblock", "n_out": 3, "name_scope": "s/rec"},
        "s": _kept("before", "s"),
        "output": {"class": "softmax", "n_out": WORDS, "from": ["s", "prev:embed", "context"]},
    }
    inner["new_s"]["from"] = ["prev:embed", "prev:context"]
    return inner


def _triggered() -> Net:
    """Return attention that goes on where CTC has a new label, and its scores in the same search.

    The attention is a subnetwork, of which some layers wait for the choice that it leads to.
    """
    inner = _attention_of_labels()
    model = {
        "class": "subnetwork",
        "from": [],
        "n_out": WORDS,
        "name_scope": "",
        "subnetwork": inner,
    }
    word = _evaluated(f"tf.minimum(source(0), {WORDS - 1})", "output", initial_output=0)
    known = {"class": "reinterpret_data", "set_sparse_dim": WORDS, "initial_output": 0}
    unit: Net = {
        "word": word,
        "label": {**known, "set_sparse": True, "from": "word"},
        "model": model,
        "changed": {"class": "compare", "kind": "not_equal", "from": ["output", "prev:output"]},
        "is_word": {"class": "compare", "kind": "not_equal", "value": WORDS, "from": "output"},
        "new": {"class": "combine", "kind": "logical_and", "from": ["is_word", "changed"]},
        "before": {"class": "copy", "from": "prev:new"},
        "ctc": _activated("safe_log", "data:source"),
        "blank0": {"class": "gather", "axis": "F", "position": WORDS, "from": "ctc"},
        "blank": {"class": "expand_dims", "axis": "F", "from": "blank0"},
        "words0": {"class": "slice", "axis": "F", "slice_end": WORDS, "from": "ctc"},
        "norm": {"class": "reduce", "mode": "logsumexp", "axis": "F", "from": "words0"},
        "words": {"class": "combine", "kind": "sub", "from": ["words0", "norm"]},
        "scores": _evaluated("source(0) + 0.5 * safe_log(source(1))", "words", "model"),
        "rest0": _activated("safe_exp", "blank0"),
        "rest": _evaluated("tf.math.log(1.0 - 0.9 * source(0))", "rest0"),
        "labels": {**ADD, "from": ["rest", "scores"]},
        "range": {"class": "range", "limit": WORDS},
        "prev_word": {**known, "set_sparse": True, "from": "prev:word"},
        "again": {"class": "compare", "from": ["prev_word", "range"]},
        "all": {"class": "switch", "condition": "again", "true_from": "words0"},
        "both": {"class": "concat", "from": [("all", "F"), ("blank", "F")]},
        "output": {**CHOICE, "from": "both", "input_type": "log_prob", "target": "alignment"},
    }
    unit["all"]["false_from"] = "labels"
    unit["output"]["length_normalization"] = False
    for name in ("changed", "new"):
        unit[name]["initial_output"] = True
    loop = {"class": "rec", "from": "probs", "target": "alignment", "unit": unit}
    return {
        "lstm": {**LSTM, "from": "data"},
        "encoder": {"class": "split_dims", "axis": "F", "dims": (1, -1), "from": "lstm"},
        "keys": {**PLAIN, "n_out": 4, "from": "lstm"},
        "fertility": {**PLAIN, "activation": "sigmoid", "n_out": 1, "from": "lstm"},
        "probs": {"class": "softmax", "n_out": WORDS + 1, "from": "lstm"},
        "output": loop,
    }


def _sum_of_cells(source: Any, **_: Any) -> Any:
    """Return for each sequence the scores of blanks at all frames, and of its labels at these."""
    import tensorflow as tf

    scores, labels, frames = (source(i, as_data=True, auto_convert=False) for i in range(3))
    x, y = scores.get_placeholder_as_batch_major(), labels.get_placeholder_as_batch_major()
    count, words = frames.get_sequence_lengths(), labels.get_sequence_lengths()
    valid = tf.sequence_mask(count, dtype=tf.float32)[:, :, None]
    ends = tf.sequence_mask(words + 1, dtype=tf.float32)[:, None]
    found = tf.reduce_sum(x[..., -1] * valid * ends, axis=[1, 2])
    chosen = tf.reduce_sum(x[:, :, :-1] * tf.one_hot(y, tf.shape(x)[3])[:, None], axis=-1)
    within = tf.sequence_mask(words, dtype=tf.float32)[:, None]
    return -found - tf.reduce_sum(chosen * valid * within, axis=[1, 2])


def _joint() -> Net:
    """Return a transducer over all frames and labels at once, with a loss of the config's own."""
    by_sequence = {"shape": (), "dim": None, "feature_dim_axis": None, "time_dim_axis": None}
    return {
        "encoder": {**LSTM, "from": "data"},
        "begun": {"class": "prefix_in_time", "prefix": 0, "from": "data:labels"},
        "embed": {**PLAIN, "n_out": 3, "from": "begun"},
        "predictor": {**LSTM, "from": "embed"},
        "both": {**ADD, "from": ["encoder", "predictor"]},
        "x": {"class": "linear", "n_out": WORDS + 1, "from": "tanh", "activation": "log_softmax"},
        "tanh": _activated("tanh", "both"),
        "loss": _evaluated(
            *(_sum_of_cells, "x", "data:labels", "encoder"), out_type=by_sequence, loss="as_is"
        ),
        "output": {"class": "copy", "from": "encoder"},
    }


def cases() -> dict[str, Net]:
    """Return the arguments of `returnn_cases.Case` by name."""
    labels = {"dim": WORDS, "sparse": True}
    mask = {"dim": 2, "sparse": True, "same_dim_tags_as": {"t": "data"}}
    found: dict[str, Net] = {}
    norm = {"class": "norm", "axes": "T"}
    for name, last in (("norm", norm), ("batch_norm", {"class": "batch_norm"})):
        opts = {"net": _gammatones(last), "streams": {"data": {"dim": 1}}}
        found[f"gammatones_{name}"] = {**opts, "lengths": {"data": [30, 30]}}
    found["contrast"] = {"net": _contrast(), "streams": {"data": {"dim": 3}, "mask": mask}}
    found["contrast"] |= {"lengths": {"data": [7, 7], "mask": [7, 7]}}
    time = SpatialDim("time")
    tags = {"data": {"dim_tags": [BATCH, time, FeatureDim("in", 4)]}}
    tags["left"] = {"dim_tags": [BATCH, time], "sparse_dim": FeatureDim("left", 3), "dim": 3}
    tags["left"]["sparse"] = True
    found["upsampled"] = {"net": _upsampled(time), "streams": tags}
    found["upsampled"] |= {"lengths": {"data": [8, 8], "left": [8, 8]}}
    phones = SpatialDim("phones")
    words = {"dim_tags": [BATCH, phones], "sparse_dim": FeatureDim("v", 6), "dim": 6}
    found["lengthened"] = {"net": _lengthened(phones), "lengths": {"data": [4, 3]}}
    found["lengthened"]["streams"] = {"data": {**words, "sparse": True}}
    streams = {"data": {"dim": 4}, "labels": labels}
    chunks = {"streams": streams, "lengths": {"data": [7, 7], "labels": [5, 4]}}
    found["chunks"] = {**chunks, "net": _chunks(search=False)}
    found["chunks_search"] = {**chunks, "net": _chunks(search=True), "search": True}
    aligned = {"data": {"dim": 4}, "alignment": {"dim": WORDS + 1, "sparse": True}}
    found["triggered_search"] = {"net": _triggered(), "streams": aligned, "search": True}
    found["triggered_search"]["lengths"] = {"data": [6, 6]}
    found["joint"] = {"net": _joint(), "streams": streams}
    found["joint"] |= {"lengths": {"data": [5, 4], "labels": [3, 2]}, "outputs": ("x", "loss")}
    inner = {"chunks": ("output/p", "encoder"), "upsampled": ("output", "cut")}
    for name, outputs in inner.items():
        found[name] |= {"outputs": outputs}
    return {f"speech_{k}": v for k, v in found.items()}
