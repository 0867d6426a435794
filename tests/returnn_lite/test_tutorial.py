"""Networks as tutorials write them, with small sizes: built, checked and run in each task."""

from __future__ import annotations

import time
from typing import Any

import numpy as np
import pytest
from eager import dense, run, sparse

from returnn_lite import Network

Net = dict[str, Any]
DENSE = {"data": {"dim": 5}, "classes": {"dim": 7, "sparse": True}}
SPARSE = {"data": {"dim": 7, "sparse": True}, "classes": {"dim": 7, "sparse": True}}
LSTM: Net = {"class": "rec", "unit": "lstm", "n_out": 4}
GATE: Net = {"class": "linear", "from": "input", "activation": "sigmoid", "n_out": 6}
LINEAR: Net = {"class": "linear", "activation": None, "with_bias": False}

BLSTM: Net = {
    "lstm0_fw": {**LSTM, "direction": 1, "from": "data"},
    "lstm0_bw": {**LSTM, "direction": -1, "from": "data"},
    "lstm1_fw": {**LSTM, "direction": 1, "from": ["lstm0_fw", "lstm0_bw"]},
    "lstm1_bw": {**LSTM, "direction": -1, "from": ["lstm0_fw", "lstm0_bw"]},
    "output": {"class": "softmax", "loss": "ce", "from": ["lstm1_fw", "lstm1_bw"]},
}
EXPLICIT_LSTM: Net = {
    "lstm": {
        "class": "rec",
        "from": "data",
        "unit": {
            "input": {"class": "copy", "from": ["prev:output", "data:source"]},
            "input_gate": GATE,
            "forget_gate": GATE,
            "output_gate": GATE,
            "cell_in": {**GATE, "activation": "tanh"},
            "c": {
                "class": "eval",
                "from": ["input_gate", "cell_in", "forget_gate", "prev:c"],
                "eval": "source(0) * source(1) + source(2) * source(3)",
            },
            "output": {
                "class": "eval",
                "from": ["output_gate", "c"],
                "eval": "source(0) * source(1)",
            },
        },
    },
    "output": {"class": "softmax", "loss": "ce", "from": "lstm"},
}
DECODER: Net = {
    "output": {
        "class": "choice",
        "target": "classes",
        "beam_size": 3,
        "from": "output_prob",
        "initial_output": 0,
    },
    "end": {"class": "compare", "from": "output", "value": 0},
    "embed": {**LINEAR, "from": "output", "n_out": 5, "initial_output": 0},
    "s_transformed": {**LINEAR, "from": "prev:s", "n_out": 6, "dropout": 0.3},
    "feedback": {**LINEAR, "from": "prev:accum_att_weights", "n_out": 6, "dropout": 0.3},
    "energy_in": {
        "class": "combine",
        "kind": "add",
        "from": ["base:enc_ctx", "s_transformed", "feedback"],
        "n_out": 6,
    },
    "energy_tanh": {"class": "activation", "activation": "tanh", "from": "energy_in"},
    "energy": {**LINEAR, "from": "energy_tanh", "n_out": 1},
    "att_weights": {"class": "softmax_over_spatial", "from": "energy"},
    "accum_att_weights": {
        "class": "eval",
        "from": ["prev:accum_att_weights", "att_weights", "base:inv_fertility"],
        "eval": "source(0) + source(1) * source(2) * 0.5",
        "out_type": {"dim": 1, "shape": (None, 1)},
    },
    "context": {"class": "generic_attention", "weights": "att_weights", "base": "base:enc_ctx"},
    "s": {
        "class": "rnn_cell",
        "unit": "LSTMBlock",
        "from": ["embed", "context"],
        "n_out": 6,
        "dropout": 0.3,
    },
    "readout": {**LINEAR, "from": ["prev:s", "prev:embed", "context"], "n_out": 6},
    "output_prob": {
        "class": "softmax",
        "from": "readout",
        "dropout": 0.3,
        "target": "classes",
        "loss": "ce",
        "loss_opts": {"label_smoothing": 0.1},
    },
}
ATTENTION: Net = {
    "source_embed": {**LINEAR, "n_out": 8},
    "lstm0_fw": {**LSTM, "unit": "nativelstm2", "from": "source_embed", "dropout": 0.3},
    "lstm0_bw": {**LSTM, "unit": "nativelstm2", "from": "source_embed", "direction": -1},
    "encoder": {"class": "copy", "from": ["lstm0_fw", "lstm0_bw"]},
    "enc_ctx": {**LINEAR, "with_bias": True, "from": "encoder", "n_out": 6},
    "inv_fertility": {**LINEAR, "activation": "sigmoid", "from": "encoder", "n_out": 1},
    "output": {
        "class": "rec",
        "from": [],
        "target": "classes",
        "max_seq_len": "max_len_from('base:encoder')*3",
        "unit": DECODER,
    },
}
NETWORKS = {
    "blstm": (BLSTM, DENSE),
    "explicit_lstm": (EXPLICIT_LSTM, DENSE),
    "attention": (ATTENTION, SPARSE),
}


@pytest.mark.parametrize("task", ["train", "search"])
@pytest.mark.parametrize("name", NETWORKS)
def test_networks_run(name: str, task: str) -> None:
    net, streams = NETWORKS[name]
    network = Network(net, extern_data=streams, task=task)
    data = dense([4, 3], 5) if streams is DENSE else sparse([4, 3], 7)
    batch = {"data": data, "classes": sparse([4, 3], 7)}
    if task == "search":
        del batch["classes"]
    out = run(network, batch, ["output"], with_losses=task == "train")
    assert np.all(np.isfinite(out["output"].canonical()))
    assert (out.search is not None) == (task == "search" and name == "attention")
    if task == "train":
        assert all(loss.norm_factor == pytest.approx(1 / 7) for loss in out.losses.values())


def transformer(layers: int, dim: int = 512, heads: int = 8) -> Net:
    """Return an encoder and a decoder of so many blocks each, and the largest network of all."""
    net: Net = {"encoder0": {**LINEAR, "from": "data", "n_out": dim}}
    unit: Net = {
        "output": {"class": "choice", "target": "classes", "beam_size": 12, "from": "prob"},
        "end": {"class": "compare", "from": "output", "value": 0},
        "decoder0": {**LINEAR, "from": "prev:output", "n_out": dim},
        "prob": {"class": "softmax", "from": f"decoder{layers}", "target": "classes", "loss": "ce"},
    }
    split = {"class": "split_dims", "axis": "F", "dims": (heads, dim // heads)}
    for i in range(layers):
        net |= _self_attention(f"encoder{i}", f"enc{i}", dim, heads, left=False)
        net |= _feed_forward(f"enc{i}_res", f"encoder{i + 1}", dim)
        net[f"key{i}_in"] = {**LINEAR, "from": f"encoder{layers}", "n_out": dim}
        net[f"key{i}"] = {**split, "from": f"key{i}_in"}
        unit |= _self_attention(f"decoder{i}", f"dec{i}", dim, heads, left=True)
        unit |= {
            f"query{i}_in": {**LINEAR, "from": f"dec{i}_res", "n_out": dim},
            f"query{i}": {**split, "from": f"query{i}_in"},
            f"energy{i}": {
                "class": "dot",
                "red1": -1,
                "red2": -1,
                "var1": "T",
                "var2": "T?",
                "from": [f"base:key{i}", f"query{i}"],
            },
            f"weights{i}": {"class": "softmax_over_spatial", "from": f"energy{i}"},
            f"att{i}_heads": {
                "class": "generic_attention",
                "weights": f"weights{i}",
                "base": f"base:key{i}",
            },
            f"att{i}": {"class": "merge_dims", "axes": "static", "from": f"att{i}_heads"},
            f"cross{i}": {"class": "combine", "kind": "add", "from": [f"dec{i}_res", f"att{i}"]},
        }
        unit |= _feed_forward(f"cross{i}", f"decoder{i + 1}", dim)
    length = f"max_len_from('base:encoder{layers}')"
    net["output"] = {"class": "rec", "from": [], "target": "classes", "unit": unit}
    net["output"]["max_seq_len"] = length
    return net


def _self_attention(source: str, name: str, dim: int, heads: int, *, left: bool) -> Net:
    opts = {"num_heads": heads, "total_key_dim": dim, "n_out": dim, "attention_left_only": left}
    return {
        f"{name}_norm": {"class": "layer_norm", "from": source},
        f"{name}_att": {"class": "self_attention", **opts, "from": f"{name}_norm"},
        f"{name}_drop": {"class": "dropout", "dropout": 0.1, "from": f"{name}_att"},
        f"{name}_res": {"class": "combine", "kind": "add", "from": [source, f"{name}_drop"]},
    }


def _feed_forward(source: str, name: str, dim: int) -> Net:
    return {
        f"{name}_norm": {"class": "layer_norm", "from": source},
        f"{name}_ff1": {**LINEAR, "activation": "relu", "from": f"{name}_norm", "n_out": 4 * dim},
        f"{name}_ff2": {**LINEAR, "from": f"{name}_ff1", "n_out": dim},
        name: {"class": "combine", "kind": "add", "from": [source, f"{name}_ff2"]},
    }


@pytest.mark.parametrize("task", ["train", "search"])
def test_the_largest_is_built_and_checked_in_half_a_second(task: str) -> None:
    start = time.process_time()
    network = Network(transformer(6), extern_data=SPARSE, task=task)
    assert len(network.describe().splitlines()) > 180
    assert time.process_time() - start < 0.5
