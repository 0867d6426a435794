"""The networks of the benchmark, as published configurations write them, for us and for RETURNN."""

from __future__ import annotations

from typing import Any

from benchmarks.rec.networks import LINEAR, Net

SUM: Net = {"class": "combine", "kind": "add"}
CONV: Net = {"class": "conv", "padding": "same", "with_bias": False}
NORM: Net = {"class": "batch_norm", "masked_time": False, "update_sample_only_in_training": True}
CTC: Net = {"class": "softmax", "loss": "ctc", "target": "classes"}
FRAMEWISE: Net = {"class": "softmax", "loss": "ce", "target": "classes"}


def blstm_ctc(*, depth: int, units: int) -> Net:
    """Return so many bidirectional LSTMs, and CTC."""
    net: Net = {}
    source = ["data"]
    for i in range(depth):
        lstm = {"class": "rec", "unit": "nativelstm2", "n_out": units, "from": source}
        net |= {f"fw{i}": {**lstm, "direction": 1}, f"bw{i}": {**lstm, "direction": -1}}
        source = [f"fw{i}", f"bw{i}"]
    return {**net, "output": {**CTC, "from": source}}


def conformer(*, blocks: int, dim: int, heads: int, filters: int, window: int) -> Net:
    """Return two convolutions that halve the frames, so many Conformer blocks, and CTC."""
    shape = {"filter_size": (3, 3), "n_out": filters, "with_bias": True, "activation": "swish"}
    pool = {"class": "pool", "mode": "max", "padding": "same", "pool_size": (2, 2)}
    net: Net = {
        "image": {"class": "split_dims", "axis": "F", "dims": (-1, 1), "from": "data"},
        "conv0": {**CONV, **shape, "from": "image"},
        "pool0": {**pool, "from": "conv0"},
        "conv1": {**CONV, **shape, "from": "pool0"},
        "pool1": {**pool, "pool_size": (1, 2), "from": "conv1"},
        "flat": {"class": "merge_dims", "axes": "static", "from": "pool1"},
        "block0": {**LINEAR, "with_bias": True, "from": "flat", "n_out": dim},
    }
    for i in range(blocks):
        net |= _half_feed_forward(f"block{i}", f"b{i}_in", dim)
        net |= _relative_attention(f"b{i}_in_res", f"b{i}", dim, heads)
        net |= _convolution(f"b{i}_att_res", f"b{i}", dim, window)
        net |= _half_feed_forward(f"b{i}_conv_res", f"b{i}_out", dim)
        net[f"block{i + 1}"] = {"class": "layer_norm", "from": f"b{i}_out_res"}
    return {**net, "output": {**CTC, "from": f"block{blocks}"}}


def _half_feed_forward(source: str, name: str, dim: int) -> Net:
    half = {"class": "eval", "eval": "0.5 * source(0) + source(1)"}
    wide = {**LINEAR, "activation": "swish", "with_bias": True, "n_out": 4 * dim}
    return {
        f"{name}_norm": {"class": "layer_norm", "from": source},
        f"{name}_ff1": {**wide, "from": f"{name}_norm"},
        f"{name}_ff2": {**LINEAR, "with_bias": True, "from": f"{name}_ff1", "n_out": dim},
        f"{name}_res": {**half, "from": [f"{name}_ff2", source]},
    }


def _relative_attention(source: str, name: str, dim: int, heads: int) -> Net:
    norm = f"{name}_att_norm"
    attention = {"class": "self_attention", "num_heads": heads, "total_key_dim": dim, "n_out": dim}
    places = {"class": "relative_positional_encoding", "n_out": dim // heads}
    return {
        norm: {"class": "layer_norm", "from": source},
        f"{name}_places": {**places, "from": norm},
        f"{name}_att": {**attention, "key_shift": f"{name}_places", "from": norm},
        f"{name}_att_linear": {**LINEAR, "from": f"{name}_att", "n_out": dim},
        f"{name}_att_res": {**SUM, "from": [source, f"{name}_att_linear"]},
    }


def _convolution(source: str, name: str, dim: int, window: int) -> Net:
    depthwise = {"filter_size": (window,), "groups": dim, "n_out": dim, "with_bias": True}
    wide = {**LINEAR, "with_bias": True, "n_out": 2 * dim}
    return {
        f"{name}_conv_norm": {"class": "layer_norm", "from": source},
        f"{name}_conv_in": {**wide, "from": f"{name}_conv_norm"},
        f"{name}_gate": {"class": "gating", "activation": "identity", "from": f"{name}_conv_in"},
        f"{name}_depthwise": {**CONV, **depthwise, "from": f"{name}_gate"},
        f"{name}_bn": {**NORM, "from": f"{name}_depthwise"},
        f"{name}_swish": {"class": "activation", "activation": "swish", "from": f"{name}_bn"},
        f"{name}_conv_out": {**LINEAR, "with_bias": True, "from": f"{name}_swish", "n_out": dim},
        f"{name}_conv_res": {**SUM, "from": [source, f"{name}_conv_out"]},
    }


def resnet(*, stages: int, filters: int, blocks: int = 2) -> Net:
    """Return the ResNet of a hybrid HMM: images of time and frequency, a label for each frame.

    Each stage after the first has half of the frequencies, and twice as many filters.
    """
    net: Net = {
        "image": {"class": "split_dims", "axis": "F", "dims": (-1, 1), "from": "data"},
        **_convolved("image", "conv", filters),
        "conv_relu": {"class": "activation", "activation": "relu", "from": "conv_bn"},
    }
    source = "conv_relu"
    for stage in range(stages):
        for block in range(blocks):
            halves = stage > 0 and block == 0
            name, n_out = f"s{stage}b{block}", filters * 2**stage
            net |= _residual(source, name, n_out, stride=2 if halves else 1, changes=halves)
            source = name
    net["mean"] = {"class": "reduce", "mode": "avg", "axes": "static:0", "from": source}
    return {**net, "output": {**FRAMEWISE, "from": "mean"}}


def _residual(source: str, name: str, n_out: int, *, stride: int, changes: bool) -> Net:
    relu = {"class": "activation", "activation": "relu"}
    net = {
        **_convolved(source, f"{name}_conv0", n_out, stride=stride),
        f"{name}_relu0": {**relu, "from": f"{name}_conv0_bn"},
        **_convolved(f"{name}_relu0", f"{name}_conv1", n_out),
    }
    if changes:
        net |= _convolved(source, f"{name}_short", n_out, size=1, stride=stride)
        source = f"{name}_short_bn"
    net[f"{name}_sum"] = {**SUM, "from": [f"{name}_conv1_bn", source]}
    return {**net, name: {**relu, "from": f"{name}_sum"}}


def _convolved(source: str, name: str, n_out: int, *, size: int = 3, stride: int = 1) -> Net:
    """Return a convolution and its normalisation."""
    shape: dict[str, Any] = {"filter_size": (size, size), "n_out": n_out, "strides": (1, stride)}
    return {
        name: {**CONV, **shape, "from": source},
        f"{name}_bn": {**NORM, "from": name},
    }
