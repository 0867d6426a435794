"""Sequences taken apart in a loop, and the output of its last step."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from eager import dense, random_parameters, run

from returnn_lite.dim import SpatialDim
from returnn_lite.errors import NetworkError
from returnn_lite.network import Network

STREAMS = {"data": {"dim": 3}, "other": {"dim": 3}}
LENGTHS = [4, 2, 3]
SUM = {"class": "combine", "kind": "add", "from": ["prev:output", "x"], "initial_output": 0.5}


@pytest.mark.parametrize("moved", [True, False])
def test_a_sequence_is_taken_apart_and_says_how_many_steps_there_are(moved: bool) -> None:
    unit = {
        "x": {"class": "rec_unstack", "from": "base:data", "declare_rec_time": True},
        "output": {**SUM, "need_last": True},
    }
    rec = {"class": "rec", "from": [], "unit": unit, "optimize_move_layers_out": moved}
    last = {"class": "rec_last_output", "rec_layer": "output", "sub_layer_name": "output"}
    network = Network(
        {"output": rec, "last": last}, extern_data=STREAMS, outputs=["output", "last"]
    )
    data = dense(LENGTHS, 3)
    out = run(network, {"data": data})
    sums = 0.5 + np.cumsum(data[0], axis=1)
    for b, n in enumerate(LENGTHS):
        np.testing.assert_allclose(out["output"].canonical()[b, :n], sums[b, :n], rtol=1e-5)
        np.testing.assert_allclose(out["last"].canonical()[b], sums[b, n - 1], rtol=1e-5)


@pytest.mark.parametrize("inside", ["sub", "output"])
def test_of_a_loop_without_steps_the_last_output_is_the_initial_one(inside: str) -> None:
    unit = {"x": {"class": "copy", "from": "data:source"}, "output": SUM}
    rec = {"class": "rec", "from": "data", "unit": unit}
    net: dict[str, Any] = {"output": rec}
    if inside == "sub":
        net = {"sub": {"class": "subnetwork", "from": "data", "subnetwork": {"output": rec}}}
        net["output"] = {"class": "copy", "from": "sub"}
    net["last"] = {"class": "rec_last_output", "rec_layer": "output", "sub_layer_name": "output"}
    network = Network(net, extern_data=STREAMS, outputs=["last"])
    data, _ = dense([2, 2], 3)
    out = run(network, {"data": (data, [2, 0])})["last"].canonical()
    np.testing.assert_allclose(out, [0.5 + data[0].sum(axis=0), [0.5] * 3], rtol=1e-5)


def test_another_axis_is_taken_apart() -> None:
    """The energies of all pairs of frames, of which each step has those of one of the second."""
    unit = {
        "x": {"class": "rec_unstack", "from": "base:pairs", "axis": "stag:extern_data:other"},
        "output": {"class": "reduce", "mode": "sum", "axis": "stag:extern_data:data", "from": "x"},
    }
    net = {
        "pairs": {"class": "dot", "reduce": "F", "from": ["data", "data:other"]},
        "output": {"class": "rec", "from": "data:other", "unit": unit},
    }
    network = Network(net, extern_data=STREAMS)
    data, other = dense(LENGTHS, 3), dense([2, 3, 1], 3, seed=1)
    out = run(network, {"data": data, "other": other})["output"].canonical()
    for b, (n, m) in enumerate(zip(LENGTHS, other[1], strict=True)):
        needed = (other[0][b, :m] @ data[0][b, :n].T).sum(axis=1)
        np.testing.assert_allclose(out[b, :m], needed, rtol=1e-4)


def test_lengths_that_differ_are_found_in_the_run() -> None:
    import tensorflow as tf

    unit = {
        "x": {"class": "rec_unstack", "from": "base:data:other"},
        "output": {"class": "combine", "kind": "add", "from": ["x", "data:source"]},
    }
    network = Network(
        {"output": {"class": "rec", "from": "data", "unit": unit}}, extern_data=STREAMS
    )
    random_parameters(network)
    with pytest.raises(tf.errors.InvalidArgumentError, match=r"found lengths of .*, needed those"):
        run(network, {"data": dense([3, 2], 3), "other": dense([3, 1], 3)})


def test_a_loop_over_a_dim_that_a_layer_makes_though_no_step_needs_that_layer() -> None:
    steps = SpatialDim("steps")
    unit: dict[str, Any] = {
        "x": {"class": "eval", "eval": "source(0) * 2.0", "from": "prev:x"},
        "output": {"class": "rec_unstack", "axis": steps, "from": "base:range"},
    }
    unit["x"]["initial_output"] = "base:data"
    net = {
        "longest": {"class": "reduce", "mode": "max", "axis": "B", "from": "count"},
        "count": {"class": "length", "from": "data"},
        "range": {"class": "range_from_length", "from": "longest", "out_spatial_dim": steps},
        "loop": {"class": "rec", "from": [], "axis": steps, "unit": unit},
        "output": {"class": "rec_last_output", "rec_layer": "loop", "sub_layer_name": "x"},
    }
    values, lengths = dense(LENGTHS, 3)
    out = run(Network(net, extern_data=STREAMS), {"data": (values, lengths)})["output"]
    inside = (np.arange(4) < np.array(lengths)[:, None])[..., None]
    np.testing.assert_allclose(out.canonical(), 16 * values * inside, rtol=1e-6)


def test_a_loop_of_one_end_for_all_sequences() -> None:
    unit: dict[str, Any] = {
        "one": {"class": "constant", "value": 1},
        "i": {"class": "combine", "kind": "add", "from": ["prev:i", "one"], "initial_output": 0},
        "end": {"class": "compare", "kind": "greater_equal", "from": ["i", "base:longest"]},
        "output": {"class": "copy", "from": "i"},
    }
    net: dict[str, Any] = {
        "count": {"class": "length", "from": "data"},
        "longest": {"class": "reduce", "mode": "max", "axis": "B", "from": "count"},
        "loop": {"class": "rec", "from": [], "axis": SpatialDim("steps"), "unit": unit},
        "output": {"class": "rec_last_output", "rec_layer": "loop", "sub_layer_name": "i"},
    }
    net["loop"] |= {"max_seq_len": 2**31 - 1, "include_eos": True}
    network = Network(net, extern_data=STREAMS)
    assert run(network, {"data": dense(LENGTHS, 3)})["output"].values.tolist() == 4
    net["loop"]["max_seq_len_via"] = "data"
    with pytest.raises(NetworkError, match="found max_seq_len and max_seq_len_via, needed one"):
        Network(net, extern_data=STREAMS)
    del net["loop"]["max_seq_len"]
    with pytest.raises(NetworkError, match=r"found max_seq_len_via .*, needed whole numbers"):
        Network(net, extern_data=STREAMS)


@pytest.mark.parametrize(
    ("net", "text"),
    [
        ({"output": {"class": "rec_unstack", "from": "data"}}, "outside of the unit of a rec"),
        (
            {
                "output": {
                    "class": "rec",
                    "from": "data",
                    "unit": {"output": {"class": "rec_unstack", "from": "data:source"}},
                }
            },
            "found a source in the loop, needed one from outside",
        ),
        (
            {
                "output": {
                    "class": "rec_last_output",
                    "rec_layer": "data:data",
                    "sub_layer_name": "x",
                }
            },
            "found rec_layer 'data:data', needed a rec layer with a network",
        ),
    ],
)
def test_mistakes(net: dict[str, Any], text: str) -> None:
    with pytest.raises(NetworkError, match=text):
        Network(net, extern_data=STREAMS)
