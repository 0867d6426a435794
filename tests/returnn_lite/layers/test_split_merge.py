"""split_dims and merge_dims: values, dynamic dims, and mistakes."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from eager import Array, dense
from reference import check
from shapes import LENGTHS, fails, network, rows, same, sequences


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
