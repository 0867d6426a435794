"""What every layer must do: a table of layers, and properties of them. A new layer needs a row."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest
from eager import Array, dense, frame_of, random_parameters, run, sparse, weighted_gradients

from returnn_lite import layers
from returnn_lite.dim import BATCH
from returnn_lite.layers import base
from returnn_lite.network import Network
from returnn_lite.output import Output, Outputs

Net = dict[str, Any]

DIM, CLASSES, LENGTHS = 4, 3, [5, 2, 4]
STREAMS = {
    "data": {"dim": DIM},
    "classes": {"dim": CLASSES, "sparse": True, "same_dim_tags_as": {"t": "data"}},
    "labels": {"dim": CLASSES, "sparse": True},
}
# The input of the layers: not zero behind the end. Once batch-major, once time-major.
SHIFT: Net = {"class": "eval", "eval": "source(0) + 1.5"}
INPUTS: dict[str, Net] = {
    "batch": {"in": {**SHIFT, "from": "data"}},
    "time": {
        "in": {"class": "rec", "from": "data", "unit": {"output": {**SHIFT, "from": "data:source"}}}
    },
}
COMMON: Net = {
    "count": {"class": "length", "from": "data"},
    "half": {"class": "eval", "from": "count", "eval": "source(0) // 2"},
    "mask": {"class": "compare", "from": "data:classes", "value": 1, "kind": "not_equal"},
    "column": {"class": "linear", "from": "in", "n_out": 1, "activation": "tanh"},
    "last": {"class": "gather", "position": "half", "from": "in"},
    "columns": {"class": "split_dims", "axis": "F", "dims": [2, -1], "from": "in"},
    "mean": {"class": "reduce", "mode": "mean", "axis": "T", "from": "in"},
    "sum": {"class": "reduce", "mode": "sum", "axis": "F", "from": "in"},
    "sorted": {"class": "cumsum", "from": "ones"},
    "ones": {"class": "eval", "eval": "0.1 + source(0) ** 2", "from": "sum"},
    "places": {"class": "eval", "eval": "(source(0) + 1) % 2", "from": "data:classes"},
    "places1": {"class": "reinterpret_data", "set_sparse": False, "from": "places"},
}
LSTM: Net = {"class": "rec", "unit": "lstm", "n_out": 3, "from": "in"}
NORM = {"dropout": 0.3, "dropout_h": 0.2}
ZONEOUT = {"zoneout_factor_cell": 0.4, "zoneout_factor_output": 0.2}
STEPS: Net = {"output": {"class": "linear", "from": ["prev:output", "data:source"], "n_out": 2}}
SEARCHED: Net = {
    "p": {"class": "softmax", "from": ["data:source", "e"], "n_out": 3},
    "e": {"class": "linear", "activation": None, "from": "prev:output", "n_out": 2},
    "output": {"class": "choice", "from": "p", "beam_size": 2, "target": "none"},
}
OVER_FEATURES = {"filter_size": [3, 2], "input_add_feature_dim": True}
DILATED = {"dilation_rate": 2, "groups": 2}
TRANSPOSED = {"class": "transposed_conv", "filter_size": [3], "n_out": 2, "activation": "tanh"}
WINDOWS = {"padding": "same", "from": "in"}
ATTENTION: Net = {"class": "self_attention", "num_heads": 2, "total_key_dim": 4, "n_out": 6}
NESTED: Net = {"output": {"class": "linear", "activation": "tanh", "n_out": 3}}
MASKED = {"class": "masked_computation", "mask": "mask"}

CASES: dict[str, Net] = {
    "copy": {"class": "copy", "from": ["in", "column"]},
    "combine": {"class": "combine", "kind": "mul", "from": ["in", "column"]},
    "combine_last": {"class": "combine", "kind": "add", "from": ["in", "gather"]},
    "eval": {"class": "eval", "eval": "source(0) * tf.tanh(source(1))", "from": ["in", "column"]},
    "eval_type": {
        "class": "eval",
        "eval": "tf.cast(source(0) > 0, 'int32')",
        "from": "in",
        "out_type": {"dtype": "int32"},
    },
    "compare": {"class": "compare", "kind": "greater", "value": 0.5, "from": "in"},
    "dropout": {"class": "dropout", "dropout": 0.5, "from": "in"},
    "activation": {"class": "activation", "activation": "log_softmax", "from": "in"},
    "linear": {"class": "linear", "n_out": 3, "activation": "tanh", "from": ["in", "column"]},
    "linear_sparse": {"class": "linear", "n_out": 3, "activation": None, "from": "data:classes"},
    "softmax": {"class": "softmax", "n_out": 3, "from": "in"},
    "rec": LSTM,
    "rec_back": {**LSTM, "direction": -1},
    "rec_sparse": {**LSTM, "from": "data:classes"},
    "rec_norm": {**LSTM, "unit": "LayerNormVariantsLSTM", "unit_opts": NORM},
    "rec_zoneout": {**LSTM, "unit": "zoneoutlstm", "unit_opts": ZONEOUT, "direction": -1},
    "rec_highway": {**LSTM, "unit": "rhn", "unit_opts": {"depth": 2, "dropout": 0.3}},
    "rnn_cell": {"class": "rnn_cell", "unit": "gru", "n_out": 3, "from": "in"},
    "rnn_cell_sparse": {**LSTM, "class": "rnn_cell", "unit": "LSTMBlock", "from": "data:classes"},
    "hidden": {"class": "get_last_hidden_state", "from": ["rec", "rec_zoneout"], "n_out": 12},
    "rec_net": {"class": "rec", "unit": STEPS, "from": "in"},
    "choice": {"class": "rec", "unit": SEARCHED, "from": "in"},
    "decide": {"class": "decide", "from": "choice"},
    "subnetwork": {"class": "subnetwork", "subnetwork": NESTED, "from": "in"},
    "masked_computation": {**MASKED, "unit": {**LSTM, "from": "data"}, "from": "in"},
    "masked_labels": {**MASKED, "unit": {"class": "copy"}, "from": "data:classes"},
    "pool": {"class": "pool", "mode": "max", "pool_size": [3], **WINDOWS},
    "pool_mean": {"class": "pool", "mode": "avg", "pool_size": [2], **WINDOWS},
    "pool_valid": {**WINDOWS, "class": "pool", "mode": "max", "pool_size": [2], "padding": "valid"},
    "conv": {"class": "conv", "filter_size": [3], "n_out": 3, "activation": "relu", **WINDOWS},
    "conv_strides": {"class": "conv", "filter_size": [3], "strides": 2, "n_out": 3, **WINDOWS},
    "conv_two": {**WINDOWS, **OVER_FEATURES, "class": "conv", "n_out": 3, "strides": [2, 1]},
    "conv_dilated": {**WINDOWS, "class": "conv", "filter_size": [2], "n_out": 2, **DILATED},
    "transposed_conv": {**TRANSPOSED, "strides": [2], "from": "in"},
    "transposed_valid": {**TRANSPOSED, "strides": [1], "padding": "valid", "from": "in"},
    "reduce_out": {"class": "reduce_out", "mode": "max", "num_pieces": 2, "from": "in"},
    "reinterpret_data": {"class": "reinterpret_data", "set_sparse_dim": 9, "from": "data:labels"},
    "reinterpret_size": {
        "class": "reinterpret_data",
        "size_base": "data:labels",
        "from": "pool_to",
    },
    "length": {"class": "length", "from": "in"},
    "loss": {"class": "loss", "from": "softmax", "loss_": "ce", "target_": "classes"},
    "loss_of_sequence": {"class": "loss", "from": "in", "loss_": "ctc", "target_": "labels"},
    "ctc_loss": {"class": "ctc_loss", "logits": "in", "targets": "data:labels"},
    "cross_entropy": {
        "class": "sparse_softmax_cross_entropy_with_logits",
        "logits": "softmax",
        "targets": "data:classes",
    },
    "fast_bw": {
        "class": "fast_bw",
        "align_target": "ctc",
        "align_target_key": "labels",
        "from": "in",
    },
    "gather": {"class": "gather", "position": "half", "from": "in"},
    "gather_fixed": {"class": "gather", "position": 1, "axis": "F", "from": "in"},
    "gather_nd": {"class": "gather_nd", "position": "half", "from": "in"},
    "scatter_nd": {
        "class": "scatter_nd",
        "position": "places1",
        "position_axis": "T",
        "output_dim_via_time_from": "in",
        "from": "in",
    },
    "slice_nd": {"class": "slice_nd", "start": "half", "size": 2, "from": "in"},
    "slice_nd_open": {"class": "slice_nd", "start": "half", "size": None, "from": "in"},
    "search_sorted": {"class": "search_sorted", "sorted_sequence": "sorted", "values": "mean"},
    "split_dims": {"class": "split_dims", "axis": "F", "dims": [2, -1], "from": "in"},
    "split_time": {"class": "split_dims", "axis": "T", "dims": [-1, 2], "from": "in"},
    "merge_dims": {"class": "merge_dims", "axes": "static", "from": "columns"},
    "merge_time": {"class": "merge_dims", "axes": ["T", "F"], "from": "in"},
    "merge_order": {
        "class": "merge_dims",
        "axes": ["F", "T"],
        "keep_order": True,
        "from": "in",
    },
    "combine_dims": {"class": "combine_dims", "axes": ["static:1", "static:0"], "from": "columns"},
    "squeeze": {"class": "squeeze", "axis": "F", "from": "column"},
    "expand_dims": {"class": "expand_dims", "axis": "spatial", "dim": 2, "from": "in"},
    "swap_axes": {"class": "swap_axes", "axis1": "static:0", "axis2": "F", "from": "columns"},
    "transpose": {
        "class": "transpose",
        "perm": {"static:0": "F", "F": "static:0"},
        "from": "columns",
    },
    "slice": {"class": "slice", "axis": "F", "slice_start": 1, "slice_step": 2, "from": "in"},
    "slice_time": {"class": "slice", "axis": "T", "slice_end": -1, "from": "in"},
    "pad": {"class": "pad", "axes": "F", "padding": [1, 2], "value": 2, "from": "in"},
    "pad_time": {"class": "pad", "axes": "T", "padding": [1, 2], "from": "in"},
    "pad_mirror": {
        "class": "pad",
        "axes": "T",
        "padding": [1, 1],
        "mode": "reflect",
        "from": "in",
    },
    "prefix_in_time": {"class": "prefix_in_time", "prefix": 0.5, "from": "in"},
    "prefix_half": {"class": "prefix_in_time", "repeat": "half", "from": "in"},
    "postfix_in_time": {"class": "postfix_in_time", "postfix": "mean", "repeat": 2, "from": "in"},
    "shift_axis": {"class": "shift_axis", "axis": "T", "amount": -1, "from": "in"},
    "window": {"class": "window", "window_size": 3, "window_right": 0, "from": "in"},
    "window_stride": {"class": "window", "window_size": 3, "stride": 2, "from": "in"},
    "cumsum": {"class": "cumsum", "from": "in"},
    "cumsum_features": {"class": "cumsum", "axis": "F", "reverse": True, "from": "in"},
    "reduce": {"class": "reduce", "mode": "mean", "axis": "T", "from": "in"},
    "reduce_max": {"class": "reduce", "mode": "max", "axes": ["T", "F"], "from": "in"},
    "reduce_arg": {"class": "reduce", "mode": "argmax", "axis": "F", "from": "in"},
    "reduce_keep": {
        "class": "reduce",
        "mode": "sum",
        "axes": "F",
        "keep_dims": True,
        "from": "in",
    },
    "top_k": {"class": "top_k", "axis": "F", "k": 2, "from": "in"},
    "top_k/indices": {"class": "top_k", "axis": "F", "k": 2, "from": "in"},
    "concat": {"class": "concat", "from": [["in", "F"], ["column", "F"]]},
    "concat_time": {"class": "concat", "from": [["in", "T"], ["data:data", "T"]]},
    "split": {"class": "split", "num_splits": 2, "from": "in"},
    "split/1": {"class": "split", "num_splits": 2, "from": "in"},
    "repeat": {"class": "repeat", "repetitions": 2, "axis": "T", "from": "in"},
    "repeat_by": {"class": "repeat", "repetitions": "places", "axis": "T", "from": "in"},
    "range": {"class": "range", "limit": 5, "start": 1, "delta": 2},
    "range_in_axis": {"class": "range_in_axis", "axis": "T", "from": "in"},
    "range_from_length": {"class": "range_from_length", "from": "half"},
    "seq_len_mask": {"class": "seq_len_mask", "mask_value": 0.5, "start": "half", "from": "in"},
    "constant": {"class": "constant", "value": 1.5, "shape": [2], "with_batch_dim": True},
    "cast": {"class": "cast", "dtype": "int32", "from": "in"},
    "switch": {"class": "switch", "condition": "mask", "true_from": "in", "false_from": 0.5},
    "train_flag": {"class": "train_flag"},
    "print": {"class": "print", "from": "in"},
    "spec_augment": {"class": "spec_augment", "time_size": 2, "feature_size": 1, "from": "in"},
    "vtlp": {"class": "vtlp", "from": "in"},
    "layer_norm": {"class": "layer_norm", "from": "in"},
    "gating": {"class": "gating", "activation": "tanh", "from": "in"},
    "batch_norm": {"class": "batch_norm", "update_sample_only_in_training": True, "from": "in"},
    "accumulate_mean": {"class": "accumulate_mean", "exp_average": 0.1, "from": "in"},
    "variable": {"class": "variable", "shape": [2, 3], "add_batch_axis": True},
    "softmax_over_spatial": {"class": "softmax_over_spatial", "from": "in"},
    "softmax_window": {
        "class": "softmax_over_spatial",
        "start": "half",
        "window_start": 1,
        "window_size": 2,
        "from": "in",
    },
    "dot": {"class": "dot", "reduce": "F", "from": ["in", "in"], "var1": "T", "var2": "T"},
    "dot_time": {"class": "dot", "reduce": "T", "from": ["in", "column"]},
    "generic_attention": {"class": "generic_attention", "weights": "column", "base": "in"},
    "dot_attention": {"class": "dot_attention", "base": "in", "base_ctx": "in", "from": "last"},
    "self_attention": {**ATTENTION, "from": "in"},
    "self_attention_left": {
        **ATTENTION,
        "attention_left_only": True,
        "attention_dropout": 0.3,
        "from": "in",
    },
    "self_attention_shift": {**ATTENTION, "key_shift": "relative_encoding", "from": "in"},
    "positional_encoding": {"class": "positional_encoding", "add_to_input": True, "from": "in"},
    "positions": {"class": "positional_encoding", "n_out": 5, "offset": "half", "from": "in"},
    "relative_encoding": {
        "class": "relative_positional_encoding",
        "n_out": 2,
        "clipping": 2,
        "from": "in",
    },
}
# A layer with as many frames as the stream `labels` has.
CASES["pool_to"] = {"class": "pool", "mode": "max", "pool_size": [2], **WINDOWS}
WHOLE_NUMBERS = (
    *("eval_type", "compare", "length", "masked_labels"),
    *("choice", "decide", "reinterpret_data", "reduce_arg", "top_k/indices", "range", "cast"),
    *("range_in_axis", "range_from_length", "search_sorted", "train_flag", "constant"),
)
WITHOUT_BATCH = ("accumulate_mean", "relative_encoding")
# In a loop: layers of one step, and layers over a sequence that differs from step to step.
OF_A_STEP = (
    *("copy", "combine", "eval", "eval_type", "compare", "dropout", "activation", "linear"),
    *("linear_sparse", "softmax", "rec", "rec_sparse", "subnetwork", "masked_computation"),
    *("masked_labels", "reduce_out", "reinterpret_data", "vtlp", "layer_norm", "gating"),
    *("variable", "self_attention_left", "positional_encoding", "positions"),
    *("rec_norm", "rec_highway", "rnn_cell", "rnn_cell_sparse", "gather_fixed", "split_dims"),
    *("merge_dims", "combine_dims", "squeeze", "expand_dims", "swap_axes", "transpose", "slice"),
    *("pad", "window", "cumsum", "cumsum_features", "reduce_arg", "reduce_keep", "top_k"),
    *("concat", "constant", "cast", "switch", "train_flag", "print", "range"),
)
STAYING = (
    *("rec", "rec_back", "rec_net", "pool", "pool_mean", "pool_valid", "conv", "conv_strides"),
    *("conv_two", "conv_dilated", "transposed_conv", "transposed_valid"),
    *("spec_augment", "self_attention", "self_attention_left", "slice_nd_open", "prefix_half"),
    *("rec_norm", "rec_zoneout", "rec_highway", "rnn_cell"),
)
OF_A_SEQUENCE = (
    *("copy", "combine", "eval", "eval_type", "compare", "dropout", "activation", "linear"),
    *("softmax", "rec", "rec_back", "rec_net", "subnetwork", "pool", "pool_mean", "pool_valid"),
    *("conv", "conv_strides", "reduce_out", "length", "gather", "spec_augment", "vtlp"),
    *("conv_two", "conv_dilated", "transposed_conv", "transposed_valid"),
    *("layer_norm", "gating", "softmax_over_spatial", "softmax_window", "dot", "dot_time"),
    *("generic_attention", "dot_attention", "self_attention", "self_attention_left"),
    *("positional_encoding", "positions"),
    *("rec_norm", "rec_zoneout", "rec_highway", "rnn_cell"),
    *("gather_fixed", "gather_nd", "slice_nd", "slice_nd_open", "split_dims", "split_time"),
    *("search_sorted", "merge_dims", "merge_time", "merge_order", "combine_dims", "squeeze"),
    *("expand_dims", "swap_axes", "transpose", "slice", "slice_time", "pad", "pad_time"),
    *("pad_mirror", "prefix_in_time", "postfix_in_time", "shift_axis", "window", "window_stride"),
    *("cumsum", "cumsum_features", "reduce", "reduce_max", "reduce_arg", "reduce_keep", "top_k"),
    *("concat", "repeat", "range_in_axis", "seq_len_mask", "cast", "print", "prefix_half"),
)


def network(layout: str = "batch", *, search: bool = True) -> Network:
    """Return all layers of the table in one network."""
    net = {**INPUTS[layout], **COMMON, **CASES}
    return Network(net, extern_data=STREAMS, outputs=list(CASES), search=search)


def whole_batch() -> dict[str, tuple[Array, list[int]]]:
    short = [-(-n // 2) for n in LENGTHS]
    return {
        "data": dense(LENGTHS, DIM),
        "classes": sparse(LENGTHS, CLASSES),
        "labels": sparse(short, CLASSES, seed=1),
    }


def row(batch: dict[str, tuple[Array, list[int]]], b: int) -> dict[str, tuple[Array, list[int]]]:
    """Return one sequence of a batch, without padding."""
    return {k: (v[b : b + 1, : n[b]], [n[b]]) for k, (v, n) in batch.items()}


def entries(out: Output, b: int) -> Array:
    """Return what a layer gives for a sequence: all its hypotheses, without padding."""
    beam = out.beam_size or 1
    rows = slice(b * beam, (b + 1) * beam)
    x = out.canonical()
    x = x[rows] if BATCH in out.dims else x
    for axis, dim in enumerate(out.canonical_dims()):
        if dim.name in out.lengths:
            x = x[(*[slice(None)] * axis, slice(max(out.lengths[dim.name][rows])))]
    return x


@pytest.fixture(scope="module")
def built() -> Network:
    net = network()
    random_parameters(net)
    return net


@pytest.fixture(scope="module")
def outputs(built: Network) -> Outputs:
    return run(built, whole_batch())


@pytest.fixture(scope="module")
def rows(built: Network) -> list[Outputs]:
    return [run(built, row(whole_batch(), b)) for b in range(len(LENGTHS))]


def test_every_layer_class_is_in_the_table(built: Network) -> None:
    layers.load()
    registered = {cls for entries in base._registry.values() for _, cls in entries}
    assert {type(n.layer) for n in built.nodes()} >= registered


def test_the_table_survives_json(built: Network) -> None:
    net = json.loads(json.dumps({**INPUTS["batch"], **COMMON, **CASES}))
    again = Network(net, extern_data=STREAMS, outputs=list(CASES), search=True)
    assert again.param_specs() == built.param_specs()


@pytest.mark.parametrize("name", CASES)
def test_the_template_is_that_of_the_output(built: Network, name: str) -> None:
    frame = frame_of(built, whole_batch())
    node = built.scope.get(name)
    value, template = frame.value(node), node.out
    assert template is not None
    for key in ("dims", "dtype", "sparse_dim", "feature_dim", "time_dim"):
        assert getattr(value, key) == getattr(template, key), key
    assert value.tensor.dtype.name == template.dtype
    assert [d.size or n for d, n in zip(value.dims, value.tensor.shape, strict=True)] == list(
        value.tensor.shape
    )


@pytest.mark.parametrize("name", [n for n in CASES if n not in WITHOUT_BATCH])
def test_a_sequence_alone_gives_what_it_gives_in_a_batch(
    outputs: Outputs, rows: list[Outputs], name: str
) -> None:
    for b, alone in enumerate(rows):
        together = entries(outputs[name], b)
        np.testing.assert_allclose(entries(alone[name], 0), together, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("name", [n for n in CASES if n not in WHOLE_NUMBERS + WITHOUT_BATCH])
def test_gradients_of_a_batch_are_those_of_its_sequences(
    built: Network, outputs: Outputs, name: str
) -> None:
    batch = whole_batch()
    weights = np.random.default_rng(0).standard_normal(outputs[name].canonical().shape)
    weights *= np.broadcast_to(valid(outputs[name]), weights.shape)
    _, together, data = weighted_gradients(built, batch, name, weights)
    total = dict.fromkeys(together, 0.0)
    for b in range(len(LENGTHS)):
        size = entries(outputs[name], b).shape[1:]
        part = weights[b : b + 1][(slice(None), *(slice(n) for n in size))]
        _, alone, own = weighted_gradients(built, row(batch, b), name, part)
        total = {k: total[k] + alone[k] for k in total}
        np.testing.assert_allclose(data[b, : LENGTHS[b]], own[0], rtol=1e-4, atol=1e-5)
        assert not data[b, LENGTHS[b] :].any()
    for key, value in together.items():
        np.testing.assert_allclose(value, total[key], rtol=1e-4, atol=1e-5, err_msg=key)


def valid(out: Output) -> Array:
    """Return which entries of the canonical values lie within the lengths."""
    x = np.ones(out.values.shape)
    ones = Output(x, out.dims, out.time_dim, out.feature_dim, out.sparse_dim, out.lengths)
    return ones.canonical()


def test_the_compiled_network_gives_the_same(built: Network, outputs: Outputs) -> None:
    compiled = built.run(whole_batch())
    for name in CASES:
        np.testing.assert_allclose(
            compiled[name].canonical(), outputs[name].canonical(), atol=1e-5, err_msg=name
        )
        for dim, lengths in outputs[name].lengths.items():
            np.testing.assert_array_equal(compiled[name].lengths[dim], lengths)


def test_time_major_input_gives_the_same(built: Network, outputs: Outputs) -> None:
    other = network("time")
    other.set_params(built.get_params())
    found = run(other, whole_batch())
    for name in CASES:
        np.testing.assert_allclose(
            found[name].canonical(), outputs[name].canonical(), atol=1e-5, err_msg=name
        )


def test_parameters_survive_a_checkpoint(built: Network, tmp_path: Any) -> None:
    built.save(tmp_path / "checkpoint")
    other = network()
    other.load(tmp_path / "checkpoint")
    for name, value in built.get_params().items():
        np.testing.assert_array_equal(other.get_params()[name], value)


def in_a_loop(name: str, inputs: Net, *, moved: bool) -> Network:
    """Return a network with a layer of the table in a loop; `s` makes every step differ."""
    layer = json.loads(json.dumps(CASES[name]).replace("data:labels", "data:classes"))
    unit = {
        "s": {"class": "linear", "activation": "tanh", "from": "data:source", "n_out": DIM},
        **inputs,
        "mask": {**COMMON["mask"], "initial_output": 1},
        **{k: v for k, v in COMMON.items() if k not in ("count", "mask")},
        "half": {"class": "eval", "from": "base:count", "eval": "source(0) // 2"},
        "x": layer,
        "output": {"class": "copy", "from": "s"},
    }
    unit["x"]["is_output_layer"] = True
    rec = {"class": "rec", "from": "data", "unit": unit, "optimize_move_layers_out": moved}
    net = {"other": SHIFT | {"from": "data:other"}, "count": COMMON["count"], "output": rec}
    streams = {**STREAMS, "other": {"dim": DIM}}
    return Network(net, extern_data=streams, outputs=["output/x"], train=True)


@pytest.mark.parametrize(
    ("name", "kind"),
    [*((n, "step") for n in OF_A_STEP), *((n, "sequence") for n in OF_A_SEQUENCE)],
)
def test_in_a_loop_a_layer_gives_what_it_gives_out_of_it(name: str, kind: str) -> None:
    of_step = {"in": {**SHIFT, "from": "s"}}
    of_sequence = {"in": {"class": "combine", "kind": "add", "from": ["s", "base:other"]}}
    found = []
    for moved in (True, False):
        net = in_a_loop(name, of_step if kind == "step" else of_sequence, moved=moved)
        random_parameters(net)
        batch = {k: v for k, v in whole_batch().items() if k != "labels"}
        batch["other"] = dense([2, 6, 3], DIM, seed=5)
        out = run(net, batch)["output/x"]
        placement = net.scope.get("output").layer.placement(net.scope.get("output"))  # type: ignore[attr-defined]
        stays = moved and kind == "sequence" and name in STAYING
        assert (placement.place[net.scope.get("output/x")] == "in") == (stays or not moved)
        found.append(out)
    assert [d.name for d in found[0].dims if d.size is None] == [
        d.name for d in found[1].dims if d.size is None
    ]
    np.testing.assert_allclose(found[0].canonical(), found[1].canonical(), atol=1e-5)
