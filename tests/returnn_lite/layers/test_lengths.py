"""Lengths, ranges, and masks of what is behind the end of a sequence."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from eager import run
from shapes import LENGTHS, batch, fails, network, rows, same, sequences

from returnn_lite.dim import BATCH, FeatureDim, SpatialDim
from returnn_lite.errors import NetworkError
from returnn_lite.network import Network

MASK = {"class": "seq_len_mask", "mask_value": -1.0, "from": "data"}


def test_length_is_that_of_each_sequence() -> None:
    length = {"class": "length", "from": "data"}
    out = run(network(length), batch())["output"]
    assert (out.values.tolist(), out.values.dtype) == (LENGTHS, np.int32)
    out = run(network({**length, "add_time_axis": True, "dtype": "int64"}), batch())["output"]
    assert (out.values.tolist(), out.values.dtype) == ([[n] for n in LENGTHS], np.int64)
    for axis, size in (("F", 4), ("B", 3)):
        assert run(network({**length, "axis": axis}), batch())["output"].values == size
    classes = {"class": "length", "axis": "sparse_dim", "from": "data:classes"}
    assert run(network(classes), batch())["output"].values == 5


def test_ranges() -> None:
    assert rows({"class": "range", "limit": 7, "start": 1, "delta": 3}) == [1, 4]
    assert rows({"class": "range", "limit": 1, "delta": 0.5}) == [0.0, 0.5]
    assert rows({"class": "range_in_axis", "axis": "F", "from": "data"}) == [0, 1, 2, 3]
    found = network({"class": "range_in_axis", "axis": "T", "from": "data", "sparse": True})
    out = found.template("output")
    assert out.dims == (found.template("data").time_dim,) and out.sparse_dim is out.dims[0]
    layer = {"class": "range_from_length", "from": "half"}
    out_ = run(network(layer), batch())["output"]
    assert out_.values.tolist() == [0, 1]
    (lengths,) = out_.lengths.values()
    assert lengths.tolist() == [n // 2 for n in LENGTHS]


def test_ranges_of_lengths_are_over_the_dim_that_has_them() -> None:
    layer = {"class": "range_from_length", "from": "count"}
    net = network(layer)
    assert net.template("output").dims == (net.template("data").time_dim,)
    sequences = {"class": "length", "axis": "B", "from": "data"}
    net = network(layer, count=sequences)
    assert net.template("output").dims == (BATCH,)
    assert run(net, batch())["output"].values.tolist() == [0, 1, 2]


def test_a_range_of_a_number() -> None:
    layer = {"class": "range_from_length", "from": "longest"}
    longest = {"class": "reduce", "mode": "max", "axis": "B", "from": "count"}
    out = run(network(layer, longest=longest), batch())["output"]
    assert out.values.tolist() == [0, 1, 2, 3]
    (lengths,) = out.lengths.values()
    assert lengths.tolist() == [4, 4, 4]


@pytest.mark.parametrize("source", ["data", "features"])
def test_a_dim_of_a_formula(source: str) -> None:
    time = SpatialDim("time")
    streams = {"data": {"dim_tags": [BATCH, time, FeatureDim("in", 4)]}}
    features = {"class": "reduce", "mode": "max", "axis": time, "from": "data"}
    net = {"features": features, "length": {"class": "length", "axis": 2 * time, "from": source}}
    net["output"] = {"class": "range_in_axis", "axis": time + 2, "from": source}
    network = Network(net, extern_data=streams, outputs=list(net))
    out = run(network, {"data": batch()["data"]}, list(net))
    assert out["length"].values.tolist() == [2 * n for n in LENGTHS]
    assert out["output"].values.tolist() == list(range(max(LENGTHS) + 2))
    net["output"]["axis"] = SpatialDim("other") + 2
    with pytest.raises(NetworkError, match=r"output \(range_in_axis\): found no axis 'other\+2'"):
        Network(net, extern_data=streams)


def test_frames_that_do_not_count() -> None:
    same(rows({**MASK, "start": "half"}), [_kept(x, len(x) // 2, len(x)) for x in sequences()])
    window = {**MASK, "window_start": "half", "window_size": 2}
    same(rows(window), [_kept(x, len(x) // 2, len(x) // 2 + 2) for x in sequences()])
    out = run(network(MASK), batch())["output"].values
    assert all((x[n:] == -1.0).all() for x, n in zip(out, LENGTHS, strict=True))


def _kept(x: Any, first: int, end: int) -> Any:
    place = np.arange(len(x))[:, None]
    return np.where((place >= first) & (place < end), x, -1.0)


@pytest.mark.parametrize(
    ("layer", "text"),
    [
        (
            {"class": "length", "from": "count"},
            r"output \(length\): found no axis 'T' in \[B\], int32; try one of all, batch",
        ),
        ({"class": "length", "axis": "sparse_dim", "from": "data"}, r"needed sparse data"),
        (
            {"class": "length", "dtype": "text", "from": "data"},
            r"found dtype 'text', needed one of",
        ),
        ({"class": "range", "limit": 0}, r"found start, limit and delta \(0, 0, 1\), needed one"),
        ({"class": "range_from_length", "from": "data"}, r"found source .*, needed lengths"),
        (
            {"class": "range_in_axis", "axis": "T", "keepdims": True, "from": "data"},
            r"found keepdims or unbroadcast, needed neither",
        ),
        ({**MASK, "axis": "F"}, r"found axis 'F' of .*, needed a dynamic one"),
        ({**MASK, "window_start": "half"}, r"found one of window_start and window_size"),
    ],
)
def test_mistakes(layer: dict[str, Any], text: str) -> None:
    fails(layer, text)
