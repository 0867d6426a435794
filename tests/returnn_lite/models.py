"""Small models for the tests of the engine."""

from __future__ import annotations

from typing import Any

from recipes.networks.transducer import transducer

Net = dict[str, Any]

FEATURES = 3
LINEAR: Net = {"class": "linear", "activation": None}
ENCODER: Net = {
    "enc": {"class": "rec", "unit": "nativelstm2", "n_out": 4, "from": "data"},
    "encoder": {"class": "copy", "from": "enc"},
}


def transducer_net(*, labels: int, beam_size: int = 4, fusion: Net | None = None) -> Net:
    """Return the recipes' transducer, on an encoder of one LSTM without dropout."""
    return transducer(
        ENCODER,
        labels=labels,
        embed=2,
        slow=3,
        fast=4,
        readout=4,
        dropout=0.0,
        beam_size=beam_size,
        fusion=fusion,
    )


def transducer_streams(labels: int) -> dict[str, Any]:
    """Return the extern_data of `transducer_net`."""
    return {"data": {"dim": FEATURES}, "alignment": {"dim": labels + 1, "sparse": True}}


def decoder_net(*, labels: int, beam_size: int, max_len: str, end: int, eos: bool) -> Net:
    """Return a label-synchronous decoder on the last frame of the encoder; label `end` ends it."""
    unit: Net = {
        "embed": {
            "class": "linear",
            "activation": None,
            "from": "prev:output",
            "n_out": 3,
        },
        "s": {"class": "rec", "unit": "nativelstm2", "from": ["embed", "base:last"], "n_out": 4},
        "p": {"class": "softmax", "from": "s", "target": "classes", "loss": "ce"},
        "output": {
            "class": "choice",
            "from": "p",
            "target": "classes",
            "beam_size": beam_size,
            "initial_output": 0,
            "length_normalization": False,
        },
        "end": {"class": "compare", "from": "output", "value": end},
    }
    unit["p"]["n_out"] = labels
    return {
        **ENCODER,
        "frames": {"class": "length", "from": "encoder"},
        "final": {"class": "eval", "from": "frames", "eval": "source(0) - 1"},
        "last": {"class": "gather", "from": "encoder", "position": "final", "axis": "T"},
        "output": {
            "class": "rec",
            "from": [],
            "target": "classes",
            "unit": unit,
            "max_seq_len": max_len,
            "include_eos": eos,
        },
    }


def attention_net(features: int, *, optimise: bool = True, **att: Any) -> Net:
    """Return a decoder whose state and readout get the mean of the encoder's frames."""
    unit: Net = {
        "embed": {**LINEAR, "from": "output", "n_out": 3},
        "s": {
            "class": "rec",
            "unit": "nativelstm2",
            "unit_opts": {"forget_bias": 1.0},
            "from": ["prev:embed", "base:mean", "prev:att"],
            "n_out": 4,
        },
        "energy_in": {"class": "combine", "kind": "add", "from": ["base:keys", "query"]},
        "query": {**LINEAR, "from": "s", "n_out": 3},
        "energy_tanh": {"class": "activation", "activation": "tanh", "from": "energy_in"},
        "energy": {**LINEAR, "from": "energy_tanh", "n_out": 1},
        "weights": {"class": "softmax_over_spatial", "from": "energy"},
        "att0": {"class": "generic_attention", "weights": "weights", "base": "base:encoder"},
        "att": {"class": "merge_dims", "axes": "static", "from": "att0", **att},
        "readout": {**LINEAR, "activation": "tanh", "from": ["s", "att", "prev:embed"], "n_out": 4},
        "p": {"class": "softmax", "from": "readout", "target": "classes", "loss": "ce"},
        "output": {
            "class": "choice",
            "from": "p",
            "target": "classes",
            "beam_size": 4,
            "initial_output": 0,
        },
        "end": {"class": "compare", "from": "output", "value": 0},
    }
    rec: Net = {"class": "rec", "from": [], "target": "classes", "unit": unit, "max_seq_len": 6}
    return {
        "encoder": {**LINEAR, "activation": "tanh", "from": "data", "n_out": features},
        "keys": {**LINEAR, "from": "encoder", "n_out": 3},
        "mean": {"class": "reduce", "mode": "mean", "axis": "T", "from": "encoder"},
        "output": {**rec, "optimize_move_layers_out": optimise},
    }


def two_choices_net(*, beams: tuple[int, int]) -> Net:
    """Return a model with two variables per frame, y (2 values) and then z (3 values)."""
    linear = {"class": "linear", "activation": "log_softmax"}
    unit: Net = {
        "h": {
            "class": "linear",
            "activation": "tanh",
            "from": ["prev:h", "data:source", "prev:ez"],
            "n_out": 3,
        },
        "log_py": {**linear, "from": "h", "n_out": 2},
        "y": {
            "class": "choice",
            "from": "log_py",
            "target": "true_y",
            "beam_size": beams[0],
            "input_type": "log_prob",
            "is_output_layer": True,
        },
        "ey": {"class": "linear", "activation": None, "from": "y", "n_out": 2},
        "log_pz": {**linear, "from": ["h", "ey"], "n_out": 3},
        "z": {
            "class": "choice",
            "from": "log_pz",
            "target": "true_z",
            "beam_size": beams[1],
            "input_type": "log_prob",
            "is_output_layer": True,
        },
        "ez": {"class": "linear", "activation": None, "from": "z", "n_out": 2},
        "output": {"class": "copy", "from": "z"},
        "loss_y": {
            "class": "activation",
            "activation": "exp",
            "from": "log_py",
            "target": "true_y",
            "loss": "ce",
        },
        "loss_z": {
            "class": "activation",
            "activation": "exp",
            "from": "log_pz",
            "target": "true_z",
            "loss": "ce",
        },
    }
    return {"output": {"class": "rec", "from": "data", "unit": unit}}


def two_choices_streams() -> dict[str, Any]:
    """Return the extern_data of `two_choices_net`."""
    return {
        "data": {"dim": FEATURES},
        "true_y": {"dim": 2, "sparse": True},
        "true_z": {"dim": 3, "sparse": True},
    }
