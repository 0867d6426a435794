"""split_dims and merge_dims: values, dynamic dims, and mistakes."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from eager import Array, dense
from reference import check
from shapes import LENGTHS, batch, fails, network, rows, same, sequences

from returnn_lite.dim import BATCH, FeatureDim, SpatialDim
from returnn_lite.errors import NetworkError

OTHER, THREE = SpatialDim("other"), FeatureDim("three", 3)


def test_split_features_are_rows() -> None:
    layer = {"class": "split_dims", "axis": "F", "dims": [2, -1], "from": "data"}

    def formula(p: Any, data: Array) -> list[Array]:
        return [x[:n].reshape(n, 2, 2) for x, n in zip(data, LENGTHS, strict=True)]

    check(network(layer), {"data": dense(LENGTHS, 4)}, formula)


def test_chunks_are_filled_up_behind_each_sequence() -> None:
    layer = {"class": "split_dims", "axis": "T", "dims": [-1, 3], "from": "data", "pad_value": 7}

    def chunks(x: Array) -> Array:
        return np.pad(x, [[0, -len(x) % 3], [0, 0]], constant_values=7).reshape(-1, 3, 4)

    same(rows(layer), [chunks(x) for x in sequences()])


def test_a_fixed_dim_is_filled_up_to_multiples() -> None:
    layer = {"class": "split_dims", "axis": "F", "dims": [-1, 3], "from": "data"}
    fails(layer, r"found dims \(-1, 3\) for F\|4 of .*, needed its size")
    needed = [np.pad(x, [[0, 0], [0, 2]]).reshape(-1, 2, 3) for x in sequences()]
    same(rows({**layer, "pad_to_multiples": True}), needed)


def test_a_merged_batch_is_split_into_what_was_merged() -> None:
    merged = {"class": "merge_dims", "axes": ["B", "s:1"], "from": "heads"}
    layer = {"class": "split_dims", "axis": "B", "dims": [BATCH, THREE], "from": "merged"}
    with pytest.raises(NetworkError, match=r"found dims \[B, F\|3\], needed \[B, F\|2\]"):
        network(layer, merged=merged)


def test_a_reshape_has_as_many_entries() -> None:
    longest = {"class": "reduce", "mode": "max", "axis": "B", "from": "count"}
    numbers = {"class": "range_from_length", "from": "longest"}
    layer = {"class": "reshape", "in_dims": ["T"], "out_dims": [BATCH, THREE], "from": "numbers"}
    net = network(layer, longest=longest, numbers=numbers)
    text = r"^output \(reshape\): found .*input_len for batch, three, needed as many entries$"
    with pytest.raises(NetworkError, match=text):
        net.run(batch())


def test_the_last_of_the_new_feature_dims_is_the_feature_dim() -> None:
    layer = {"class": "split_dims", "axis": "F", "dims": [-1, 1], "from": "data"}
    assert str(network(layer).template("output")) == "[B,T|'time:var:extern_data:data',4,F|1]"


def test_merged_features_are_what_was_split() -> None:
    same(rows({"class": "merge_dims", "axes": "except_time", "from": "heads"}), sequences())
    out = network({"class": "merge_dims", "axes": ["T", "s:1"], "from": "heads"}).template("output")
    assert str(out) == "[B,T|'time:var:extern_data:data*2',F|2]"


def test_merging_twice_gives_one_dim() -> None:
    merge = {"class": "merge_dims", "axes": ["T", "static:0"], "from": "heads"}
    layer = {"class": "combine", "kind": "add", "from": ["merged", "again"]}
    same(rows(layer, merged=merge, again=merge), [2 * x.reshape(-1, 2) for x in sequences()])


@pytest.mark.parametrize("axes", [["F", "T"], ["F", "T", "s:1"]])
def test_merged_dynamic_dims_have_no_padding_between(axes: list[str]) -> None:
    layer = {"class": "merge_dims", "axes": axes, "keep_order": True, "from": "heads"}
    order = [{"T": 0, "s:1": 1, "F": 2}[a] for a in axes]
    rest = [i for i in range(3) if i not in order]

    def formula(p: Any, data: Array) -> list[Array]:
        heads = [x[:n].reshape(n, 2, 2) for x, n in zip(data, LENGTHS, strict=True)]
        return [
            np.transpose(x, [*rest, *order]).reshape(*(x.shape[i] for i in rest), -1) for x in heads
        ]

    check(network(layer), {"data": dense(LENGTHS, 4)}, formula)


@pytest.mark.parametrize(
    ("layer", "text"),
    [
        (
            {"class": "split_dims", "axis": "F", "dims": [3, -1], "from": "data"},
            r"output \(split_dims\): found dims \(3, -1\) for F\|4 of .*, needed its size",
        ),
        (
            {"class": "split_dims", "axis": "F", "dims": [-1, -1], "from": "data"},
            r"found dims \(-1, -1\) for .*, needed sizes, one -1",
        ),
        (
            {"class": "split_dims", "axis": "T", "dims": [2, -1], "from": "data"},
            r"found dims \(2, -1\) for 'time.*', needed -1 first",
        ),
        (
            {"class": "split_dims", "axis": "static", "dims": [2, -1], "from": "heads"},
            r"found \[F\|2, F\|2\] for axis 'static' in .*, needed one axis",
        ),
        (
            {"class": "split_dims", "axis": "B", "dims": [2, -1], "from": "data"},
            r"found dims \(2, -1\) for B of .*, needed sizes, one -1",
        ),
        (
            {"class": "split_dims", "axis": "T", "dims": [BATCH, OTHER], "from": "data"},
            r"found 'other' for \[B,T.*, needed a Dim whose size is known",
        ),
        (
            {"class": "reshape", "in_dims": ["T"], "out_dims": [OTHER], "from": "data"},
            r"output \(reshape\): found 'other' for \[B,T.*, needed a Dim whose size is known",
        ),
        (
            {"class": "reshape", "in_dims": ["F"], "out_dims": [THREE, "T"], "from": "data"},
            r"found \[F\|3, .*\] for \[F\|4\] of \[B,T.*, needed other dims of as many entries",
        ),
        (
            {"class": "merge_dims", "axes": "btf", "from": "data"},
            r"output \(merge_dims\): found axes 'btf' in .*, needed the batch and one more",
        ),
        (
            {"class": "merge_dims", "axes": "static", "keep_order": True, "from": "data"},
            r"found axes 'static' with keep_order, needed a list",
        ),
        (
            {"class": "merge_dims", "axes": "static", "n_out": 5, "from": "heads"},
            r"found n_out 5, needed that of \[B,T.*,F\|4\]",
        ),
        (
            {"class": "merge_dims", "axes": "stag:enc", "from": "heads"},
            r"found no axis 'stag:enc' in .*; try one of all, ",
        ),
    ],
)
def test_mistakes(layer: dict[str, Any], text: str) -> None:
    fails(layer, text)
