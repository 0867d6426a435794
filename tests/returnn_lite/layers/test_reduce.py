"""Layers that reduce dims, against numpy on each sequence alone."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from eager import Array, dense, run
from reference import check
from shapes import LENGTHS, STREAMS, batch, fails, network, rows, same, sequences

from returnn_lite.network import Network

REDUCE = {"class": "reduce", "from": "data"}
MODES: dict[str, Callable[..., Array]] = {
    "sum": np.sum,
    "mean": np.mean,
    "avg": np.mean,
    "max": np.max,
    "min": np.min,
    "logsumexp": lambda x, axis: np.log(np.sum(np.exp(x), axis=axis)),
}


@pytest.mark.parametrize("mode", MODES)
def test_padding_does_not_count(mode: str) -> None:
    layer = {**REDUCE, "mode": mode, "axis": "T"}

    def formula(p: Any, data: Array) -> list[Array]:
        return [MODES[mode](x[:n], axis=0) for x, n in zip(data, LENGTHS, strict=True)]

    check(network(layer), {"data": dense(LENGTHS, 4)}, formula)


@pytest.mark.parametrize("mode", ["sum", "mean", "max", "logsumexp"])
@pytest.mark.parametrize("axes", [["T", "F"], "except_batch", [1, 2]])
def test_several_axes(mode: str, axes: Any) -> None:
    layer = {**REDUCE, "mode": mode, "axes": axes}
    same(rows(layer), [MODES[mode](x, axis=(0, 1)) for x in sequences()])


def test_over_the_batch_every_valid_frame_counts_once() -> None:
    frames = np.concatenate(sequences())
    for axes, needed in (("bt", frames.mean(0)), (["B", "T", "F"], frames.mean())):
        out = run(network({**REDUCE, "mode": "mean", "axes": axes}), batch())["output"]
        np.testing.assert_allclose(out.values, needed, rtol=1e-5)


def test_places_of_the_greatest_and_least() -> None:
    found = rows({**REDUCE, "mode": "argmax", "axis": "T"})
    same(found, [np.argmax(x, axis=0) for x in sequences()])
    same(
        rows({**REDUCE, "mode": "argmin", "axis": "F"}), [np.argmin(x, axis=1) for x in sequences()]
    )
    net = network({**REDUCE, "mode": "argmax", "axis": "F"})
    out = net.template("output")
    assert (out.dtype, out.sparse_dim) == ("int32", net.template("data").feature_dim)


def test_kept_dims_broadcast() -> None:
    for axis, at in (("T", 0), ("F", 1)):
        kept = {**REDUCE, "mode": "mean", "axes": axis, "keep_dims": True}
        layer = {"class": "combine", "kind": "sub", "from": ["data", "kept"]}
        same(rows(layer, kept=kept), [x - x.mean(at, keepdims=True) for x in sequences()])


def test_any_and_all_of_a_sequence() -> None:
    positive = {"class": "compare", "kind": "greater", "value": 0.0, "from": "data"}
    for mode in ("any", "all"):
        layer = {"class": "reduce", "mode": mode, "axis": "T", "from": "positive"}
        needed = [getattr(np, mode)(x > 0, axis=0) for x in sequences()]
        same(rows(layer, positive=positive), needed)


def test_without_the_mask_padding_counts() -> None:
    layer = {**REDUCE, "mode": "sum", "axis": "T", "use_time_mask": False}
    shift = {"class": "eval", "eval": "source(0) + 1", "from": "data"}
    found = rows({**layer, "from": "shift"}, shift=shift)
    np.testing.assert_allclose(found[1], sequences()[1].sum(0) + 4, rtol=1e-5)


@pytest.mark.parametrize(("mode", "pieces"), [("max", 2), ("mean", 4), ("sum", 1), ("sum", 2)])
def test_reduce_out_takes_neighbours_together(mode: str, pieces: int) -> None:
    layer = {"class": "reduce_out", "mode": mode, "num_pieces": pieces, "from": "data"}

    def formula(p: Any, data: Array) -> list[Array]:
        parts = data.reshape(*data.shape[:2], 4 // pieces, pieces)
        y = getattr(np, mode)(parts, axis=-1)
        return [x[:n] for x, n in zip(y, LENGTHS, strict=True)]

    check(Network({"output": layer}, extern_data=STREAMS), {"data": dense(LENGTHS, 4)}, formula)


def test_the_greatest_entries_and_their_places() -> None:
    top = {"class": "top_k", "axis": "F", "k": 2, "from": "data"}
    order = [np.argsort(-x, axis=1)[:, :2] for x in sequences()]
    same(rows(top), [np.take_along_axis(x, i, 1) for x, i in zip(sequences(), order, strict=True)])
    same(rows({"class": "copy", "from": "top/indices"}, top=top), order)


def test_the_greatest_entries_of_several_dims_at_once() -> None:
    top = {"class": "top_k", "axis": ["T", "F"], "k": 3, "from": "data"}
    order = [np.argsort(-x.ravel())[:3] for x in sequences()]
    same(rows(top), [x.ravel()[i] for x, i in zip(sequences(), order, strict=True)])
    for part, needed in (("0", [i // 4 for i in order]), ("1", [i % 4 for i in order])):
        same(rows({"class": "copy", "from": f"top/indices{part}"}, top=top), needed)


@pytest.mark.parametrize(
    ("layer", "text"),
    [
        ({**REDUCE, "mode": "medium", "axis": "T"}, r"unknown mode 'medium'; there are: all, any"),
        ({**REDUCE, "mode": "sum"}, r"found both or none of axes and axis, needed one"),
        ({**REDUCE, "mode": "any", "axis": "T"}, r"found source .*, needed bool for mode 'any'"),
        (
            {**REDUCE, "mode": "sum", "axis": "T", "from": "data:classes"},
            r"output \(reduce\): found source .*, needed dense numbers for mode 'sum'",
        ),
        ({**REDUCE, "mode": "argmax", "axes": ["T", "F"]}, r"for mode 'argmax', needed one axis"),
        (
            {**REDUCE, "mode": "sum", "axes": "B", "keep_dims": True},
            r"needed an axis, with keep_dims not the batch",
        ),
        ({**REDUCE, "mode": "sum", "axis": "T", "n_out": 3}, r"found n_out 3, needed that of"),
        (
            {"class": "reduce_out", "mode": "max", "num_pieces": 3, "from": "data"},
            r"output \(reduce_out\): found \[B,T\|.*,F\|4\], needed a feature dim that 3 divides",
        ),
        (
            {"class": "reduce_out", "mode": "max", "num_pieces": 0, "from": "data"},
            r"needed a feature dim that 0 divides",
        ),
        (
            {"class": "reduce_out", "mode": "mix", "num_pieces": 2, "from": "data"},
            r"output \(reduce_out\): unknown mode 'mix'; did you mean 'max'\?",
        ),
        ({"class": "top_k", "axis": "F", "k": 5, "from": "data"}, r"found k 5 for"),
        (
            {"class": "top_k", "axis": "F", "k": "data", "from": "data"},
            r"found k .*one whole number",
        ),
        ({"class": "top_k", "axis": ["F", "T"], "k": 2, "from": "data"}, r"behind the first fixed"),
    ],
)
def test_mistakes(layer: dict[str, Any], text: str) -> None:
    fails(layer, text)
