"""What published configs write besides layers, for RETURNN: see `returnn_cases`."""

from __future__ import annotations

from typing import Any

Net = dict[str, Any]

STREAMS: Net = {"data": {"dim": 4}, "labels": {"dim": 3, "sparse": True}}
LSTM: Net = {"class": "rec", "unit": "nativelstm2", "n_out": 4}
PLAIN: Net = {"class": "linear", "activation": None, "with_bias": False, "n_out": 4}
CHOICE: Net = {"class": "choice", "target": "labels", "beam_size": 3, "initial_output": 0}
TEXT: Net = {"shape": (), "dtype": "string", "sparse": False, "dim": None}
TRANSFORM = (
    "self.network.get_config().typed_value('transform')"
    "(source(0, as_data=True), network=self.network)"
)


def transform(data: Any, network: Any) -> Any:
    """Return features of which training sees the first alone."""
    import tensorflow as tf

    x = data.placeholder
    shape = [data.dim if i == data.feature_dim_axis else 1 for i in range(data.batch_ndim)]
    first = tf.reshape(tf.one_hot(0, data.dim), shape)
    return network.cond_on_train(lambda: x * first, lambda: x)


def means(source: Any, **_: Any) -> Any:
    """Return the mean over the frames of each sequence."""
    import tensorflow as tf

    x = source(0, as_data=True, auto_convert=False).copy_as_batch_major()
    lengths = x.get_sequence_lengths()
    mask = tf.sequence_mask(lengths, dtype=tf.float32)[:, :, None]
    return tf.reduce_sum(x.placeholder * mask, axis=1) / tf.cast(lengths, tf.float32)[:, None]


def _front() -> Net:
    """Return convolutions over time and features of one channel, after a function of the config."""
    conv = {"class": "conv", "padding": "same", "filter_size": (3, 3), "n_out": 2}
    pool = {"class": "pool", "mode": "max", "padding": "same", "pool_size": (1, 2)}
    mean = {"class": "eval", "eval": means, "from": "front"}
    return {
        "source": {"class": "eval", "eval": TRANSFORM, "from": "data"},
        "channel": {"class": "split_dims", "axis": "F", "dims": (-1, 1), "from": "source"},
        "conv": {**conv, "with_bias": True, "activation": None, "from": "channel"},
        "pool": {**pool, "from": "conv"},
        "front": {"class": "merge_dims", "axes": "static", "from": "pool"},
        "mean": {
            **mean,
            "out_type": {"shape": (4,), "time_dim_axis": None},
            "is_output_layer": True,
        },
        "lstm": {**LSTM, "from": "front"},
        "pooled": {"class": "pool", "mode": "max", "pool_size": (2,), "from": "lstm"},
        "output": {"class": "copy", "from": "pooled", "loss": "as_is"},
    }


def _decoder(*, train: bool) -> Net:
    """Return attention over frames that a pool of LSTMs has, with None for what is not used."""
    loss = {"loss": "ce" if train else None, "loss_opts": {"scale": 0.5} if train else None}
    repeats = "where_bc(tf.equal(source(0), source(1)), 1.0, 0.0)"
    unit = {
        "embed": {**PLAIN, "from": "output", "initial_output": 0},
        "s": {**LSTM, "from": ["prev:embed", "prev:att"]},
        "state": {**PLAIN, "from": "s"},
        "sum": {"class": "combine", "kind": "add", "from": ["base:keys", "state"], "n_out": 4},
        "tanh": {"class": "activation", "activation": "tanh", "from": "sum"},
        "energy": {**PLAIN, "n_out": 1, "from": "tanh"},
        "energies": {"class": "squeeze", "axis": "f", "from": "energy"},
        "over": {"class": "reinterpret_data", "set_axes": {"t": "stag:lstm"}, "from": "energies"},
        "weights": {
            **{"class": "softmax_over_spatial", "axis": "stag:lstm", "from": "over"},
            **{"start": None, "window_size": None, "loss_scale": None, "loss_opts": None},
        },
        "att": {"class": "generic_attention", "weights": "weights", "base": "base:encoder"},
        "p": {
            "class": "softmax",
            "from": ["s", "att"],
            "target": "labels",
            **loss,
            "is_output_layer": True,
        },
        "output": {**CHOICE, "from": "p", "cheating": None, "length_normalization": False},
        "again": {
            **{"class": "eval", "from": ["output", "prev:output"], "eval": repeats},
            **{"out_type": {"dtype": "float32", "sparse": False, "dim": None}},
            **{"loss": "as_is" if train else None, "loss_scale": 0.0 if train else None},
        },
        "end": {"class": "compare", "from": "output", "value": 0},
    }
    loop = {"class": "rec", "from": [], "target": ["labels"], "unit": unit}
    return {
        "lstm0": {**LSTM, "from": "data"},
        "lstm0_pool": {"class": "pool", "mode": "max", "pool_size": (2,), "from": "lstm0"},
        "lstm1": {**LSTM, "from": "lstm0_pool"},
        "encoder": {"class": "copy", "from": "lstm1"},
        "keys": {**PLAIN, "with_bias": True, "from": "encoder"},
        "output": {**loop, "size_target": None, "max_seq_len": "max_len_from('base:encoder')"},
    }


def _names() -> Net:
    """Return layers whose names hold what TensorFlow's names of variables may not."""
    step = {"step-1": {**PLAIN, "from": ["data:source", "prev:step-1"]}}
    inner = {"first-1": {**PLAIN, "from": "data"}, "output": {**PLAIN, "from": "first-1"}}
    return {
        "left-output": {**PLAIN, "from": "data"},
        "_hidden": {**PLAIN, "from": "left-output"},
        "norm-1": {"class": "batch_norm", "masked_time": True, "from": "_hidden"},
        "lstm(1)": {**LSTM, "from": "norm-1"},
        "sub-net": {"class": "subnetwork", "subnetwork": inner, "from": "lstm(1)"},
        "output": {
            **{"class": "rec", "from": "sub-net", "loss": "as_is"},
            "unit": {**step, "output": {**PLAIN, "from": "step-1"}},
        },
    }


def _windowed() -> Net:
    """Return attention in a window that begins where the weights of the step before were most."""
    unit = {
        "before": {"class": "squeeze", "axis": "F", "from": "prev:weights"},
        "most": {"class": "reduce", "mode": "argmax", "axis": "T", "from": "before"},
        "first": {"class": "eval", "eval": "tf.maximum(source(0) - 1, 0)", "from": "most"},
        "state": {**PLAIN, "from": "prev:s"},
        "sum": {"class": "combine", "kind": "add", "from": ["base:keys", "state"], "n_out": 4},
        "energy": {**PLAIN, "n_out": 1, "from": "sum"},
        "weights": {
            **{"class": "softmax_over_spatial", "from": "energy", "initial_output": 0},
            **{"window_start": "first", "window_size": 3},
        },
        "att": {"class": "generic_attention", "weights": "weights", "base": "base:keys"},
        "embed": {**PLAIN, "from": "output"},
        "s": {**LSTM, "from": ["embed", "att"]},
        "p": {"class": "softmax", "from": ["prev:s", "att"], "target": "labels", "loss": "ce"},
        "output": {**CHOICE, "from": "p"},
    }
    unit["p"]["is_output_layer"] = True
    loop = {"class": "rec", "from": [], "target": "labels", "unit": unit}
    return {"keys": {**PLAIN, "activation": "tanh", "from": "data"}, "output": loop}


def _masked() -> Net:
    """Return a loop over frames in which a masked subnetwork also gets another layer's frames."""
    inner = {
        "embed": {**PLAIN, "from": "data"},
        "lstm": {**LSTM, "from": ["embed", "base:wide"]},
        "output": {"class": "copy", "from": "lstm"},
    }
    unit = {
        "wide": {**PLAIN, "from": "data:source"},
        "output": {**CHOICE, "from": "p"},
        "new": {"class": "compare", "kind": "not_equal", "value": 2, "from": "output"},
        "masked": {
            **{"class": "masked_computation", "mask": "prev:new", "from": "prev:output"},
            "unit": {"class": "subnetwork", "from": "data", "subnetwork": inner},
        },
        "unmasked": {"class": "unmask", "mask": "prev:new", "from": "masked"},
        "p": {"class": "softmax", "from": ["wide", "unmasked"], "target": "labels", "loss": "ce"},
    }
    unit["new"]["initial_output"] = True
    unit["p"]["is_output_layer"] = True
    return {"output": {"class": "rec", "from": "data", "target": "labels", "unit": unit}}


def _ended() -> Net:
    """Return a loop with a source that is not over it, since its layer `end` says how far it goes.

    Its state has also a text, which TensorFlow's first value is "" of.
    """
    text = "source(0) + where_bc(source(1), tf.as_string(source(2)), tf.constant(''))"
    unit = {
        "frame": {"class": "gather_nd", "position": "place", "from": "base:encoder"},
        "place": {"class": "eval", "from": ["prev:t", "base:last"]},
        "embed": {**PLAIN, "from": "prev:output"},
        "s": {**LSTM, "from": ["frame", "embed"]},
        "p": {"class": "softmax", "from": "s", "target": "labels", "loss": "ce"},
        "output": {**CHOICE, "from": "p", "length_normalization": False},
        "is_label": {"class": "compare", "kind": "not_equal", "value": 2, "from": "output"},
        "text": {"class": "eval", "from": ["prev:text", "is_label", "output"], "eval": text},
        "zero": {"class": "constant", "value": 0, "collocate_with": ["dt", "t"]},
        "one": {"class": "constant", "value": 1, "collocate_with": ["dt", "t"]},
        "dt": {"class": "switch", "condition": "is_label"},
        "t": {"class": "combine", "kind": "add", "from": ["prev:t", "dt"], "initial_output": 0},
        "end": {"class": "compare", "kind": "greater_equal", "from": ["t", "base:frames"]},
    }
    unit["place"]["eval"] = "tf.minimum(source(0), source(1))"
    unit["text"] |= {"initial_output": None, "out_type": TEXT}
    unit["dt"] |= {"true_from": "zero", "false_from": "one"}
    unit["text_length"] = {
        **{"class": "eval", "eval": "tf.strings.length(source(0))", "from": "text"},
        **{"out_type": {"dtype": "int32"}, "is_output_layer": True},
    }
    unit["p"]["is_output_layer"] = True
    loop = {"class": "rec", "from": "encoder", "target": "labels", "unit": unit}
    return {
        "encoder": {**LSTM, "from": "data"},
        "frames": {"class": "length", "from": "encoder"},
        "last": {"class": "eval", "eval": "source(0) - 1", "from": "frames"},
        "output": {**loop, "include_eos": True, "max_seq_len": "max_len_from('base:encoder') * 2"},
    }


def cases() -> dict[str, Net]:
    """Return the arguments of `returnn_cases.Case` by name."""
    front = {"net": _front(), "streams": {"data": {"dim": 4}}, "lengths": {"data": [6, 6]}}
    front |= {"config": {"transform": transform}, "outputs": ("output", "front", "mean")}
    lengths = {"data": [8, 8], "labels": [3, 2]}
    decoder = {"net": _decoder(train=True), "streams": STREAMS, "lengths": lengths}
    decoder["outputs"] = ("output", "output/p")
    search = {"net": _decoder(train=False), "streams": STREAMS, "lengths": lengths}
    data, even = {"data": {"dim": 4}}, {"data": [5, 5], "labels": [5, 5]}
    names = {"net": _names(), "streams": data, "lengths": {"data": [5, 5]}}
    windowed = {"net": _windowed(), "streams": STREAMS, "lengths": lengths}
    streams = {**STREAMS, "labels": {**STREAMS["labels"], "same_dim_tags_as": {"t": "data"}}}
    masked = {"net": _masked(), "streams": streams, "lengths": even}
    for opts in (windowed, masked):
        opts["outputs"] = ("output", "output/p")
    ended = {"net": _ended(), "streams": STREAMS, "lengths": {"data": [3, 3], "labels": [5, 4]}}
    ended["outputs"] = ("output", "output/text_length")
    found = {"ended_search": {**ended, "search": True}}
    ended = {**ended, "outputs": (*ended["outputs"], "output/p")}
    found |= {"ended": ended, "names": names, "windowed": windowed, "masked": masked}
    found |= {"front": front, "decoder": decoder, "decoder_search": {**search, "search": True}}
    return {f"config_{k}": v for k, v in found.items()}
