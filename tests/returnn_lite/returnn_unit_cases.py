"""Recurrent units that RETURNN and this project run: arguments of `returnn_cases.Case`."""

from __future__ import annotations

from typing import Any

Net = dict[str, Any]

NORMS: dict[str, Net] = {
    "global": {"hidden_norm": True, "forget_bias": 0.5},
    "joined": {"global_norm": False, "global_norm_joined": True, "cell_norm_in_output": False},
    "gates": {"global_norm": False, "per_gate_norm": True, "cell_norm": False},
    "concat": {"global_norm": False, "with_concat": True},
    "plain": {"global_norm": False, "norm_gain": 0.7},
}
# The norm of two values is 1 and -1, without gradient, so that there are three units.
UNITS: dict[str, Net] = {
    "lstmblock": {"unit": "LSTMBlock", "direction": -1},
    "standard": {"unit": "StandardLSTM"},
    "peepholes": {
        "unit": "StandardLSTM",
        "unit_opts": {"use_peepholes": True, "cell_clip": 0.6},
        "direction": -1,
    },
    "basic": {"unit": "BasicLSTM", "unit_opts": {"forget_bias": 0.3}, "direction": -1},
    "vanilla": {"unit": "VanillaLSTM"},
    "low_memory": {"unit": "nativelstmlowmem"},
    "rnn": {"unit": "BasicRNN", "unit_opts": {"activation": "relu"}},
    "gru": {"unit": "GRU", "direction": -1},
    "highway": {"unit": "rhn", "unit_opts": {"depth": 2, "transform_bias": -1.0}},
    **{f"norm_{k}": {"unit": "LayerNormVariantsLSTM", "unit_opts": v} for k, v in NORMS.items()},
}
STREAMS = {"data": {"dim": 3}, "classes": {"dim": 3, "sparse": True}}
LENGTHS = {"data": [5, 3, 4], "classes": [5, 3, 4]}
CE = {"class": "softmax", "target": "classes", "loss": "ce"}


def _units() -> Net:
    net: Net = {k: {"class": "rec", "n_out": 3, "from": "data", **v} for k, v in UNITS.items()}
    net["output"] = {**CE, "from": list(UNITS)}
    return {"net": net, "streams": STREAMS, "lengths": LENGTHS, "outputs": ("output", *UNITS)}


def _cells(*, optimise: bool) -> Net:
    """Return the units for one step; optimise: whether they leave the loop."""
    cells = {
        k: {"class": "rnn_cell", "n_out": 3, "from": "data:source", **v}
        for k, v in UNITS.items()
        if k != "low_memory"
    }
    for cell in cells.values():
        cell.pop("direction", None)
    unit = {**cells, "output": {"class": "copy", "from": list(cells)}}
    loop = {"class": "rec", "from": "data", "unit": unit, "optimize_move_layers_out": optimise}
    net = {"loop": loop, "output": {**CE, "from": "loop"}}
    return {"net": net, "streams": STREAMS, "lengths": LENGTHS, "outputs": ("output", "loop")}


def _zoneout() -> Net:
    opts = {"zoneout_factor_cell": 0.3, "zoneout_factor_output": 0.2}
    unit = {"class": "rec", "unit": "zoneoutlstm", "n_out": 3, "from": "data"}
    net = {
        "output": {**unit, "unit_opts": opts},
        "state": {**unit, "unit_opts": {**opts, "use_zoneout_output": True}},
    }
    net["state"] |= {"direction": -1, "is_output_layer": True}
    more = {"streams": STREAMS, "lengths": {"data": [5, 3, 4]}, "train": False}
    return {"net": net, "outputs": ("output", "state"), **more}


def _states() -> Net:
    """Return states from layers, parameters and words, before and after."""
    lstm: Net = {"class": "rec", "n_out": 2, "from": "data"}
    last: Net = {"class": "get_last_hidden_state"}
    net: Net = {
        "fw": {**lstm, "unit": "nativelstm2", "initial_state": "var"},
        "bw": {**lstm, "unit": "standardlstm", "direction": -1, "initial_state": "ones"},
        "rnn": {**lstm, "unit": "basicrnn", "initial_state": "var"},
        "all": {**last, "from": ["fw", "bw"], "n_out": 8},
        "h": {**last, "from": ["fw", "bw"], "key": "h", "n_out": 2, "combine": "add"},
        "c": {**last, "from": "bw", "key": "c", "n_out": 2},
        "last": {**last, "from": "rnn", "key": None, "n_out": 2},
        "next": {**lstm, "unit": "nativelstm2", "initial_state": {"c": "c", "h": "h"}},
        "gru": {**lstm, "unit": "gru", "initial_state": "rnn", "direction": -1},
        "norm": {**lstm, "unit": "layernormvariantslstm", "initial_state": ["c", "last"]},
    }
    net["output"] = {**CE, "from": ["next", "gru", "norm"]}
    net["all"]["is_output_layer"] = True
    outputs = ("output", "all", "h", "c", "last", "next", "gru", "norm")
    return {"net": net, "streams": STREAMS, "lengths": LENGTHS, "outputs": outputs}


def _states_in_loop() -> Net:
    """Return a loop in which a layer reads the state of a cell after the step before."""
    last: Net = {"class": "get_last_hidden_state"}
    state = {"c": "base:c", "h": "base:h"}
    cell: Net = {"class": "rnn_cell", "unit": "LSTMBlock", "n_out": 2, "initial_state": state}
    unit: Net = {
        "before": {**last, "from": "prev:s", "n_out": 4},
        "energy": {"class": "linear", "activation": "tanh", "n_out": 3, "from": ["before", "x"]},
        "x": {"class": "linear", "activation": None, "n_out": 2, "from": "data:source"},
        "s": {**cell, "from": ["energy", "prev:s"]},
        "c": {**last, "from": "s", "key": "c", "n_out": 2},
        "output": {"class": "copy", "from": ["s", "c", "energy"]},
    }
    fw = {"class": "rec", "unit": "nativelstm2", "n_out": 2, "from": "data"}
    net: Net = {
        "fw": fw,
        "c": {**last, "from": "fw", "key": "c", "n_out": 2},
        "h": {**last, "from": "fw", "key": "h", "n_out": 2},
        "loop": {"class": "rec", "from": "fw", "unit": unit},
        "output": {**CE, "from": "loop"},
    }
    # RETURNN moves the readers of states out of the loop, where there are none.
    stay = {"loop/optimize_move_layers_out": False}
    opts = {"streams": STREAMS, "lengths": LENGTHS, "outputs": ("output", "loop")}
    return {"net": net, "returnn": stay, **opts}


def _states_of_inner_frames() -> Net:
    """Return a loop in which units begin with a parameter, or run over frames in each step."""
    lstm: Net = {"class": "rec", "unit": "nativelstm2", "n_out": 2}
    last: Net = {"class": "get_last_hidden_state", "n_out": 2}
    start = {"c": "prev:m", "h": "prev:last"}
    unit: Net = {
        "s": {**lstm, "from": ["data:source", "prev:s", "prev:m"], "initial_state": "var"},
        "gru": {**lstm, "unit": "gru", "from": ["s", "prev:m"], "initial_state": "var"},
        "inner": {**lstm, "from": "base:words", "direction": -1, "initial_state": start},
        "last": {**last, "from": "inner", "key": "h"},
        "m": {"class": "linear", "activation": "tanh", "n_out": 2, "from": ["last", "gru"]},
        "output": {"class": "copy", "from": "m"},
    }
    net: Net = {
        "words": {"class": "linear", "activation": "tanh", "n_out": 2, "from": "data:words"},
        "loop": {"class": "rec", "from": "data", "unit": unit},
        "output": {**CE, "from": "loop"},
    }
    streams = {**STREAMS, "words": {"dim": 3, "sparse": True}}
    lengths = {**LENGTHS, "words": [2, 4, 3]}
    return {"net": net, "streams": streams, "lengths": lengths, "outputs": ("output", "loop")}


UNIT_CASES: dict[str, Net] = {
    "units": _units(),
    "unit_cells": _cells(optimise=True),
    "unit_cells_in_loop": _cells(optimise=False),
    "unit_zoneout": _zoneout(),
    "unit_states": _states(),
    "unit_states_in_loop": _states_in_loop(),
    "unit_states_of_inner_frames": _states_of_inner_frames(),
}
