"""The loop of a rec layer: how many steps it makes, and gradients through it."""

from __future__ import annotations

import re
from typing import Any

import numpy as np
import pytest
import tensorflow as tf
from eager import dense, gradients, random_parameters, run, sparse

from returnn_lite import batch_dim
from returnn_lite.dim import SpatialDim
from returnn_lite.errors import NetworkError
from returnn_lite.network import Network

Net = dict[str, Any]

LENGTHS = [4, 1, 3]
FAR = "max_len_from('base:encoder2') * 2"
STREAMS: Net = {
    "data": {"dim": 2},
    "classes": {"dim": 3, "sparse": True, "same_dim_tags_as": {"t": "data"}},
    "other": {"dim": 3, "sparse": True},
}


def counter(**more: Any) -> Net:
    """Return a loop without source, whose output counts its steps."""
    add = "source(0) + 0.0 * source(1) + 1.0"
    unit: Net = {
        "zero": {"class": "linear", "n_out": 1, "activation": None, "from": "base:last"},
        "output": {"class": "eval", "from": ["prev:output", "zero"], "eval": add},
    }
    return {
        "count": {"class": "length", "from": "data:data"},
        "last": {"class": "gather", "from": "data", "position": "count"},
        "output": {"class": "rec", "from": [], "unit": unit, **more},
    }


@pytest.mark.parametrize(
    ("search", "opts"),
    [
        (False, {"target": "other"}),
        (False, {"size_target": "other", "target": "classes"}),
        (True, {"size_target": "other"}),
    ],
)
def test_a_loop_is_as_long_as_a_stream(search: bool, opts: Net) -> None:
    network = Network(counter(**opts, n_out=1), extern_data=STREAMS, search=search)
    batch = {"data": dense(LENGTHS, 2), "other": sparse([2, 5, 3], 3)}
    out = run(network, batch)["output"].canonical()
    needed = [[1, 2, 0, 0, 0], [1, 2, 3, 4, 5], [1, 2, 3, 0, 0]]
    assert out[..., 0].tolist() == needed


def test_a_loop_over_a_dim_that_it_unstacks() -> None:
    """Without a source; the first of several targets is the loop's own."""
    time = SpatialDim("time")
    unit: Net = {
        "x": {"class": "rec_unstack", "from": "base:data"},
        "output": {"class": "combine", "kind": "add", "from": ["prev:output", "x"]},
    }
    net = {"class": "rec", "from": [], "axis": time, "unit": unit, "target": ["other", "classes"]}
    data = {"dim": 2, "same_dim_tags_as": {"t": time}}
    batch = {"data": dense(LENGTHS, 2), "other": sparse([2, 5, 3], 3)}
    out = run(Network({"output": net}, extern_data={**STREAMS, "data": data}), batch)["output"]
    values, lengths = batch["data"]
    needed = np.cumsum(values, axis=1) * (np.arange(4) < np.array(lengths)[:, None])[..., None]
    np.testing.assert_allclose(out.canonical(), needed, rtol=1e-6)


@pytest.mark.parametrize(("end", "needed"), [(2, [2, 1, 2]), (9, [4, 1, 3])])
def test_a_loop_with_an_end_stops_behind_the_frames_that_it_looks_at(
    end: int, needed: list[int]
) -> None:
    unit: Net = {
        "sum": {"class": "combine", "kind": "add", "from": ["prev:sum", "data:source"]},
        "end": {"class": "compare", "from": ":i", "value": end},
        "twice": {"class": "eval", "eval": "source(0) * 2", "from": "data:source"},
        "output": {"class": "copy", "from": ["sum", "twice"]},
    }
    net = {"output": {"class": "rec", "from": "data", "max_seq_len": 6, "unit": unit}}
    network = Network(net, extern_data=STREAMS, search=True)
    values, lengths = dense(LENGTHS, 2)
    out = run(network, {"data": (values, lengths)})["output"]
    assert list(out.lengths.values())[-1].tolist() == needed
    for y, x, n in zip(out.canonical(), values, needed, strict=True):
        both = np.concatenate([np.cumsum(x[:n], axis=0), 2 * x[:n]], axis=1)
        np.testing.assert_allclose(y[:n], both, rtol=1e-6)


@pytest.mark.parametrize("train", [False, True])
@pytest.mark.parametrize("limit", [{"max_seq_len": 2**31 - 1}, {"max_seq_len_via": "count"}])
def test_a_loop_with_a_dim_of_its_own_goes_on_until_its_end(limit: Net, train: bool) -> None:
    """What is counted has the dims of its initial_output."""
    steps = SpatialDim("steps")
    unit: Net = {
        "one": {"class": "constant", "value": 1},
        "i": {"class": "combine", "kind": "add", "from": ["prev:i", "one"]},
        "end": {"class": "compare", "kind": "greater_equal", "from": ["i", "base:two"]},
        "output": {"class": "copy", "from": "i"},
    }
    unit["i"]["initial_output"] = "base:zeros"
    zeros = {"class": "constant", "value": 0, "shape": [batch_dim], "dtype": "int32"}
    loop = {"class": "rec", "from": [], "axis": steps, "include_eos": True, "unit": unit, **limit}
    net: Net = {
        "count": {"class": "length", "from": "data"},
        "two": {"class": "eval", "eval": "source(0) // 2 + 1", "from": "count"},
        "zeros": zeros,
        "loop": {**loop, "out_shape": {batch_dim, steps}},
        "last": {"class": "rec_last_output", "rec_layer": "loop", "sub_layer_name": "i"},
        "output": {"class": "reduce", "mode": "sum", "axis": steps, "from": "loop"},
    }
    outputs = ["loop", "last", "output"]
    network = Network(net, extern_data=STREAMS, outputs=outputs, train=train)
    out = run(network, {"data": dense(LENGTHS, 2)}, outputs)
    assert out["loop"].canonical().tolist() == [[1, 2, 3], [1, 0, 0], [1, 2, 0]]
    assert [out[n].values.tolist() for n in ("last", "output")] == [[3, 1, 2], [6, 1, 3]]
    net["loop"]["axis"] = SpatialDim("other")
    with pytest.raises(NetworkError, match=r"loop \(rec\): out_shape: found no axis 'steps'"):
        Network(net, extern_data=STREAMS, outputs=outputs)


@pytest.mark.parametrize(
    ("end", "limit", "text"),
    [
        ({"class": "copy", "from": "output"}, "3", r"found layer 'end' .*, needed bool \[batch\]"),
        (
            {"class": "compare", "from": "zero", "value": 0.5},
            "3",
            r"found layer 'end' \[B,F\|1\], bool, needed bool \[batch\]; try compare",
        ),
        (
            {"class": "compare", "from": ":i", "value": 1},
            "max_len_from('base:last') * 2",
            r"found 'base:last' \[B,F\|2\] in max_seq_len .*, needed a time dim",
        ),
    ],
)
def test_what_ends_a_search_is_checked(end: Net, limit: str, text: str) -> None:
    net = counter(max_seq_len=limit)
    net["output"]["unit"]["end"] = end
    with pytest.raises(NetworkError, match=rf"^output \(rec\): {text}"):
        Network(net, extern_data=STREAMS, search=True)


def test_a_loop_with_an_end_is_not_as_long_as_its_source() -> None:
    net = counter(max_seq_len=6)
    net["output"]["from"] = "data"
    net["output"]["unit"]["end"] = {"class": "compare", "from": ":i", "value": 4}
    batch = {"data": dense(LENGTHS, 2), "other": sparse([2, 5, 3], 3)}
    network = Network(net, extern_data=STREAMS, search=True)
    assert run(network, batch)["output"].canonical()[:, :, 0].tolist() == [[1, 2, 3, 4]] * 3
    net["output"]["target"] = "other"
    out = run(Network(net, extern_data=STREAMS), batch)["output"].canonical()
    assert (out[..., 0] > 0).sum(axis=1).tolist() == [2, 5, 3]
    del net["output"]["target"]
    for search in (False, True):
        out = run(Network(net, extern_data=STREAMS, search=search), batch)["output"].canonical()
        assert (out[..., 0] > 0).sum(axis=1).tolist() == LENGTHS
        net["output"]["unit"].pop("end", None)


@pytest.mark.parametrize("nested", [False, True])
@pytest.mark.parametrize(
    ("limit", "needed"),
    [
        (3, [3, 3, 3]),
        ("2 * 2", [4, 4, 4]),
        ("max_len_from('data:data')", [4, 1, 3]),
        ("max_len_from('base:data:data') + 1", [5, 2, 4]),
        ("max_len_from('base:encoder') // 2", [2, 0, 1]),
        ("max_len_from('encoder') * 2 - max_len_from(\"base:data:data\")", [4, 1, 3]),
        ("tf.minimum(max_len_from('base:encoder'), 2)", [2, 1, 2]),
        ("tf.reduce_max(max_len_from('base:encoder'))", [4, 4, 4]),
    ],
)
def test_max_seq_len_in_all_forms(limit: str | int, needed: list[int], nested: bool) -> None:
    net: Net = counter(max_seq_len=limit)
    net["output"]["unit"]["end"] = {"class": "compare", "from": ":i", "value": 99}
    net["encoder"] = {"class": "copy", "from": "data"}
    if nested:
        inner = {"output": net["output"], "last": {"class": "copy", "from": "base:last"}}
        inner["output"]["from"] = []
        if "'encoder'" in str(limit):
            inner["encoder"] = {"class": "copy", "from": "base:encoder"}
        net["output"] = {"class": "subnetwork", "from": "data", "subnetwork": inner}
    network = Network(net, extern_data=STREAMS, search=True)
    out = run(network, {"data": dense(LENGTHS, 2)})["output"]
    assert out.time_dim is not None
    assert out.lengths[out.time_dim.name].tolist() == needed


@pytest.mark.parametrize(
    ("limit", "needed"),
    [
        ("base:encoder", [4, 1, 3]),
        ("encoder", [2, 1, 2]),
        ("base:inner", [2, 1, 2]),
        ("base:base:encoder", [4, 1, 3]),
        ("base:base:data", [4, 1, 3]),
    ],
)
def test_max_seq_len_first_means_the_network_around_a_subnetwork(
    limit: str, needed: list[int]
) -> None:
    net: Net = counter(max_seq_len=f"max_len_from('{limit}')")
    net["output"]["unit"]["end"] = {"class": "compare", "from": ":i", "value": 99}
    half = {"class": "pool", "mode": "max", "pool_size": [2], "padding": "same", "from": "data"}
    last = {"class": "copy", "from": "base:last"}
    inner = {"output": net["output"], "last": last, "encoder": half, "inner": half}
    net["encoder"] = {"class": "copy", "from": "data"}
    net["output"] = {"class": "subnetwork", "from": "data", "subnetwork": inner}
    out = run(Network(net, extern_data=STREAMS, search=True), {"data": dense(LENGTHS, 2)})["output"]
    assert out.time_dim is not None
    assert out.lengths[out.time_dim.name].tolist() == needed


@pytest.mark.parametrize(("limit", "which"), [({}, " by default"), ({"max_seq_len": FAR}, "")])
def test_what_bounds_an_open_loop_is_told(limit: Net, which: str) -> None:
    net = counter(**limit)
    net["output"]["unit"]["end"] = {"class": "compare", "from": ":i", "value": 3}
    text = (limit or {"max_seq_len": "max_len_from('base:encoder') * 3"})["max_seq_len"]
    needed = f"(max_seq_len, which ends the loop, is{which} {text!r}; try another one, or a target)"
    with pytest.raises(NetworkError, match=re.escape(needed)) as error:
        Network(net, extern_data=STREAMS, train=True)
    assert str(error.value).startswith("output (rec): no layer 'encoder")


@pytest.mark.parametrize("eos", [True, False])
@pytest.mark.parametrize("optimise", [True, False])
def test_a_loop_without_target_goes_on_until_its_end_in_training_too(
    optimise: bool, eos: bool
) -> None:
    found = []
    for opts in ({}, {"target": "other"}):
        net = counter(**opts, include_eos=eos, optimize_move_layers_out=optimise, max_seq_len=9)
        unit = net["output"]["unit"]
        at = "base:final" if eos else "base:count"
        unit["end"] = {"class": "compare", "kind": "greater_equal", "from": [":i", at]}
        unit["zero"]["activation"] = "tanh"
        unit["output"]["eval"] = "source(0) + 0.1 * source(1) * source(0) + 1.0"
        net["count"] = {"class": "length", "from": "data:other"}
        net["final"] = {"class": "eval", "from": "count", "eval": "source(0) - 1"}
        net["frames"] = {"class": "length", "from": "data:data"}
        net["last"]["position"] = "frames"
        net["loss"] = {"class": "linear", "n_out": 1, "from": "output", "loss": "as_is"}
        network = Network(net, extern_data=STREAMS, train=True)
        random_parameters(network, scale=0.1)
        batch = {"data": dense(LENGTHS, 2), "other": sparse([2, 5, 3], 3)}
        out = run(network, batch)["output"]
        assert out.time_dim is not None and out.lengths[out.time_dim.name].tolist() == [2, 5, 3]
        found.append({"": out.canonical()} | gradients(network, batch)[1])
    for name, value in found[0].items():
        np.testing.assert_allclose(value, found[1][name], rtol=1e-5, atol=1e-6, err_msg=name)
        assert np.abs(value).max() > 1e-3


def test_a_search_ends_without_an_end_layer_where_its_length_is_known() -> None:
    unit: Net = {
        "e": {"class": "linear", "activation": None, "n_out": 3, "from": "prev:output"},
        "p": {"class": "softmax", "from": "e", "n_out": 3},
        "output": {"class": "choice", "from": "p", "beam_size": 2, "target": "other"},
    }
    net: Net = {"output": {"class": "rec", "from": [], "unit": unit, "size_target": "other"}}
    network = Network(net, extern_data=STREAMS, search=True)
    random_parameters(network)
    out = run(network, {"data": dense(LENGTHS, 2), "other": sparse([2, 5, 3], 3)})["output"]
    assert out.lengths["time:var:extern_data:other"].tolist() == [2, 2, 5, 5, 3, 3]


def test_without_back_prop_there_is_no_gradient_through_the_loop() -> None:
    found = {}
    for back_prop in (True, False):
        unit: Net = {
            "x": {"class": "linear", "activation": None, "n_out": 2, "from": "data:source"},
            "h": {"class": "linear", "activation": "tanh", "n_out": 2, "from": ["x", "prev:h"]},
            "output": {"class": "linear", "activation": None, "n_out": 3, "from": "h"},
        }
        loop = {"class": "rec", "from": "data", "unit": unit, "back_prop": back_prop}
        probs = {"class": "activation", "activation": "softmax", "from": "loop"}
        loss = {"loss": "ce", "target": "classes"}
        network = Network({"loop": loop, "output": {**probs, **loss}}, extern_data=STREAMS)
        random_parameters(network)
        batch = {"data": dense(LENGTHS, 2), "classes": sparse(LENGTHS, 3)}
        found[back_prop] = gradients(network, batch)
    assert found[True][0] == found[False][0]
    for name, g in found[True][1].items():
        # What is after the loop has its gradient; the bias of x has one only through the loop.
        after = name.startswith("loop/rec/output/")
        np.testing.assert_array_equal(found[False][1][name], g if after else np.zeros_like(g))
        assert np.abs(g).max() > 0


@pytest.mark.parametrize(
    ("opts", "text"),
    [
        ({}, r"output \(rec\): found neither a source nor a choice with a target"),
        ({"size_target": "othr"}, r"output \(rec\): no data stream 'othr'; did you mean 'other'"),
        ({"size_target": "layer:count"}, r"output \(rec\): found target .*, needed a time dim"),
        ({"size_target": "other", "n_out": 2}, r"output \(rec\): found n_out 2, needed that of"),
        ({"axis": "T"}, r"output \(rec\): found axis 'T' without a source, .*; try a rec_unstack"),
        (
            {"axis": "B", "from": "data"},
            r"output \(rec\): found axis 'B' in .*, needed one of the sequences",
        ),
    ],
)
def test_mistakes(opts: Net, text: str) -> None:
    with pytest.raises(NetworkError, match=text):
        Network(counter(**opts), extern_data=STREAMS)


def test_a_loop_over_a_fixed_dim() -> None:
    add: Net = {"class": "combine", "kind": "add", "from": ["prev:output", "data:source"]}
    net: Net = {"output": {"class": "rec", "from": "data", "axis": "F", "unit": {"output": add}}}
    x, lengths = dense(LENGTHS, 2)
    out = run(Network(net, extern_data=STREAMS), {"data": (x, lengths)})["output"]
    assert [d.size for d in out.dims] == [2, None, None]
    for i, n in enumerate(lengths):
        needed = np.cumsum(x[i, :n], axis=1).T
        np.testing.assert_allclose(out.values[:, i, :n], needed, rtol=1e-6)


def test_a_fixed_dim_that_is_not_as_long_as_the_loop() -> None:
    net = counter(target="other")
    net["output"]["unit"] = {
        "x": {"class": "rec_unstack", "axis": "F", "from": "base:data"},
        "output": {"class": "combine", "kind": "add", "from": ["prev:output", "x"]},
    }
    batch = {"data": dense(LENGTHS, 2), "other": sparse([2, 1, 3], 3)}
    with pytest.raises(tf.errors.InvalidArgumentError, match="found lengths of feature:extern"):
        run(Network(net, extern_data=STREAMS), batch)


@pytest.mark.parametrize("source", ["data:labels", "twice"])
@pytest.mark.parametrize(("word", "factor"), [("data", 1), ("data:data", 1), ("data:source", 2)])
def test_data_in_a_loop_is_the_stream_and_not_the_source(
    source: str, word: str, factor: int
) -> None:
    """As in RETURNN: for a language model over `data:delayed`, the target `data` is no input."""
    unit = {"output": {"class": "copy", "from": word}}
    net = {
        "twice": {"class": "eval", "eval": "2 * source(0)", "from": "data"},
        "output": {"class": "rec", "from": source, "unit": unit, "cheating": "exclusive"},
    }
    same: Net = {"dim": 2, "same_dim_tags_as": {"t": "data"}}
    data = dense(LENGTHS, 2)
    batch = {"data": data, "labels": (2 * data[0], LENGTHS)}
    network = Network(net, extern_data={"data": {"dim": 2}, "labels": same})
    found = run(network, batch)["output"].canonical()
    valid = np.arange(max(LENGTHS)) < np.array(LENGTHS)[:, None]
    np.testing.assert_array_equal(found, factor * np.where(valid[..., None], data[0], 0))


def test_data_in_a_loop_is_the_source_where_no_stream_has_that_name() -> None:
    net = {"output": {"class": "rec", "from": "data:audio", "unit": {"output": {"class": "copy"}}}}
    network = Network(net, extern_data={"audio": {"dim": 2}})
    data = dense([2, 2], 2)
    found = run(network, {"audio": data})["output"].canonical()
    np.testing.assert_array_equal(found, data[0])


def test_what_has_a_dim_of_the_steps_is_no_output_of_them() -> None:
    unit: Net = {
        "one": {"class": "constant", "value": 1},
        "length": {"class": "combine", "kind": "add", "from": [":i", "one"]},
        "part": {"class": "slice_nd", "from": "base:data", "start": 0, "size": "length"},
        "sum": {"class": "reduce", "mode": "sum", "axis": "stag:slice", "from": "part"},
        "output": {"class": "combine", "kind": "add", "from": ["sum", "prev:output"]},
    }
    net: Net = {
        "loop": {"class": "rec", "from": "data", "unit": unit},
        "output": {"class": "copy", "from": "loop/sum"},
        "part": {"class": "copy", "from": "loop/part"},
    }
    data = {"data": dense(LENGTHS, 2)}
    network = Network(net, extern_data=STREAMS)
    found = run(network, data)["output"].canonical()
    for x, y, n in zip(data["data"][0], found, LENGTHS, strict=True):
        np.testing.assert_allclose(y[:n], np.cumsum(x[:n], axis=0), rtol=1e-5, atol=1e-6)
    text = r"loop/part \(slice_nd\): found .*, of other lengths in every step, needed no such dim "
    with pytest.raises(NetworkError, match=text + r"outside of loop \(rec\); try what is made of"):
        Network(net, extern_data=STREAMS, outputs=["part"]).run(data, ["part"])
