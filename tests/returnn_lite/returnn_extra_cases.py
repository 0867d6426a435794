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


def cases() -> dict[str, Net]:
    """Return the arguments of `returnn_cases.Case` by name."""
    made = (layers_again, training_on_what_is_found, realignment)
    rest = {"streams": STREAMS, "lengths": SAME, "train": True}
    found = {f"extra_{f.__name__}": {**f(), **rest} for f in made}
    found["extra_layers_again"]["lengths"] = {"data": [6, 3, 5], "classes": [6, 3, 5]}
    return found
