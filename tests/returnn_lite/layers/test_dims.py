"""Layers that add, remove, reorder or rename dims."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from eager import dense, run, sparse
from shapes import LENGTHS, STREAMS, batch, fails, network, rows, same, sequences

from returnn_lite.dim import BATCH, SpatialDim
from returnn_lite.errors import NetworkError
from returnn_lite.network import Network

STREAM_NAMES = ["time:var:extern_data:data", "feature:extern_data:data"]


def test_squeeze_takes_the_dims_of_size_1_away() -> None:
    one = {"class": "expand_dims", "axis": "T", "from": "data"}
    two = {"class": "expand_dims", "axis": "T", "from": "one"}
    for axis in ("auto", ["s:-1", "s:1"], [2, 3]):
        layer = {"class": "squeeze", "axis": axis, "from": "two"}
        same(rows(layer, one=one, two=two), sequences())
    layer = {"class": "squeeze", "axis": "stag:expand", "allow_no_op": True, "from": "data"}
    same(rows(layer), sequences())
    fails({"class": "squeeze", "axis": "F", "from": "data"}, r"found \[F\|4\] for axis 'F' in .*")
    fails({"class": "squeeze", "axis": "auto", "from": "data"}, r"needed dims of size 1")


def test_squeeze_takes_a_time_of_one_frame_away() -> None:
    """As the labels of speakers have it, one for each sequence."""
    net = {"output": {"class": "squeeze", "axis": "T", "from": "data:speaker"}}
    net_of = Network(net, extern_data={"speaker": {"dim": 4, "sparse": True}})
    assert str(net_of.template("output")) == "[B], int32, dim 4"
    out = run(net_of, {"speaker": (np.array([[3], [1]], np.int32), [1, 1])})["output"]
    assert out.values.tolist() == [3, 1]
    text = r"output \(squeeze\): found more than one entry of .*speaker, needed one in each seq"
    with pytest.raises(Exception, match=text):
        net_of.run({"speaker": (np.array([[3, 0], [1, 2]], np.int32), [1, 2])})


def test_expanded_dims_repeat_the_input() -> None:
    layer = {"class": "expand_dims", "axis": "spatial", "dim": 3, "from": "data"}
    same(rows(layer), [np.repeat(x[:, None], 3, axis=1) for x in sequences()])
    one = {"class": "expand_dims", "axis": "F", "from": "sum"}
    total = {"class": "reduce", "mode": "sum", "axis": "F", "from": "data"}
    same(rows(one, sum=total), [x.sum(-1, keepdims=True) for x in sequences()])
    fails({**layer, "axis": "B"}, r"found axis 'B' for .*, needed 'F', 'T' or a position")
    fails({**layer, "dim": 0}, r"found dim 0, needed 1 or more")
    text = r"found dim 'time', whose size differs between sequences, needed a fixed size"
    fails({**layer, "dim": SpatialDim("time")}, text)


def test_swapped_and_transposed_axes() -> None:
    swap = {"class": "swap_axes", "axis1": "s:1", "axis2": "F", "from": "heads"}
    perm = {"class": "transpose", "perm": ["B", "T", "F", "s:1"], "from": "heads"}
    needed = [x.reshape(-1, 2, 2).transpose(0, 2, 1) for x in sequences()]
    for layer in (swap, perm):
        out = run(network(layer), batch())["output"].values
        same([x[:n] for x, n in zip(out, LENGTHS, strict=True)], needed)
    fails({**swap, "axis2": "static:0"}, r"found axes 's:1' and 'static:0', needed different ones")
    fails({**perm, "perm": ["B", "T"]}, r"found perm \['B', 'T'\] for .*, needed every dim once")


def test_features_are_what_set_axes_says() -> None:
    layer = {"class": "reinterpret_data", "set_axes": {"F": "s:1"}, "from": "heads"}
    out = network(layer).template("output")
    assert out.feature_dim is out.dims[2]
    again = {"class": "reinterpret_data", "switch_axes": "tf", "from": "output"}
    swapped = network({**layer, "set_axes": {"T": "s:1"}}, again=again)
    time, feature = swapped.template("again").time_dim, swapped.template("again").feature_dim
    assert (time, feature) == (swapped.template("heads").dims[3], swapped.template("heads").dims[2])


def test_sparse_and_dense_labels() -> None:
    flat = {"class": "reinterpret_data", "set_sparse": False, "from": "data:classes"}
    more = {"class": "reinterpret_data", "increase_sparse_dim": 2, "from": "data:classes"}
    layer = {"class": "reinterpret_data", "set_sparse": True, "set_sparse_dim": 9, "from": "flat"}
    net = network(layer, flat=flat, more=more)
    assert net.template("flat").sparse_dim is None
    assert net.template("output").sparse_dim.size == 9  # type: ignore[union-attr]
    assert net.template("more").sparse_dim.size == 7  # type: ignore[union-attr]


def test_the_first_dim_is_the_one_enforced() -> None:
    major = {"class": "reinterpret_data", "enforce_time_major": True, "from": "data"}
    back = {"class": "reinterpret_data", "enforce_batch_major": True, "from": "major"}
    net = network(back, major=major)
    assert net.template("major").dims[0] is net.template("major").time_dim
    same(rows(back, major=major), sequences())


def test_size_base_gives_the_lengths_back_after_chunks() -> None:
    chunks = {"class": "split_dims", "axis": "T", "dims": [-1, 3], "from": "data"}
    merged = {"class": "merge_dims", "axes": ["T", "s:1"], "from": "chunks"}
    layer = {"class": "reinterpret_data", "size_base": "data", "from": "merged"}
    same(rows(layer, chunks=chunks, merged=merged), sequences())


def test_reinterpret_data_says_another_meaning_of_the_same_values() -> None:
    net = {
        "fewer": {"class": "reinterpret_data", "set_sparse_dim": 3, "from": "data:positions"},
        "sized": {"class": "reinterpret_data", "size_base": "data:other", "from": "data"},
        "output": {"class": "combine", "kind": "add", "from": ["sized", "data:other"]},
    }
    found = Network(net, extern_data=STREAMS, outputs=["output", "fewer"])
    labels, x, y = sparse(LENGTHS, 3), dense(LENGTHS, 4), dense(LENGTHS, 4, seed=1)
    out = run(found, {"data": x, "other": y, "positions": labels})
    assert out["fewer"].sparse_dim.size == 3  # type: ignore[union-attr]
    np.testing.assert_array_equal(out["fewer"].canonical()[0], labels[0][0])
    np.testing.assert_allclose(out["output"].values[0], (x[0] + y[0])[0])


def test_lengths_that_are_too_short_are_told_in_one_line() -> None:
    net = {"output": {"class": "reinterpret_data", "size_base": "data:other", "from": "data"}}
    found = Network(net, extern_data=STREAMS)
    with pytest.raises(NetworkError) as error:
        found.run({"data": dense([2], 4), "other": dense([3], 4)})
    assert str(error.value) == (
        "output (reinterpret_data): found lengths of time:var:extern_data:data, "
        "needed at least those of time:var:extern_data:other"
    )


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"set_sparse_dim": 3}, r"output \(reinterpret_data\): found source .*, needed whole num"),
        (
            {"size_base": "count"},
            r"found size_base \[B\], int32 for .*, needed as many dyn",
        ),
        ({"set_axes": {"B": "T"}}, r"found 'B': 'T' in set_axes, needed 'T' or 'F'"),
        ({"set_axes": {"F": "s:3"}}, r"found no axis 's:3'"),
        ({"switch_axes": "t"}, r"found switch_axes 't', needed 'tf'"),
        ({"switch_axes": "bt"}, r"found switch_axes 'bt', needed 'tf'"),
        ({"set_sparse": True, "from": "half"}, r"found source .*, needed set_sparse_dim"),
        ({"increase_sparse_dim": 1, "from": "half"}, r"needed sparse data for increase_sparse_dim"),
        ({"enforce_time_major": True, "from": "half"}, r"needed a time dim for enforce_time_major"),
        ({"enforce_time_major": True, "enforce_batch_major": True}, r"found both of enforce_"),
    ],
)
def test_mistakes(options: dict[str, Any], text: str) -> None:
    fails({"class": "reinterpret_data", "from": "data", **options}, text)


def test_a_named_axis_is_another_one() -> None:
    named = {"class": "name_axis", "axis": "T", "description": "key-time", "from": "data"}
    layer = {"class": "dot", "reduce": "F", "from": ["data", "named"]}
    for x, y in zip(rows(layer, named=named), sequences(), strict=True):
        np.testing.assert_allclose(x[:, : len(y)], y @ y.T, rtol=1e-5)
    total = {"class": "reduce", "mode": "sum", "axis": "stag:key-time", "from": "named"}
    same(rows(total, named=named), [x.sum(0) for x in sequences()])
    fails({**named, "axis": "B"}, r"found axis 'B' of .*, needed one of a sequence, and a name")


def test_dims_by_the_objects_of_a_config() -> None:
    rows_, keys = SpatialDim("rows"), SpatialDim("keys", 2)
    layer = {"class": "reinterpret_data", "from": "heads"}
    layer["set_dim_tags"] = {"T": rows_, "static:0": keys}
    total = {"class": "reduce", "mode": "sum", "axes": [rows_, keys], "from": "named"}
    same(rows(total, named=layer), [x.reshape(-1, 2).sum(0) for x in sequences()])
    product = {"class": "dot", "reduce": [keys, "F"], "from": ["heads_", "named"]}
    heads = {"class": "reinterpret_data", "from": "heads", "set_dim_tags": {"static:0": keys}}
    for x, y in zip(rows(product, named=layer, heads_=heads), sequences(), strict=True):
        np.testing.assert_allclose(x[:, : len(y)], y @ y.T, rtol=1e-5)
    wrong = {**layer, "set_dim_tags": {"T": keys}}
    fails(wrong, "found 2 for .* in set_dim_tags, needed one of its size")


def test_the_batch_as_a_dim_of_its_own() -> None:
    sequences_ = SpatialDim("sequences")
    layer = {"class": "reinterpret_data", "set_dim_tags": {"B": sequences_}, "from": "data"}
    out = run(network(layer), batch())["output"]
    assert [d.name for d in out.dims] == [f"spatial:output:{sequences_.name}", *STREAM_NAMES]
    assert out.lengths[out.dims[0].name].tolist() == [len(LENGTHS)] * len(LENGTHS)
    back = {"class": "reinterpret_data", "set_dim_tags": {"T": BATCH}, "from": "named"}
    same(rows(back, named=layer)[:1], sequences()[:1])
    text = r"^output \(reinterpret_data\): found entries of time.*, needed as many as sequences$"
    once = {"class": "reduce", "mode": "max", "axis": "B", "from": "data"}
    with pytest.raises(NetworkError, match=text):
        network(back, named=once).run(batch())
