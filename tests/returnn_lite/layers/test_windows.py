"""Pooling and convolution over time: against loops over every sequence's own windows."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from eager import Array, dense, random_parameters, run
from reference import check

from returnn_lite.errors import NetworkError
from returnn_lite.network import Network

LENGTHS = [7, 1, 4]
STREAMS = {"data": {"dim": 2}}


def windows(x: Array, size: int, stride: int, padding: str) -> list[tuple[int, int]]:
    """Return begin and end of every window over a sequence, which may lie beyond its ends."""
    if padding == "valid":
        return [(t, t + size) for t in range(0, len(x) - size + 1, stride)]
    before = max((-(-len(x) // stride) - 1) * stride + size - len(x), 0) // 2
    return [(t - before, t - before + size) for t in range(0, len(x), stride)]


def cut(x: Array, begin: int, end: int) -> Array:
    return x[max(begin, 0) : max(end, 0)]


@pytest.mark.parametrize("padding", ["same", "valid"])
@pytest.mark.parametrize(("size", "stride"), [(2, None), (3, None), (3, 1), (2, 3), (1, 1)])
@pytest.mark.parametrize("mode", ["max", "avg"])
def test_pool(mode: str, size: int, stride: int | None, padding: str) -> None:
    layer = {"class": "pool", "mode": mode, "pool_size": [size], "padding": padding, "from": "data"}
    if stride is not None:
        layer["strides"] = stride
    network = Network({"output": layer}, extern_data=STREAMS)
    reduce = np.max if mode == "max" else np.mean

    def formula(p: Any, data: Array) -> list[Array]:
        found = []
        for x, n in zip(data, LENGTHS, strict=True):
            places = windows(x[:n], size, stride or size, padding)
            found.append(np.array([reduce(cut(x[:n], *w), axis=0) for w in places]).reshape(-1, 2))
        return found

    check(network, {"data": dense(LENGTHS, 2)}, formula)


@pytest.mark.parametrize("padding", ["same", "valid"])
@pytest.mark.parametrize(("size", "stride"), [(3, 1), (2, 1), (5, 3), (2, 3), (1, 2)])
def test_conv(size: int, stride: int, padding: str) -> None:
    layer = {
        "class": "conv",
        "with_bias": True,
        "in_spatial_dims": "T",
        "filter_size": [size],
        "strides": [stride],
        "padding": padding,
        "n_out": 2,
        "activation": "tanh",
        "from": "data",
    }
    network = Network({"output": layer}, extern_data=STREAMS)
    assert network.param_shapes() == {"output/W": (size, 2, 2), "output/bias": (2,)}

    def formula(p: Any, data: Array) -> list[Array]:
        found = []
        for x, n in zip(data, LENGTHS, strict=True):
            padded = np.concatenate([np.zeros((9, 2)), x[:n], np.zeros((9, 2))])
            y = [
                np.tensordot(padded[b + 9 : e + 9], p["output/W"]) + p["output/bias"]
                for b, e in windows(x[:n], size, stride, padding)
            ]
            found.append(np.tanh(np.array(y).reshape(-1, 2)))
        return found

    check(network, {"data": dense(LENGTHS, 2)}, formula)


@pytest.mark.parametrize("padding", ["same", "same_static", "valid", 1, 2])
@pytest.mark.parametrize(
    "layer",
    [
        {"class": "pool", "mode": "max", "pool_size": [2]},
        {"class": "pool", "mode": "avg", "pool_size": [2]},
        {"class": "pool", "mode": "avg", "pool_size": [3], "strides": 1},
        {"class": "pool", "mode": "avg", "pool_size": [2], "strides": 1, "dilation_rate": 2},
        {"class": "conv", "filter_size": [3], "n_out": 2},
        {"class": "conv", "filter_size": [4], "strides": 3, "n_out": 2},
    ],
    ids=lambda layer: "-".join(str(v) for v in layer.values()),
)
def test_alone_as_in_a_batch(layer: dict[str, Any], padding: Any) -> None:
    network = Network(
        {"output": {**layer, "padding": padding, "from": "data"}}, extern_data=STREAMS
    )
    random_parameters(network)
    values, lengths = dense(LENGTHS, 2)
    together = run(network, {"data": (values, lengths)})["output"]
    ends = next(iter(together.lengths.values()))
    for i, n in enumerate(lengths):
        alone = run(network, {"data": (values[i : i + 1, :n], [n])})["output"]
        found = alone.canonical()[0, : ends[i]]
        np.testing.assert_allclose(found, together.canonical()[i, : ends[i]], atol=1e-6)


def test_lengths_are_known_without_computing_and_zero_behind_them() -> None:
    net = {
        "conv": {"class": "conv", "filter_size": [3], "padding": "same", "n_out": 2},
        "output": {"class": "pool", "mode": "max", "pool_size": [2], "padding": "same"},
    }
    net["conv"]["from"], net["output"]["from"] = "data", "conv"
    network = Network(net, extern_data=STREAMS)
    needed = [-(-n // 2) for n in LENGTHS]
    found = network.output_lengths("output", {"data": np.array(LENGTHS)})
    np.testing.assert_array_equal(found, needed)
    out = run(network, {"data": dense(LENGTHS, 2)})["output"]
    assert next(iter(out.lengths.values())).tolist() == needed
    np.testing.assert_array_equal(out.values, out.canonical())


def pool(**more: Any) -> dict[str, Any]:
    return {"output": {"class": "pool", "mode": "max", "pool_size": [2], "from": "data", **more}}


@pytest.mark.parametrize(
    ("net", "text"),
    [
        (pool(mode="min"), r"output \(pool\): option 'mode': found 'min', needed 'max' or 'avg'"),
        (pool(padding=-1), r"found padding -1, needed 0 or more for each of \(2,\)"),
        (pool(padding=[]), r"found padding .*, needed 0 or more for each of \(2,\)"),
        (
            pool(in_spatial_dims="F"),
            r"found in_spatial_dims 'F' in .*, needed neither batch nor features",
        ),
        (pool(padding="full"), r"unknown padding 'full'; there are: same, same_static, valid"),
        (pool(pool_size=2), r"option 'pool_size': found 2, needed a list, each a whole number"),
        (pool(strides=0), r"found windows of \(2,\) every \(0,\), needed 1 or more"),
        (pool(pool_size=[2, 2]), r"found 1 spatial dims in .*, needed 2; try in_spatial_dims"),
    ],
)
def test_wrong_options(net: dict[str, Any], text: str) -> None:
    with pytest.raises(NetworkError, match=text):
        Network(net, extern_data=STREAMS)


def test_a_spatial_dim_may_be_named_without_a_list() -> None:
    found = [
        Network(pool(in_spatial_dims=dims), extern_data={"data": {"dim": 2}}).template("output")
        for dims in ("T", ["T"], None)
    ]
    assert str(found[0]) == str(found[1]) == str(found[2])


def test_a_batch_without_any_window() -> None:
    steps = {"output": {"class": "linear", "n_out": 2, "from": ["data:source", "prev:output"]}}
    net = {
        "conv": {"class": "conv", "filter_size": [3], "padding": "valid", "n_out": 2},
        "output": {"class": "rec", "unit": steps, "from": "conv"},
    }
    net["conv"]["from"] = "data"
    out = run(Network(net, extern_data=STREAMS), {"data": dense([2, 1], 2)})["output"]
    assert next(iter(out.lengths.values())).tolist() == [0, 0]
    assert not out.canonical().any()


def test_windows_in_a_loop_can_be_compiled() -> None:
    """Over a sequence that differs from step to step."""
    unit = {
        "all": {"class": "combine", "kind": "add", "from": ["base:data", "prev:output"]},
        "pool": {"class": "pool", "mode": "max", "pool_size": [2], "padding": "same"},
        "mean": {"class": "reduce", "mode": "mean", "axis": "T", "from": "pool"},
        "output": {"class": "combine", "kind": "add", "from": ["data:source", "mean"]},
    }
    unit["pool"]["from"] = "all"
    net = {"output": {"class": "rec", "from": "data", "unit": unit}}
    network = Network(net, extern_data=STREAMS)
    batch = {"data": dense(LENGTHS, 2)}
    compiled = network.run(batch)["output"].canonical()
    np.testing.assert_allclose(compiled, run(network, batch)["output"].canonical(), atol=1e-6)
