"""What a user gets for a mistake: one short error that says where it is, and what is needed."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from eager import dense

from returnn_lite import Network, NetworkError
from returnn_lite.parameters import save_checkpoint

NET: dict[str, Any] = {
    "conv": {
        "class": "conv",
        "filter_size": (3,),
        "padding": "same",
        "n_out": 6,
        "activation": "relu",
        "from": "data",
    },
    "lstm": {"class": "rec", "unit": "nativelstm2", "n_out": 4, "from": "conv"},
    "encoder": {"class": "linear", "activation": "tanh", "n_out": 5, "from": "lstm"},
    "key": {"class": "linear", "activation": None, "n_out": 4, "from": "encoder"},
    "frames": {"class": "softmax", "from": "encoder", "loss": "ce", "target": "states"},
    "output": {
        "class": "rec",
        "from": [],
        "target": "classes",
        "max_seq_len": "max_len_from('base:encoder')",
        "unit": {
            "embed": {"class": "linear", "activation": None, "n_out": 3, "from": "prev:output"},
            "s": {
                "class": "rnn_cell",
                "unit": "LSTMBlock",
                "n_out": 4,
                "from": ["embed", "prev:att"],
            },
            "energy": {
                "class": "dot",
                "from": ["base:key", "s"],
                "red1": "F",
                "red2": "F",
                "var1": "T",
                "var2": "T?",
            },
            "weights": {"class": "softmax_over_spatial", "from": "energy"},
            "att": {"class": "generic_attention", "weights": "weights", "base": "base:encoder"},
            "p": {"class": "softmax", "from": ["s", "att"], "target": "classes", "loss": "ce"},
            "output": {"class": "choice", "from": "p", "target": "classes", "beam_size": 2},
            "end": {"class": "compare", "from": "output", "value": 0},
        },
    },
}
STREAMS = {
    "data": {"dim": 7},
    "classes": {"dim": 3, "sparse": True},
    "states": {"dim": 3, "sparse": True, "same_dim_tags_as": {"t": "data"}},
}
ABSENT = object()
ENCODED = "[T|'time:var:extern_data:data',B,F|5]"
WORDS = (
    "all, batch, dynamic, except_batch, except_feature, except_time, feature, spatial, static, time"
)
MORE: dict[str, Any] = {"from": "encoder", "is_output_layer": True}

# The layer, what of it is changed, and the error.
CASES: list[tuple[str, dict[str, Any], str]] = [
    # classes
    (
        "lstm",
        {"class": "reck"},
        "lstm (reck): unknown layer class 'reck'; did you mean 'rec'?",
    ),
    (
        "key",
        {"class": "fast_bw_factored"},
        "key (fast_bw_factored): found class 'fast_bw_factored', which needs the decoder RASR, "
        "needed a layer of this project; try fast_bw with align_target 'hmm'",
    ),
    ("key", {"class": 3}, "key (3): found class 3, needed the name of a layer class"),
    (
        "more",
        {**MORE, "class": "LinearLayer"},
        "more (LinearLayer): unknown layer class 'LinearLayer'; did you mean 'linear'?",
    ),
    ("lstm", {"unit": "nativlstm2"}, "lstm (rec): unknown unit 'nativlstm2'; did you mean"),
    (
        "output/s",
        {"unit": "LSTMBlok"},
        "output/s (rnn_cell): unknown unit 'LSTMBlok'; did you mean 'lstmblock'?",
    ),
    # options
    (
        "encoder",
        {"activaton": "tanh"},
        "encoder (linear): unknown option 'activaton'; did you mean 'activation'?",
    ),
    (
        "lstm",
        {"unit_opts": {"forget_bais": 1.0}},
        "lstm (rec): unknown option 'forget_bais' of unit 'nativelstm2'; did you mean 'forget_bias",
    ),
    ("lstm", {"n_out": ABSENT}, "lstm (rec): found neither n_out nor a target, needed one"),
    ("conv", {"n_out": ABSENT}, "conv (conv): missing option 'n_out'"),
    ("output/att", {"base": ABSENT}, "output/att (generic_attention): missing option 'base'"),
    ("output/output", {"beam_size": ABSENT}, "output/output (choice): missing option 'beam_size'"),
    # values of the wrong type, or that there are not
    (
        "encoder",
        {"n_out": True},
        "encoder (linear): option 'n_out': found True, needed a whole number or None",
    ),
    ("encoder", {"n_out": 0}, "encoder (linear): found n_out 0, needed 1 or more"),
    ("lstm", {"direction": 2}, "lstm (rec): option 'direction': found 2, needed 1 or -1"),
    (
        "conv",
        {"filter_size": 3},
        "conv (conv): option 'filter_size': found 3, needed a list, each a whole number",
    ),
    (
        "conv",
        {"padding": "sam"},
        "conv (conv): unknown padding 'sam'; did you mean 'same'?",
    ),
    (
        "encoder",
        {"activation": "tahn"},
        "encoder (linear): unknown activation 'tahn'; did you mean 'tanh'?",
    ),
    (
        "encoder",
        {"dropout": 1.5},
        "encoder (linear): found dropout 1.5, needed 0 or more, below 1",
    ),
    (
        "encoder",
        {"forward_weights_init": "glorot"},
        "encoder/W: unknown initialiser 'glorot'; did you mean 'glorot_normal'?",
    ),
    (
        "output/output",
        {"beam_size": "2"},
        "output/output (choice): option 'beam_size': found '2', needed a whole number",
    ),
    (
        "output/output",
        {"input_type": "logprob"},
        "output/output (choice): option 'input_type': found 'logprob', needed 'prob' or 'log_prob'",
    ),
    (
        "more",
        {**MORE, "class": "combine", "kind": "plus"},
        "more (combine): unknown kind 'plus'; there are: add, average, eval, floordiv",
    ),
    (
        "more",
        {**MORE, "class": "reduce", "mode": "median", "axis": "T"},
        "more (reduce): unknown mode 'median'; did you mean 'mean'?",
    ),
    # sources
    (
        "encoder",
        {"from": ["lstm", "lstmm"]},
        "encoder (linear): no layer 'lstmm'; did you mean 'lstm'?",
    ),
    ("encoder", {"from": None}, "encoder (linear): found no source, needed one in 'from'"),
    (
        "encoder",
        {"from": {"lstm": 1}},
        "encoder (linear): found {'lstm': 1} in 'from', needed a layer or a list",
    ),
    ("output/s", {"from": "prev:at"}, "output/s (rnn_cell): no layer 'at'; did you mean 'att'?"),
    (
        "output/att",
        {"base": "encoder"},
        "output/att (generic_attention): no layer 'encoder'; did you mean 'base:encoder'?",
    ),
    (
        "key",
        {"from": "base:encoder"},
        "key (linear): found 'base:encoder' where no layer is around this network",
    ),
    (
        "key",
        {"from": "prev:encoder"},
        "key (linear): found 'prev:encoder', which only the unit of a rec layer has",
    ),
    (
        "output/p",
        {"from": "data:source"},
        "output/p (softmax): no data stream 'source'; there are: classes, data, states",
    ),
    ("output/energy", {"from": "base:key"}, "output/energy (dot): found 1 sources, needed two"),
    # axes
    (
        "output/energy",
        {"red1": "G"},
        "output/energy (dot): found no axis 'G' in [T|'time:var:extern_data:data',B,F|4]; "
        f"try one of {WORDS}",
    ),
    (
        "more",
        {**MORE, "class": "reduce", "mode": "max", "axis": "stag:foo"},
        f"more (reduce): found no axis 'stag:foo' in {ENCODED}; try one of {WORDS}",
    ),
    (
        "more",
        {**MORE, "class": "merge_dims", "axes": ["T", "X"]},
        f"more (merge_dims): found no axis 'X' in {ENCODED}; try one of {WORDS}",
    ),
    # cycles that are no recurrences
    (
        "lstm",
        {"from": "key"},
        "found layers that depend on one another: encoder -> lstm -> key -> encoder; try 'prev:'",
    ),
    (
        "output/embed",
        {"from": "s"},
        "found layers that depend on one another: output/s -> output/embed -> output/s; "
        "try 'prev:'",
    ),
    # sizes
    (
        "key",
        {"n_out": 5},
        f"output/energy (dot): found axes [F|5] of {ENCODED} and [F|4] of [B,F|4] to sum over, "
        "needed the same sizes",
    ),
    (
        "frames",
        {"n_out": 4},
        "frames (softmax): found 4 outputs for target [B,T|'time:var:extern_data:data'], int32, "
        "dim 3, needed 3",
    ),
    (
        "more",
        {**MORE, "class": "split_dims", "axis": "F", "dims": (2, 3)},
        f"more (split_dims): found dims (2, 3) for F|5 of {ENCODED}, needed its size",
    ),
    (
        "more",
        {**MORE, "class": "combine", "kind": "add", "from": ["lstm", "encoder"]},
        "more (combine): found feature dims 4 and 5, needed equal ones or 1",
    ),
    (
        "conv",
        {"groups": 4},
        "conv (conv): found 4 groups, 7 inputs and n_out 6, needed a number that divides both",
    ),
    (
        "conv",
        {"filter_size": (3, 3)},
        "conv (conv): found 1 spatial dims in [B,T|'time:var:extern_data:data',F|7], needed 2; "
        "try in_spatial_dims",
    ),
    (
        "more",
        {**MORE, "class": "self_attention", "num_heads": 3, "total_key_dim": 4, "n_out": 6},
        "more (self_attention): found total_key_dim 4 and n_out 6, needed multiples of num_heads 3",
    ),
    (
        "encoder",
        {"reuse_params": "key"},
        "encoder (linear): found 'W' of (5, 4) in key, needed (4, 5)",
    ),
    # losses and targets
    (
        "frames",
        {"loss": "sprint"},
        "frames (softmax): found the loss 'sprint', which needs the decoder RASR, needed one of "
        "this project; try 'fast_bw', 'ctc' or, in a search, 'expected_loss'",
    ),
    ("frames", {"loss": "cee"}, "frames (softmax): unknown loss 'cee'; did you mean 'ce'?"),
    (
        "frames",
        {"loss_opts": {"label_smooth": 0.1}},
        "frames (softmax): unknown option 'label_smooth' of the loss 'ce'; did you mean 'label_smo",
    ),
    (
        "frames",
        {"target": "state"},
        "frames (softmax): no data stream 'state'; did you mean 'states'?",
    ),
    (
        "frames",
        {"loss": "ctc", "target": "data"},
        "frames (softmax): found [T|'time:var:extern_data:data',B,F|8] for target ",
    ),
    # subnetworks and expressions
    (
        "output",
        {"unit": {}},
        "output (rec): no layer 'output'; there are: base:conv, base:encoder",
    ),
    (
        "more",
        {**MORE, "class": "subnetwork", "subnetwork": {"output": {"class": "copy", "from": "x"}}},
        "more/output (copy): no layer 'x'; there are: base:conv, base:encoder",
    ),
    (
        "more",
        {**MORE, "class": "eval", "eval": "sorce(0)"},
        "more (eval): found the name 'sorce' in 'eval'; did you mean 'source'?",
    ),
    (
        "more",
        {**MORE, "class": "eval", "eval": "source(0) + source(1)"},
        "more (eval): found source(1) in 'eval', needed one of 1 sources",
    ),
    (
        "more",
        {**MORE, "class": "eval", "eval": "source(0) +"},
        "more (eval): found no expression in 'eval': invalid syntax: source(0) +",
    ),
]


def changed(path: str, options: dict[str, Any]) -> dict[str, Any]:
    """Return the network with other options of a layer."""
    layers, names = copy.deepcopy(NET), path.split("/")
    at = layers if len(names) == 1 else layers[names[0]]["unit"]
    opts = {**at.get(names[-1], {}), **options}
    at[names[-1]] = {k: v for k, v in opts.items() if v is not ABSENT}
    return layers


def check(error: BaseException, text: str) -> None:
    """Assert that an error is one short line that begins with a text."""
    assert str(error)[: len(text)] == text
    assert "\n" not in str(error) and len(str(error)) < 400


def test_without_a_mistake_there_is_no_error() -> None:
    Network(NET, extern_data=STREAMS, train=True)
    assert len(CASES) >= 50


@pytest.mark.parametrize(("path", "options", "text"), CASES, ids=[c[2][:50] for c in CASES])
def test_networks(path: str, options: dict[str, Any], text: str) -> None:
    with pytest.raises(NetworkError) as caught:
        Network(changed(path, options), extern_data=STREAMS, train=True)
    check(caught.value, text)


@pytest.mark.parametrize(
    ("network", "text"),
    [
        ([("output", NET["key"])], "network: found no dict of layers by name, needed one"),
        ({3: NET["key"], "output": NET["key"]}, "network: found no dict of layers by name, needed"),
        ({"output": {**NET["conv"], 3: 4}}, "output (conv): unknown option 3; there are: "),
        ({"output": None}, "output: found None, needed a dict with 'class'"),
    ],
)
def test_what_is_no_network(network: Any, text: str) -> None:
    with pytest.raises(NetworkError) as caught:
        Network(network, extern_data=STREAMS)
    assert str(caught.value).startswith(text)


LINEAR: dict[str, Any] = {"output": {"class": "linear", "n_out": 2, "from": "data"}}
WEIGHTS, BIAS = np.zeros([7, 2], np.float32), np.zeros([2], np.float32)


@pytest.mark.parametrize(
    ("stored", "text"),
    [
        ({"output/W": WEIGHTS}, "found no parameter 'output/b' of the network; did you mean"),
        (
            {"out/W": WEIGHTS, "out/b": BIAS},
            "found no parameter 'output/W' and 1 others of the network; did you mean 'out/W'?",
        ),
        (
            {"output/W": WEIGHTS, "output/b": BIAS, "more/W": WEIGHTS},
            "found the parameter 'more/W', needed those of the network; try load(..., subset=True)",
        ),
        (
            {"output/W": WEIGHTS.T, "output/b": BIAS},
            "parameter output/W: found shape (2, 7), needed (7, 2)",
        ),
    ],
)
def test_parameter_files(tmp_path: Path, stored: dict[str, Any], text: str) -> None:
    save_checkpoint(tmp_path / "model", stored)
    with pytest.raises(NetworkError) as caught:
        Network(LINEAR, extern_data=STREAMS).load(tmp_path / "model")
    check(caught.value, f"{tmp_path / 'model'}: {text}")


def test_a_word_in_place_of_a_list_of_layers() -> None:
    with pytest.raises(NetworkError) as caught:
        Network(LINEAR, extern_data=STREAMS).run({"data": dense([2], 7)}, "output")
    check(caught.value, "fetch: found 'output', needed a list of layers; try ['output']")
