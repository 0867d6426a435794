"""slice, pad, prefix, postfix and shift: of each sequence its own end, and dims that fit again."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from eager import Array, dense
from reference import check
from shapes import LENGTHS, fails, network, rows, same, sequences

from returnn_lite.dim import Dim, product, total

PAD = {"class": "pad", "axes": "T", "from": "data"}
MODES = {"reflect": "reflect", "symmetric": "symmetric", "replication": "edge"}


@pytest.mark.parametrize(
    ("options", "part"),
    [
        ({"slice_end": -1}, slice(None, -1)),
        ({"slice_start": 2}, slice(2, None)),
        ({"slice_start": 1, "slice_step": 2}, slice(1, None, 2)),
        ({"slice_step": 3}, slice(None, None, 3)),
    ],
)
def test_slices_of_time_end_with_each_sequence(options: Any, part: slice) -> None:
    layer = {"class": "slice", "axis": "T", "from": "data", **options}
    same(rows(layer), [x[part] for x in sequences()])


def test_a_slice_of_fixed_size_is_zero_behind_the_end() -> None:
    layer = {"class": "slice", "axis": "T", "slice_end": 2, "from": "data"}
    needed = [np.pad(x[:2], [[0, 2 - len(x[:2])], [0, 0]]) for x in sequences()]
    same(rows(layer), needed)


def test_a_fixed_dim_runs_backwards() -> None:
    same(
        rows({"class": "slice", "axis": "F", "slice_step": -1, "from": "data"}),
        [x[:, ::-1] for x in sequences()],
    )


@pytest.mark.parametrize("value", [0.0, 2.5])
def test_padding_follows_the_end_of_each_sequence(value: float) -> None:
    layer = {**PAD, "padding": [1, 2], "value": value}

    def formula(p: Any, data: Array) -> list[Array]:
        parts = [x[:n] for x, n in zip(data, LENGTHS, strict=True)]
        return [np.pad(x, [[1, 2], [0, 0]], constant_values=value) for x in parts]

    check(network(layer), {"data": dense(LENGTHS, 4)}, formula)


@pytest.mark.parametrize("mode", MODES)
def test_padding_mirrors_each_sequence(mode: str) -> None:
    # A sequence of one frame has nothing to mirror, but its one frame.
    found = rows({**PAD, "padding": 1, "mode": mode})
    needed = [np.pad(x, [[1, 1], [0, 0]], mode=MODES[mode]) for x in sequences()]  # type: ignore[call-overload]
    same(found, needed)


@pytest.mark.parametrize("mode", ["constant", *MODES])
def test_padding_may_follow_the_longest_sequence(mode: str) -> None:
    layer = {**PAD, "padding": 1, "mode": mode, "handle_dynamic_dims": False}
    # The other sequences go on with their padding: of a batch, that is zeros.
    padded = [np.pad(x, [[0, max(LENGTHS) - len(x)], [0, 0]]) for x in sequences()]
    needed = [np.pad(x, [[1, 1], [0, 0]], mode=MODES.get(mode, mode)) for x in padded]  # type: ignore[call-overload]
    same(rows(layer), [x[: n + 2] for x, n in zip(needed, LENGTHS, strict=True)])


def test_the_type_of_what_is_padded() -> None:
    layer = {"class": "pad", "axes": "F", "padding": 1, "from": "data"}
    net = network({**layer, "out_type": {"dim": 6}})
    assert net.template("output").feature_size == 6


def test_padding_of_several_axes() -> None:
    layer = {**PAD, "axes": ["T", "F"], "padding": [[0, 1], [2, 0]]}
    same(rows(layer), [np.pad(x, [[0, 1], [2, 0]]) for x in sequences()])


def test_a_prefix_of_a_number_for_each_sequence() -> None:
    layer = {"class": "prefix_in_time", "prefix": 3.0, "repeat": "half", "from": "data"}

    def formula(p: Any, data: Array) -> list[Array]:
        parts = [x[:n] for x, n in zip(data, LENGTHS, strict=True)]
        return [np.pad(x, [[len(x) // 2, 0], [0, 0]], constant_values=3.0) for x in parts]

    check(network(layer), {"data": dense(LENGTHS, 4)}, formula)


def test_a_postfix_that_is_a_layer() -> None:
    mean = {"class": "reduce", "mode": "mean", "axis": "T", "from": "data"}
    layer = {"class": "postfix_in_time", "postfix": "mean", "repeat": 2, "from": "data"}
    needed = [np.concatenate([x, np.tile(x.mean(0), [2, 1])]) for x in sequences()]
    same(rows(layer, mean=mean), needed)


def test_what_is_cut_and_lengthened_again_has_its_dim_again() -> None:
    cut = {"class": "slice", "axis": "T", "slice_end": -1, "from": "data"}
    back = {"class": "postfix_in_time", "postfix": 0.0, "from": "cut"}
    layer = {"class": "combine", "kind": "add", "from": ["data", "back"]}
    found = rows(layer, cut=cut, back=back)
    same(found, [x + np.pad(x[:-1], [[0, 1], [0, 0]]) for x in sequences()])


def test_a_prefix_has_the_dim_of_its_size_base() -> None:
    cut = {"class": "slice", "axis": "T", "slice_end": -1, "from": "data"}
    layer = {"class": "prefix_in_time", "size_base": "data", "from": "cut"}
    net = network(layer, cut=cut)
    assert net.template("output").dims == net.template("data").dims
    same(rows(layer, cut=cut), [np.pad(x[:-1], [[1, 0], [0, 0]]) for x in sequences()])


@pytest.mark.parametrize(("amount", "pad"), [(-1, True), (-1, False), (1, False)])
def test_shift(amount: int, pad: bool) -> None:
    layer = {"class": "shift_axis", "axis": "T", "amount": amount, "pad": pad, "from": "data"}
    longest = max(LENGTHS) - (not pad)
    for x, found in zip(sequences(), rows(layer), strict=True):
        needed = x[1:] if amount < 0 else x[:longest]
        np.testing.assert_allclose(found, needed)


def test_derived_dims_are_the_same_for_the_same_operation() -> None:
    time, two = Dim("spatial", "time"), Dim("spatial", "two", 2)
    assert time.padded(-1, 0).padded(1, 2) is time.padded(0, 2)
    assert time.padded(2, -1).padded(-2, 1) is time
    assert time.strided(3) is time.strided(3) is not time.strided(2)
    assert product([time, two]) is product([time, two]) is not product([two, time])
    assert total([time, time]) is total([time, time])
    assert (two.padded(1, 1).size, two.strided(2).size, product([two, two]).size) == (4, 1, 4)
    assert [time.padded(1, 0).name, time.padded(0, -2).name] == ["1+time", "time-2"]


def test_a_class_behind_the_end() -> None:
    layer = {"class": "addonehot", "vocab_size": 4, "position": 2, "repeat": 2, "from": "data"}
    end = np.array([[0.0, 0.0, 1.0, 0.0]] * 2)
    same(rows(layer), [np.concatenate([x, end]) for x in sequences()])
    fails({**layer, "vocab_size": 5}, "found source .*, needed vocab_size 5 features")
    fails({**layer, "position": 4}, "found position 4 and repeat 2, needed one of 4 classes")


@pytest.mark.parametrize(
    ("layer", "text"),
    [
        (
            {"class": "slice", "axis": "T", "slice_start": -1, "from": "data"},
            r"output \(slice\): found slice -1:None:None of axis 'T' .*, needed a start within it",
        ),
        (
            {"class": "slice", "axis": "F", "slice_end": 5, "from": "data"},
            r"found slice None:5:None of axis 'F'",
        ),
        (
            {"class": "slice", "axis": "F", "slice_start": 2, "slice_end": 1, "from": "data"},
            r"found no entry in slice 2:1",
        ),
        (
            {**PAD, "padding": [1, 2, 3]},
            r"found padding \[1, 2, 3\] for .*, needed \(left",
        ),
        ({**PAD, "padding": -1}, r"found padding -1"),
        ({**PAD, "padding": 1.5}, r"option 'padding': found 1.5, needed a whole number or a list"),
        (
            {"class": "slice", "axis": "T", "slice_step": 0, "from": "data"},
            r"found slice None:None:0 of axis 'T' in .*, needed a start within it and a step",
        ),
        ({**PAD, "padding": 1, "mode": "same"}, r"unknown mode 'same'; there are: constant, "),
        (
            {"class": "prefix_in_time", "repeat": "data", "from": "data"},
            r"found repeat .*, needed whole numbers \[batch\]",
        ),
        (
            {"class": "postfix_in_time", "postfix": "data", "from": "data"},
            r"found postfix .*, needed float32 without dim",
        ),
        (
            {"class": "shift_axis", "axis": "T", "amount": 0, "from": "data"},
            r"found amount 0 for axis .*, needed another",
        ),
    ],
)
def test_mistakes(layer: dict[str, Any], text: str) -> None:
    fails(layer, text)
