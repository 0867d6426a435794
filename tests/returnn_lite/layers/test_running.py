"""Windows and running sums: over a dim, and over the steps of a loop."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from eager import Array, dense
from reference import check
from shapes import LENGTHS, fails, network

from returnn_lite import SpatialDim, single_step_dim
from returnn_lite.network import Network

WINDOW = {"class": "window", "from": "data"}


@pytest.mark.parametrize(
    ("options", "left"),
    [
        ({"window_size": 3}, 1),
        ({"window_size": 4}, 1),
        ({"window_size": 4, "window_left": 0}, 0),
        ({"window_size": 3, "window_right": 0}, 2),
        ({"window_size": 3, "window_right": 2, "stride": 3}, 0),
        ({"window_size": 2, "stride": 2}, 0),
    ],
)
def test_the_frames_around_each_frame(options: dict[str, int], left: int) -> None:
    size, stride = options["window_size"], options.get("stride", 1)

    def windows(x: Array) -> Array:
        longer = np.pad(x, [[left, size], [0, 0]])
        return np.stack([longer[t : t + size] for t in range(0, len(x), stride)])

    def formula(p: Any, data: Array) -> list[Array]:
        return [windows(x[:n]) for x, n in zip(data, LENGTHS, strict=True)]

    check(network({**WINDOW, **options}), {"data": dense(LENGTHS, 4)}, formula)


def test_a_window_may_have_the_size_of_a_dim() -> None:
    for given in ({"window_size": 3}, {}):
        window = SpatialDim("window", 3)
        layer = {**WINDOW, "window_dim": window, **given}
        assert network(layer).template("output").dims[2].size == 3
    for wrong in ({}, {"window_dim": SpatialDim("window")}):
        fails({**WINDOW, **wrong}, "found window_size None .*, needed one, or a window_dim")


@pytest.mark.parametrize("stride", [1, 2])
def test_dims_name_those_of_windows_and_in_a_window(stride: int) -> None:
    frames, chunks = SpatialDim("frames", 3), SpatialDim("chunks")
    window = {**WINDOW, "window_dim": frames, "out_spatial_dim": chunks, "window_left": 0}
    sums = {"class": "reduce", "mode": "sum", "axis": frames, "from": "window"}
    layer = {"class": "reduce", "mode": "max", "axis": chunks, "from": "sums"}
    net = network(layer, window={**window, "stride": stride}, sums=sums)

    def formula(p: Any, data: Array) -> list[Array]:
        padded = [np.pad(x[:n], [[0, 2], [0, 0]]) for x, n in zip(data, LENGTHS, strict=True)]
        return [
            np.max([x[i : i + 3].sum(axis=0) for i in range(0, len(x) - 2, stride)], axis=0)
            for x in padded
        ]

    check(net, {"data": dense(LENGTHS, 4)}, formula)


def test_windows_within_each_sequence() -> None:
    layer = {**WINDOW, "window_size": 2, "padding": "valid"}

    def formula(p: Any, data: Array) -> list[Array]:
        parts = [x[:n] for x, n in zip(data, LENGTHS, strict=True)]
        return [np.stack([x[:-1], x[1:]], axis=1) for x in parts]

    check(network(layer), {"data": dense(LENGTHS, 4)}, formula)


def test_frames_of_a_stride_fit_to_every_third_frame() -> None:
    window = {**WINDOW, "window_size": 3, "window_right": 0, "stride": 3}
    last = {"class": "gather", "axis": "stag:window", "position": 2, "from": "window"}
    third = {"class": "slice", "axis": "T", "slice_step": 3, "from": "data"}
    layer = {"class": "combine", "kind": "sub", "from": ["last", "third"]}

    def formula(p: Any, data: Array) -> list[Array]:
        return [0 * x[:n:3] for x, n in zip(data, LENGTHS, strict=True)]

    net = network(layer, window=window, last=last, third=third)
    check(net, {"data": dense(LENGTHS, 4)}, formula)


@pytest.mark.parametrize("reverse", [False, True])
def test_running_sums(reverse: bool) -> None:
    layer = {
        "class": "cumsum",
        "reverse": reverse,
        "additional_left_summand_per_element": 0.5,
        "from": "data",
    }

    def formula(p: Any, data: Array) -> list[Array]:
        order = slice(None, None, -1 if reverse else 1)
        parts = [x[:n] + 0.5 for x, n in zip(data, LENGTHS, strict=True)]
        return [np.cumsum(x[order], axis=0)[order] for x in parts]

    check(network(layer), {"data": dense(LENGTHS, 4)}, formula)


TIME = SpatialDim("time")


@pytest.mark.parametrize("axis", ["T", TIME, single_step_dim])
@pytest.mark.parametrize("moved", [True, False])
def test_in_a_loop_the_steps_are_the_frames(moved: bool, axis: Any) -> None:
    unit: dict[str, Any] = {
        "window": {"class": "window", "window_size": 2, "window_right": 0, "from": "data:source"},
        "both": {"class": "merge_dims", "axes": "static", "from": "window"},
        "sum": {"class": "cumsum", "initial_output": 2.0, "from": "data:source"},
        "output": {"class": "copy", "from": ["both", "sum"]},
    }
    unit["window"]["axis"] = unit["sum"]["axis"] = axis
    rec = {"class": "rec", "from": "data", "unit": unit, "optimize_move_layers_out": moved}

    def formula(p: Any, data: Array) -> list[Array]:
        parts = [x[:n] for x, n in zip(data, LENGTHS, strict=True)]
        before = [np.pad(x[:-1], [[1, 0], [0, 0]]) for x in parts]
        return [
            np.concatenate([y, x, 2 + np.cumsum(x, axis=0)], axis=1)
            for x, y in zip(parts, before, strict=True)
        ]

    streams = {"data": {"dim": 4, "same_dim_tags_as": {"t": TIME}}}
    net = Network({"output": rec}, extern_data=streams)
    check(net, {"data": dense(LENGTHS, 4)}, formula)


@pytest.mark.parametrize(
    ("layer", "text"),
    [
        (
            {**WINDOW, "window_size": 3, "window_left": 1, "window_right": 0},
            r"output \(window\): found window_size 3, window_left 1, window_right 0",
        ),
        ({**WINDOW, "window_size": 0}, r"found window_size 0"),
        (
            {**WINDOW, "window_size": 2, "padding": "valid", "window_left": 1},
            r"no sides for 'valid'",
        ),
        ({**WINDOW, "window_size": 2, "axis": "B"}, r"found axis B of .*, needed no batch"),
        ({"class": "cumsum", "axis": "B", "from": "data"}, r"found the batch of .* as axis"),
    ],
)
def test_mistakes(layer: dict[str, Any], text: str) -> None:
    fails(layer, text)


def test_a_window_over_steps_cannot_look_ahead() -> None:
    window = {"class": "window", "window_size": 2, "from": "data:source"}
    rec = {"class": "rec", "from": "data", "unit": {"output": window}}
    fails(rec, r"output/output \(window\): found a window over the steps of a loop")
