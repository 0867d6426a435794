"""Sequences joined, taken apart and repeated, each without padding in between."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from eager import Array, dense, run, sparse
from reference import check
from shapes import LENGTHS, fails, network, rows, same, sequences

from returnn_lite.dim import SpatialDim
from returnn_lite.errors import NetworkError
from returnn_lite.network import Network

REPEAT = {"class": "repeat", "axis": "T", "from": "data"}


def test_sequences_one_after_the_other() -> None:
    layer = {"class": "concat", "from": [["data", "T"], ["other", "T"]]}
    same_feature = {"class": "linear", "activation": None, "n_out": 4, "from": "data:other"}
    net = network(layer, other=same_feature)
    more, counts = dense([3, 2, 1], 4, seed=1)

    def formula(p: Any, data: Array) -> list[Array]:
        own = [y[:n] @ p["other/W"] + p["other/b"] for y, n in zip(more, counts, strict=True)]
        parts = [x[:n] for x, n in zip(data, LENGTHS, strict=True)]
        return [np.concatenate(z) for z in zip(parts, own, strict=True)]

    check(net, {"data": dense(LENGTHS, 4), "other": (more, counts)}, formula)


def test_a_source_that_lacks_dims_is_repeated_where_that_is_allowed() -> None:
    mean = {"class": "reduce", "mode": "mean", "axis": "T", "from": "data"}
    layer = {"class": "concat", "from": [["data", "F"], ["mean", "F"]], "allow_broadcast": True}
    needed = [np.concatenate([x, np.tile(x.mean(0), [len(x), 1])], axis=1) for x in sequences()]
    same(rows(layer, mean=mean), needed)
    fails({**layer, "from": [["data", "F"], ["count", 0]]}, r"found sources .*, needed one dtype")
    fails({**layer, "from": ["data"]}, r"found \['data'\] in 'from', needed \[\(layer, axis\)")


def test_parts_of_the_features() -> None:
    split = {"class": "split", "size_splits": [1, 3], "from": "data"}
    same(rows({"class": "copy", "from": "split/1"}, split=split), [x[:, 1:] for x in sequences()])
    split = {"class": "split", "axis": "static:0", "num_splits": 2, "from": "heads"}
    needed = [x.reshape(-1, 2, 2)[:, :1] for x in sequences()]
    same(rows({"class": "copy", "from": "split/0"}, split=split), needed)
    fails({**split, "num_splits": 3}, r"found parts \[0, 0, 0\] of axis 'static:0' in .*, needed")
    fails(
        {"class": "split", "from": "data"}, "found num_splits None and size_splits None, needed one"
    )
    fails({**split, "size_splits": [1, 1]}, r"found num_splits 2 and size_splits \[1, 1\], needed")
    fails({**split, "num_splits": 0}, "found num_splits 0 and .*, needed one of them, or out_dims")


def test_entries_several_times() -> None:
    same(rows({**REPEAT, "repetitions": 2}), [np.repeat(x, 2, axis=0) for x in sequences()])
    fails({**REPEAT, "repetitions": 0}, r"found repetitions 0 of .*, needed 1 on")
    fails({**REPEAT, "repetitions": "data"}, r"found repetitions .*, needed whole numbers of it")


def test_each_entry_as_often_as_a_layer_says() -> None:
    flat = {"class": "reinterpret_data", "set_sparse": False, "from": "data:classes"}
    net = network({**REPEAT, "repetitions": "flat"}, flat=flat)
    labels, _ = sparse(LENGTHS, 3)

    def formula(p: Any, data: Array) -> list[Array]:
        rows_ = zip(data, labels, LENGTHS, strict=True)
        return [np.repeat(x[:n], c[:n], axis=0) for x, c, n in rows_]

    check(net, {"data": dense(LENGTHS, 4), "classes": (labels, LENGTHS)}, formula)
    assert run(net, {"data": dense([2], 4), "classes": (0 * labels[:1, :2], [2])})


@pytest.mark.parametrize("axis", ["B", "x"])
def test_no_such_axis(axis: str) -> None:
    fails({**REPEAT, "repetitions": 2, "axis": axis}, r"output \(repeat\): found ")


def test_the_dims_of_parts_have_names() -> None:
    parts = [SpatialDim("first", 1), SpatialDim("second", 3)]
    split = {"class": "split", "out_dims": parts, "from": "data"}
    part = {"class": "reduce", "mode": "sum", "axis": parts[1], "from": "split/1"}
    same(rows(part, split=split), [x[:, 1:].sum(1) for x in sequences()])
    fails({**split, "num_splits": 2}, r"found out_dims .* for parts \[2, 2\], needed their dims")


def test_fixed_dims_several_times() -> None:
    layer = {"class": "tile", "multiples": {"F": 2, "static:0": 3}, "from": "heads"}
    same(rows(layer), [np.tile(x.reshape(-1, 2, 2), [1, 3, 2]) for x in sequences()])
    fails(
        {**layer, "multiples": {"T": 2}}, r"found multiples {'T': 2} of .*, needed 1 on, of fixed"
    )


def test_stack_puts_sources_side_by_side() -> None:
    net = {
        "mean": {"class": "reduce", "mode": "mean", "axis": "T", "from": "data"},
        "x": {"class": "stack", "from": ["data", "mean", "data"], "is_output_layer": True},
        "y": {"class": "stack", "axis": 1, "from": ["mean", "mean"], "is_output_layer": True},
        "output": {"class": "reduce", "mode": "sum", "axis": "stag:x:stack", "from": "x"},
    }
    network = Network(net, extern_data={"data": {"dim": 3}})
    x, lengths = batch = dense([4, 2], 3)
    out = run(network, {"data": batch})
    mean = np.stack([row[:n].mean(axis=0) for row, n in zip(x, lengths, strict=True)])
    stacked, pair = out["x"].canonical(), out["y"].canonical()
    assert stacked.shape == (2, 4, 3, 3)  # batch, time, sources, features
    assert pair.shape == (2, 2, 3)
    for i, n in enumerate(lengths):
        needed = np.stack([x[i, :n], np.broadcast_to(mean[i], (n, 3)), x[i, :n]], axis=1)
        np.testing.assert_allclose(stacked[i, :n], needed, rtol=1e-5)
        np.testing.assert_allclose(pair[i], np.stack([mean[i]] * 2), rtol=1e-5)
        np.testing.assert_allclose(out["output"].values[i, :n], needed.sum(axis=1), rtol=1e-5)


@pytest.mark.parametrize(
    ("opts", "text"),
    [
        (
            {"from": []},
            r"output \(stack\): found sources \[\], needed one or more of the same dtype",
        ),
        ({"from": "data", "axis": 4}, r"found axis 4 for .*, needed one of its places"),
    ],
)
def test_wrong_stack(opts: dict[str, Any], text: str) -> None:
    with pytest.raises(NetworkError, match=text):
        Network({"output": {"class": "stack", **opts}}, extern_data={"data": {"dim": 3}})


def test_entries_that_are_repeated_as_often_may_have_one_dim() -> None:
    frames = SpatialDim("frames")
    often = {"class": "eval", "eval": "source(0) % 3 + 1", "from": "data:classes"}
    often["out_type"] = {"sparse": False, "dim": None}
    again = {"class": "repeat", "out_dim": frames, "from": "data", "repetitions": "often"}
    double = {"class": "eval", "eval": "2.0 * source(0)", "from": "data"}
    net = {"often": often, "double": double, "a": again, "b": {**again, "from": "double"}}
    net["output"] = {"class": "combine", "kind": "add", "from": ["a", "b"]}
    streams = {"data": {"dim": 4}, "classes": {"dim": 5, "sparse": True}}
    streams["classes"]["same_dim_tags_as"] = {"t": "data"}
    batch = {"data": dense(LENGTHS, 4), "classes": sparse(LENGTHS, 5)}
    found = run(Network(net, extern_data=streams), batch)["output"].canonical()
    labels = batch["classes"][0]
    for i, (x, n) in enumerate(zip(sequences(), LENGTHS, strict=True)):
        needed = 3.0 * np.repeat(x, labels[i, :n] % 3 + 1, axis=0)
        np.testing.assert_allclose(found[i, : len(needed)], needed, rtol=1e-6)
    net["once"] = {**often, "eval": "source(0) % 2 + 3"}
    net["b"] = {**net["b"], "repetitions": "once"}
    text = (
        r"\(repeat\): found other numbers of frames than .*, needed the same; try a Dim of its own"
    )
    with pytest.raises(NetworkError, match=text):
        Network(net, extern_data=streams).run(batch)
