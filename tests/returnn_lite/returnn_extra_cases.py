"""Extra networks, such as a search in the training that uses what it found: see `returnn_cases`."""

from __future__ import annotations

from typing import Any

from models import ENCODER, FEATURES, decoder_net

Net = dict[str, Any]

STREAMS: Net = {"data": {"dim": FEATURES}, "classes": {"dim": 4, "sparse": True}}
SAME: Net = {"data": [6, 6, 6], "classes": [5, 5, 5]}
AFFINE: Net = {"class": "linear", "activation": None, "n_out": 3, "from": "data"}
OUT: Net = {"is_output_layer": True}


def layers_again() -> Net:
    """Layers of the dict twice, by their own dict or the same one, with the same parameters."""
    half = {"class": "eval", "eval": "source(0) * 0.5", "from": "data"}
    inner = {
        "a": {**AFFINE, "activation": "relu"},
        "b": {"class": "eval", "eval": "source(0) - 0.1", "from": "a"},
        "output": {"class": "combine", "kind": "add", "from": ["a", "b"]},
    }
    net = {
        "half": half,
        "extra:half": {**half, "from": "double"},
        "double": {"class": "eval", "eval": "source(0) * 2.0", "from": "data"},
        "input": {**AFFINE, "from": "half"},
        "extra.2:input": {**AFFINE, "from": "double"},
        "sub": {"class": "subnetwork", "from": "input", "subnetwork": inner},
        "extra.2:sub": {"class": "subnetwork", "from": "input", "subnetwork": inner},
        "x": {"class": "copy", "from": ["extra.2:input", "extra.3:input", "extra:half"], **OUT},
        "y": {"class": "copy", "from": ["sub", "extra.2:sub", "extra.2:sub/b"], **OUT},
        "z": {"class": "softmax", "from": "extra.3:sub", "loss": "ce", "target": "classes"},
        "output": {"class": "softmax", "from": "y", "loss": "ce", "target": "classes"},
        "extra.2:output": {"class": "softmax", "from": "y", "loss": "ce", "target": "classes"},
    }
    return {"net": net, "outputs": ("x", "y", "z", "output", "extra.2:output")}


def training_on_what_is_found() -> Net:
    """A decoder is trained with labels that it finds itself."""
    parts = decoder_net(labels=4, beam_size=3, max_len="5", end=3, eos=False)
    decoder = parts.pop("output")
    return {
        "net": {
            **parts,
            "extra.search:output": {
                **{**decoder, "back_prop": False, "size_target": "classes"},
                "unit": {**decoder["unit"], "p": {**decoder["unit"]["p"], "loss": None}},
            },
            "extra.search:best": {
                **{"class": "decide", "from": "extra.search:output"},
                **{"loss": "search_score", "loss_scale": 0.3},
            },
            "found": {
                **{"class": "copy", "from": "extra.search:best"},
                **{"register_as_extern_data": "found", **OUT},
            },
            "output": {
                **{**decoder, "target": "found"},
                "unit": {
                    **decoder["unit"],
                    "p": {**decoder["unit"]["p"], "target": "found", "loss_opts": {"scale": 2.0}},
                    "output": {**decoder["unit"]["output"], "target": "found"},
                },
            },
        },
        "outputs": ("found", "output"),
    }


def realignment() -> Net:
    """Labels that come with frames are trained on the best frames, among which is the old one."""

    def decoder(target: str, *, search: bool) -> Net:
        unit: Net = {
            "embed": {"class": "linear", "activation": None, "n_out": 3, "from": "prev:output"},
            "place": {"class": "linear", "activation": None, "n_out": 2, "from": "prev:t"},
            "s": {"class": "rec", "unit": "nativelstm2", "n_out": 4, "from": ["embed", "place"]},
            "p": {"class": "softmax", "n_out": 6, "from": ["s", "base:mean"]},
            "t": {"class": "copy", "from": "t0", "initial_output": 0, "is_output_layer": search},
            "t0": {
                **{"class": "choice", "from": "p", "target": target, "beam_size": 4},
                **{"cheating": search, "length_normalization": False, "initial_output": 0},
            },
            "frame": {"class": "gather", "from": "base:encoder", "position": "t", "axis": "T"},
            "q": {"class": "softmax", "from": ["s", "frame"], "target": "classes"},
            "output": {
                **{"class": "choice", "from": "q", "target": "classes", "beam_size": 4},
                **{"search": False, "length_normalization": False, "initial_output": 0},
            },
            "end": {"class": "compare", "from": "output", "value": 9},
        }
        if not search:
            unit["q"]["loss"] = unit["p"]["loss"] = "ce"
            unit["p"]["target"] = target
        opts = {"target": ["classes", target], "size_target": target, "max_seq_len": 5}
        return {"class": "rec", "from": [], "unit": unit, "back_prop": not search, **opts}

    return {
        "net": {
            **ENCODER,
            "mean": {"class": "reduce", "mode": "mean", "axis": "T", "from": "encoder"},
            "0_first": {
                **{"class": "eval", "from": "data:classes"},
                "eval": "tf.zeros_like(source(0)) + 2",
                "out_type": {"dim": 6},
                "register_as_extern_data": "first",
            },
            "extra.search:output": decoder("first", search=True),
            "extra.search:t": {"class": "decide", "from": "extra.search:output/t"},
            "1_best": {
                **{"class": "copy", "from": "extra.search:t", **OUT},
                "register_as_extern_data": "best",
            },
            "output": decoder("best", search=False),
        },
        "outputs": ("1_best", "output"),
    }


def best_of_each_label(
    scores_in: Any, scores_base: Any, base_beam_in: int, end_flags: Any, **_: Any
) -> Any:
    """Return scores of which only the best extension with a label is left."""
    import tensorflow as tf

    scores = scores_in + scores_base
    best = tf.argmax(scores, axis=1, output_type=tf.int32)[:, None, :]
    is_best = tf.equal(tf.range(base_beam_in)[None, :, None], best)
    kept = tf.where(is_best, scores, float("-inf"))
    return tf.where(end_flags[:, :, None], scores, kept)


def _over_frames(target: str, *, search: bool, task: str = "train") -> Net:
    """Return a decoder whose labels look at one frame each, which is chosen, too."""
    steps = {"class": "softmax_over_spatial", "from": "energy", "axis": "stag:extern_data:data"}
    known = target != "none"
    unit: Net = {
        "embed": {"class": "linear", "activation": None, "n_out": 3, "from": "prev:output"},
        "s": {"class": "rec", "unit": "nativelstm2", "n_out": 4, "from": ["embed", "prev:att"]},
        "query": {"class": "linear", "activation": None, "n_out": 4, "from": "s"},
        "sum": {"class": "combine", "kind": "add", "from": ["base:encoder", "query"]},
        "tanh": {"class": "activation", "activation": "tanh", "from": "sum"},
        "energies": {"class": "linear", "activation": None, "n_out": 1, "from": "tanh"},
        "energy": {"class": "squeeze", "axis": "f", "from": "energies"},
        "frames": {**steps, "start": "first"},
        "first": {
            **{"class": "eval", "from": ["prev:t", f"data:{target}"] if known else ["prev:t"]},
            "eval": "tf.minimum(source(0), source(1))" if known else "source(0)",
        },
        "p": {
            "class": "reinterpret_data",
            "from": "frames",
            "set_axes": {"f": "stag:extern_data:data"},
        },
        "t0": {
            **{"class": "choice", "from": "p", "target": target if known else None},
            **{"cheating": search and known, "beam_size": 3 if known else 6},
            **{"length_normalization": False, "initial_output": -1, "keep_beams": not known},
            **({"custom_score_combine": best_of_each_label} if search and known else {}),
        },
        "t1": {
            **{"class": "eval", "from": ["t0", "base:frames"]},
            "eval": "tf.minimum(source(0), source(1) - 1)",
        },
        "t": {"class": "copy", "from": "t1", "initial_output": -1, "is_output_layer": search},
        "att": {"class": "gather_nd", "position": "t", "from": "base:encoder"},
        "q": {"class": "softmax", "from": ["s", "att"], "target": "classes"},
        "output": {
            **{"class": "choice", "from": "q", "target": "classes", "beam_size": 3},
            **{"search": task == "search", "length_normalization": False, "initial_output": 0},
        },
        "end": {"class": "compare", "from": "output", "value": 3},
    }
    if not search:
        unit["q"]["loss"] = unit["p"]["loss"] = "ce"
        unit["p"] |= {"target": target, "loss_opts": {"scale": 0.1}}
    opts = {"target": ["classes", target] if known else ["classes"], "max_seq_len": 5}
    sized = {"size_target": target} if known else {"include_eos": True}
    return {"class": "rec", "from": [], "unit": unit, "back_prop": not search, **opts, **sized}


def _encoder_and_frames() -> Net:
    return {**ENCODER, "frames": {"class": "length", "from": "encoder", "sparse": True}}


def linear(source: Any, **_: Any) -> Any:
    """Return frames [batch, labels], evenly over each sequence."""
    import tensorflow as tf

    labels, encoder = (source(i, as_data=True, auto_convert=False) for i in range(2))
    places = tf.range(tf.shape(labels.placeholder)[labels.time_dim_axis])[None] + 1
    rows = encoder.get_sequence_lengths()[:, None] - 1
    return tf.minimum(places * rows // labels.get_sequence_lengths()[:, None], rows)


SCORE = (
    "(source(0, auto_convert=False), tf.squeeze(self.sources[0].search_choices.beam_scores, 1)"
    " / tf.cast(source(0, auto_convert=False, as_data=True).get_sequence_lengths(), 'float32'))[1]"
)


def latent_frames() -> Net:
    """Frames are searched for, and trained on if they are better than those known before."""
    number = {"dtype": "float32", "sparse": False, "shape": (), "dim": None}
    known = {"shape": (None,), "sparse": True, "dtype": "int32", "dim": None}
    better = {"class": "switch", "condition": "better"}
    net = {
        **_encoder_and_frames(),
        "linear": {
            **{"class": "eval", "from": ["data:classes", "encoder"], "eval": linear},
            "out_type": {**known, "batch_dim_axis": 0, "time_dim_axis": 1},
            "size_target": "classes",
        },
        "before": {
            **{"class": "reinterpret_data", "from": "data:alignment", "set_sparse": True},
            **{"set_sparse_dim": None, "size_base": "data:classes"},
        },
        "0_first": {
            **{"class": "eval", "from": "before", "eval": "tf.sort(source(0), axis=1)"},
            "register_as_extern_data": "t_first",
        },
        "extra.search:output": _over_frames("t_first", search=True),
        "extra.search:t": {"class": "decide", "from": "extra.search:output/t"},
        "extra.search:best": {
            **{"class": "decide", "from": "extra.search:output"},
            **{"loss": "search_score", "loss_scale": 0},
        },
        "extra.search:score": {
            **{"class": "eval", "from": "extra.search:best", "eval": SCORE},
            "out_type": {**number, "batch_dim_axis": 0, "time_dim_axis": None},
            **{"loss": "as_is", "loss_scale": 0},
        },
        "better": {"class": "compare", "kind": "less", "from": ["known", "extra.search:score"]},
        "known": {"class": "squeeze", "axis": "f", "from": "data:score"},
        "taken": {**better, "true_from": "extra.search:t", "false_from": "data:t_first"},
        "1_best": {
            **{"class": "copy", "from": "extra.search:taken", "is_output_layer": True},
            "register_as_extern_data": "best",
        },
        "moved": {
            **{"class": "eval", "from": ["extra.search:t", "linear"], "loss": "as_is"},
            "eval": "tf.cast(tf.abs(source(0) - source(1)), tf.float32)",
            "out_type": {"dtype": "float32", "sparse": False, "dim": None},
        },
        "output": _over_frames("best", search=False),
    }
    streams = {
        **STREAMS,
        "alignment": {"dim": None, "shape": (None,), "dtype": "int32", "sparse": True},
        "score": {"shape": (1,), "dtype": "float32", "time_dim_axis": None},
    }
    lengths = {**SAME, "alignment": [5, 5, 5], "score": []}
    outputs = ("1_best", "moved", "output", "extra.search:t")
    return {"net": net, "streams": streams, "lengths": lengths, "outputs": outputs}


def search_over_frames() -> Net:
    """The same decoder in a search for labels and frames."""
    net = {**_encoder_and_frames(), "output": _over_frames("none", search=True, task="search")}
    return {"net": net, "outputs": ("output",), "search": True, "train": False}


def cases() -> dict[str, Net]:
    """Return the arguments of `returnn_cases.Case` by name."""
    made = (layers_again, training_on_what_is_found, realignment, latent_frames)
    made = (*made, search_over_frames)
    rest = {"streams": STREAMS, "lengths": SAME, "train": True}
    found = {f"extra_{f.__name__}": {**rest, **f()} for f in made}
    found["extra_layers_again"]["lengths"] = {"data": [6, 3, 5], "classes": [6, 3, 5]}
    return found
