"""Searches in RETURNN and here: options of choices, several of them, and topologies."""

from __future__ import annotations

from typing import Any

from models import FEATURES, decoder_net, two_choices_net, two_choices_streams

Net = dict[str, Any]

STREAMS: Net = {"data": {"dim": FEATURES}, "classes": {"dim": 4, "sparse": True}}
SAME: Net = {"data": [6, 6, 6]}
# RETURNN's scores are divided by lengths.
PLAIN: Net = {"length_normalization": False}


def without_repetition(
    layer: Any, scores_in: Any, scores_base: Any, end_flags: Any, base_beam_in: Any, **_: Any
) -> Any:
    """Return scores in which the last label again costs something; RETURNN passes the same."""
    import tensorflow as tf

    last = layer.explicit_search_sources[0].output.placeholder
    last = tf.reshape(last, [tf.shape(end_flags)[0], -1])[:, :base_beam_in]
    cost = tf.one_hot(last, layer.explicit_search_sources[0].output.dim) * 0.7
    return scores_base + scores_in - tf.where(end_flags[:, :, None], 0.0, cost)


def _decoder(*, eos: bool = True, lengths: Net = SAME, **opts: Any) -> Net:
    """Return a decoder whose choice has other options."""
    limit = "max_len_from('base:encoder')"
    net = decoder_net(labels=4, beam_size=opts.pop("beam_size", 3), max_len=limit, end=3, eos=eos)
    unit = net["output"]["unit"]
    unit["output"] |= opts
    if opts.get("input_type") == "logits":
        unit["p"] = {"class": "linear", "activation": None, "from": "s", "n_out": 4}
    case = {"net": net, "streams": STREAMS, "lengths": lengths, "search": True}
    power = opts.get("length_normalization_exponent", 1.0)
    return case | ({"normalised": power} if opts.get("length_normalization") else {})


def _cheating(how: bool | str) -> Net:
    """RETURNN makes as many steps as the target has labels, and looks at what is behind its end."""
    return _decoder(cheating=how, lengths={**SAME, "classes": [5, 5, 5]}, **PLAIN)


def _split() -> Net:
    case = _decoder(**PLAIN)
    more = {"is_output_layer": True}
    case["net"]["score"] = {"class": "choice_get_beam_scores", "from": "output", **more}
    case["net"]["split"] = {"class": "split_batch_beam", "from": "score", **more}
    return {**case, "outputs": ("output", "score", "split")}


def _two_choices(beams: tuple[int, int]) -> Net:
    net = two_choices_net(beams=beams)
    unit = net["output"]["unit"]
    for name in ("y", "z"):
        unit[name] |= PLAIN | {"initial_output": 0}
    outputs = ("output", "output/y", "output/z")
    streams, lengths = two_choices_streams(), {"data": [4, 4, 4]}
    return {"net": net, "streams": streams, "lengths": lengths, "search": True, "outputs": outputs}


def _first_output(word: str) -> Net:
    case = _decoder(**PLAIN)
    label: Net = {"class": "linear", "activation": "tanh", "n_out": 3, "from": "output"}
    unit = case["net"]["output"]["unit"]
    unit["label"] = {**label, "initial_output": word}
    unit["p"]["from"] = ["s", "prev:label"]
    return case


def _inner_frames() -> Net:
    """A unit over the encoder's frames in each step, which begins with what hypotheses end with."""
    case = _decoder(**PLAIN)
    inner: Net = {"class": "rec", "unit": "nativelstm2", "n_out": 3, "from": "base:encoder"}
    last: Net = {"class": "get_last_hidden_state", "from": "inner", "key": "h", "n_out": 3}
    unit = case["net"]["output"]["unit"]
    unit["inner"] = {**inner, "initial_state": {"c": "prev:embed", "h": "prev:end_state"}}
    unit["end_state"] = last
    unit["p"]["from"] = ["s", "end_state"]
    return case


def _transducer() -> Net:
    """Labels take no frame; the blank, label 3, goes on to the next one."""
    unit: Net = {
        "blank": {"class": "compare", "from": "output", "value": 3},
        "t": {
            **{"class": "eval", "from": ["prev:t", "blank"], "initial_output": 0},
            **{"eval": "source(0) + tf.cast(source(1), tf.int32)"},
            "out_type": {"dtype": "int32", "sparse": False, "dim": None},
        },
        "frames": {"class": "length", "from": "base:encoder"},
        "at": {
            **{"class": "eval", "from": ["prev:t", "frames"]},
            "eval": "tf.minimum(source(0), source(1) - 1)",
        },
        "frame": {"class": "gather", "from": "base:encoder", "position": "at", "axis": "T"},
        "e": {"class": "linear", "activation": None, "n_out": 2, "from": "prev:output"},
        "s": {"class": "rec", "unit": "nativelstm2", "n_out": 3, "from": ["e", "frame"]},
        "p": {"class": "softmax", "from": "s", "n_out": 4, "target": "classes"},
        "output": {
            **{"class": "choice", "from": "p", "target": "classes", "initial_output": 0},
            **{"beam_size": 4, **PLAIN},
        },
        "end": {"class": "compare", "kind": "greater_equal", "from": ["t", "frames"]},
    }
    net: Net = {
        "enc": {"class": "rec", "unit": "nativelstm2", "n_out": 4, "from": "data"},
        "encoder": {"class": "copy", "from": "enc"},
        "output": {"class": "rec", "from": [], "target": "classes", "unit": unit},
    }
    net["output"] |= {"max_seq_len": "max_len_from('base:encoder') * 2", "include_eos": True}
    return {"net": net, "streams": STREAMS, "lengths": {"data": [3, 3]}, "search": True}


def _frames_until_end() -> Net:
    """A loop over frames, which a label or their number ends."""
    unit: Net = {
        "e": {"class": "linear", "activation": None, "n_out": 4, "from": "prev:output"},
        "sum": {"class": "combine", "kind": "add", "from": ["data:source", "e"]},
        "p": {"class": "activation", "activation": "softmax", "from": "sum"},
        "output": {
            **{"class": "choice", "from": "p", "target": "classes", "initial_output": 0},
            **{"beam_size": 4, **PLAIN},
        },
        "end": {"class": "compare", "from": "output", "value": 3},
    }
    net: Net = {
        "encoder": {"class": "linear", "activation": None, "n_out": 4, "from": "data"},
        "output": {"class": "rec", "from": "encoder", "target": "classes", "unit": unit},
    }
    net["output"] |= {"max_seq_len": 5, "include_eos": True}
    return {"net": net, "streams": STREAMS, "lengths": SAME, "search": True}


SEARCH_CASES: dict[str, Net] = {
    "search_frames_until_end": _frames_until_end(),
    "search_normalised": _decoder(length_normalization=True),
    "search_normalised_sqrt": _decoder(
        length_normalization=True, length_normalization_exponent=0.5, beam_size=6
    ),
    "search_greedy": _decoder(beam_size=1),
    "search_wide": _decoder(beam_size=30, eos=False),
    "search_scaled": _decoder(prob_scale=0.7, base_beam_score_scale=0.9),
    "search_logits": _decoder(input_type="logits"),
    "search_keep_beams": _decoder(keep_beams=True, beam_size=4),
    "search_cheating": _cheating(True),
    "search_cheating_exclusive": _cheating("exclusive"),
    "search_custom_scores": _decoder(
        custom_score_combine=without_repetition,
        explicit_search_sources=["prev:output"],
    ),
    "search_split": _split(),
    "search_two_choices": _two_choices((3, 3)),
    "search_two_choices_wide": _two_choices((12, 12)),
    "search_first_output_var": _first_output("var"),
    "search_first_output_applied": _first_output("apply(0)"),
    "search_inner_frames": _inner_frames(),
    "search_transducer": _transducer(),
}
