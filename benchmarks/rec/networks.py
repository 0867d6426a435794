"""The networks of the benchmark, as the tutorial writes them, for us and for RETURNN."""

from __future__ import annotations

from typing import Any

from recipes.networks.transducer import transducer

Net = dict[str, Any]
LINEAR: Net = {"class": "linear", "activation": None, "with_bias": False}
POOL = 4


def encoder_decoder(*, beam: int, optimise: bool = True) -> Net:
    """Return the encoder-decoder without attention whose epoch the tutorial times."""
    unit: Net = {
        "embed": {"class": "linear", "activation": None, "from": "output", "n_out": 10},
        "s": {
            "class": "rec",
            "unit": "nativelstm2",
            "n_out": 20,
            "from": "prev:embed",
            "initial_state": {"c": "base:last_c", "h": "base:last_h"},
        },
        "p": {"class": "softmax", "from": "s", "target": "classes", "loss": "ce"},
        "output": {"class": "choice", "from": "p", "target": "classes", "beam_size": beam},
    }
    unit["output"]["length_normalization"] = False
    last = {"class": "get_last_hidden_state", "from": "input", "n_out": 20}
    return {
        "input": {"class": "rec", "unit": "nativelstm2", "n_out": 20, "from": "data"},
        # RETURNN takes no layer with both parts, as the tutorial's page has it.
        "last_c": {**last, "key": "c"},
        "last_h": {**last, "key": "h"},
        "output": {
            "class": "rec",
            "from": [],
            "target": "classes",
            "unit": unit,
            "optimize_move_layers_out": optimise,
        },
    }


def blstm(units: int) -> Net:
    """Return two bidirectional LSTMs with max-pooling in between, which end in `encoder`."""
    lstm = {"class": "rec", "unit": "nativelstm2", "n_out": units}
    pool = {"class": "pool", "mode": "max", "padding": "same", "pool_size": [POOL]}
    net: Net = {"pool": {**pool, "from": ["lstm0_fw", "lstm0_bw"]}}
    for i, source in enumerate(["data", "pool"]):
        net[f"lstm{i}_fw"] = {**lstm, "direction": 1, "from": source}
        net[f"lstm{i}_bw"] = {**lstm, "direction": -1, "from": source}
    return {**net, "encoder": {"class": "copy", "from": ["lstm1_fw", "lstm1_bw"]}}


def encoder(units: int, *, alone: bool) -> Net:
    """Return the encoder or, for the search alone, its outputs as data."""
    return {"encoder": {"class": "copy", "from": "data"}} if alone else blstm(units)


def attention(*, scale: int, beam: int, steps: int, alone: bool = False) -> Net:
    """Return the attention model; with scale 1 in the tutorial's sizes, else in a fraction."""
    unit: Net = {
        "output": {
            "class": "choice",
            "target": "classes",
            "beam_size": beam,
            "from": "output_prob",
            "initial_output": 0,
            "length_normalization": False,
        },
        "end": {"class": "compare", "from": "output", "value": 0},
        "embed": {**LINEAR, "from": "output", "n_out": 621 // scale, "initial_output": 0},
        "s": {
            "class": "rec",
            "unit": "nativelstm2",
            "from": ["prev:embed", "prev:att"],
            "n_out": 1000 // scale,
        },
        "enc_ctx": {"class": "linear", "activation": None, "from": "base:encoder"},
        "s_transformed": {**LINEAR, "from": "s", "n_out": 1024 // scale},
        "energy_in": {
            "class": "combine",
            "kind": "add",
            "from": ["enc_ctx", "s_transformed"],
            "n_out": 1024 // scale,
        },
        "energy_tanh": {"class": "activation", "activation": "tanh", "from": "energy_in"},
        "energy": {**LINEAR, "from": "energy_tanh", "n_out": 1},
        "att_weights": {"class": "softmax_over_spatial", "from": "energy"},
        "att0": {"class": "generic_attention", "weights": "att_weights", "base": "base:encoder"},
        "att": {"class": "merge_dims", "axes": "static", "from": "att0"},
        "readout_in": {"class": "linear", "activation": None, "from": ["s", "prev:embed", "att"]},
        "readout": {"class": "reduce_out", "mode": "max", "num_pieces": 2, "from": "readout_in"},
        "output_prob": {
            "class": "softmax",
            "from": "readout",
            "target": "classes",
            "loss": "ce",
        },
    }
    unit["enc_ctx"]["n_out"] = 1024 // scale
    unit["readout_in"]["n_out"] = 1000 // scale
    decoder: Net = {"class": "rec", "from": [], "target": "classes", "unit": unit}
    return {**encoder(1024 // scale, alone=alone), "output": {**decoder, "max_seq_len": steps}}


def extended_transducer(*, scale: int, labels: int, beam: int, alone: bool = False) -> Net:
    """Return the recipes' transducer; with scale 1 in the tutorial's sizes."""
    return transducer(
        encoder(1024 // scale, alone=alone),
        labels=labels,
        embed=621 // scale,
        slow=1024 // scale,
        fast=1024 // scale,
        readout=1000 // scale,
        dropout=0.0,
        beam_size=beam,
    )


def transformer(*, blocks: int, dim: int, heads: int, looped: bool) -> Net:
    """Return encoder and decoder of so many blocks.

    looped: whether the decoder is a rec layer, as for search; else it is written for training alone
    on the labels, each moved by one step.
    """
    net: Net = {"encoder0": {**LINEAR, "from": "data", "n_out": dim}}
    decoder: Net = {
        "decoder0": {**LINEAR, "from": "prev:output" if looped else "before", "n_out": dim},
        "prob": {"class": "softmax", "from": f"decoder{blocks}", "target": "classes", "loss": "ce"},
    }
    split = {"class": "split_dims", "axis": "F", "dims": (heads, dim // heads)}
    for i in range(blocks):
        net |= _self_attention(f"encoder{i}", f"enc{i}", dim, heads, left=False)
        net |= _feed_forward(f"enc{i}_res", f"encoder{i + 1}", dim)
        net[f"key{i}_in"] = {**LINEAR, "from": f"encoder{blocks}", "n_out": dim}
        net[f"key{i}"] = {**split, "from": f"key{i}_in"}
        decoder |= _decoder_block(i, split, dim, heads, looped=looped)
    if not looped:
        before = {"class": "shift_axis", "axis": "T", "amount": 1, "adjust_size_info": False}
        net["before"] = {**before, "from": "data:classes"}
        return {**net, **decoder}
    choice = {"class": "choice", "target": "classes", "beam_size": 12, "from": "prob"}
    decoder["output"] = {**choice, "initial_output": 0}
    return {**net, "output": {"class": "rec", "from": [], "target": "classes", "unit": decoder}}


def _decoder_block(i: int, split: Net, dim: int, heads: int, *, looped: bool) -> Net:
    key = f"base:key{i}" if looped else f"key{i}"
    dot = {"class": "dot", "red1": -1, "red2": -1, "var1": "T", "var2": "T?" if looped else "T"}
    return {
        **_self_attention(f"decoder{i}", f"dec{i}", dim, heads, left=True),
        f"query{i}_in": {**LINEAR, "from": f"dec{i}_res", "n_out": dim},
        f"query{i}": {**split, "from": f"query{i}_in"},
        f"energy{i}": {**dot, "from": [key, f"query{i}"]},
        f"weights{i}": {"class": "softmax_over_spatial", "from": f"energy{i}"},
        f"att{i}_heads": {"class": "generic_attention", "weights": f"weights{i}", "base": key},
        f"att{i}": {"class": "merge_dims", "axes": "static", "from": f"att{i}_heads"},
        f"cross{i}": {"class": "combine", "kind": "add", "from": [f"dec{i}_res", f"att{i}"]},
        **_feed_forward(f"cross{i}", f"decoder{i + 1}", dim),
    }


def _self_attention(source: str, name: str, dim: int, heads: int, *, left: bool) -> Net:
    opts = {"num_heads": heads, "total_key_dim": dim, "n_out": dim, "attention_left_only": left}
    return {
        f"{name}_norm": {"class": "layer_norm", "from": source},
        f"{name}_att": {"class": "self_attention", **opts, "from": f"{name}_norm"},
        f"{name}_res": {"class": "combine", "kind": "add", "from": [source, f"{name}_att"]},
    }


def _feed_forward(source: str, name: str, dim: int) -> Net:
    return {
        f"{name}_norm": {"class": "layer_norm", "from": source},
        f"{name}_ff1": {**LINEAR, "activation": "relu", "from": f"{name}_norm", "n_out": 4 * dim},
        f"{name}_ff2": {**LINEAR, "from": f"{name}_ff1", "n_out": dim},
        name: {"class": "combine", "kind": "add", "from": [source, f"{name}_ff2"]},
    }
