"""Convolutions over one and two dims, and their transpose: against loops over every window."""

from __future__ import annotations

import itertools
from contextlib import nullcontext
from typing import Any

import numpy as np
import pytest
from eager import Array, dense, random_parameters, run
from reference import check

from cupy_kernels.backend import host
from returnn_lite import native
from returnn_lite.errors import NetworkError
from returnn_lite.native import conv, launch
from returnn_lite.network import Network

LENGTHS = [7, 1, 4]
STREAMS = {"data": {"dim": 6}}


def convolved(
    x: Array,
    weights: Array,
    *,
    strides: tuple[int, ...],
    before: tuple[int, ...],
    windows: tuple[int, ...],
    rate: int = 1,
) -> Array:
    """Return y [windows, out] of x [spatial dims, in], which is zero outside."""
    out = np.zeros((*windows, weights.shape[-1]))
    for place in np.ndindex(windows):
        for offset in np.ndindex(weights.shape[:-2]):
            at = [
                p * s - b + rate * o
                for p, s, b, o in zip(place, strides, before, offset, strict=True)
            ]
            if all(0 <= a < n for a, n in zip(at, x.shape, strict=False)):
                out[place] += x[tuple(at)] @ weights[offset]
    return out


def before_same(frames: int, span: int, stride: int) -> int:
    """Return how many frames lie before a sequence, so that its windows are around its middle."""
    return max((-(-frames // stride) - 1) * stride + span - frames, 0) // 2


def layer(**more: Any) -> dict[str, Any]:
    options = {
        "class": "conv",
        "n_out": 4,
        "filter_size": [3],
        "padding": "same",
        "with_bias": True,
    }
    return {"output": {**options, "from": "data", **more}}


@pytest.mark.parametrize(
    ("padding", "before", "count"),
    [("same", 2, lambda n: n), ("valid", 0, lambda n: n - 4), (1, 1, lambda n: n - 2)],
)
def test_dilated(padding: Any, before: int, count: Any) -> None:
    network = Network(layer(dilation_rate=2, padding=padding), extern_data=STREAMS)

    def formula(p: Any, data: Array) -> list[Array]:
        sizes = {"strides": (1,), "before": (before,), "rate": 2}
        return [
            convolved(x[:n], p["output/W"], windows=(max(count(n), 0),), **sizes) + p["output/bias"]
            for x, n in zip(data, LENGTHS, strict=True)
        ]

    check(network, {"data": dense(LENGTHS, 6)}, formula)


def test_dilated_windows_apart_are_every_other_window() -> None:
    options = {"dilation_rate": 2, "padding": "valid", "with_bias": False}
    batch = {"data": dense([9, 6], 6)}
    found = []
    for strides in (1, 2):
        network = Network(layer(strides=strides, **options), extern_data=STREAMS)
        random_parameters(network)
        found.append(run(network, batch)["output"].canonical())
    np.testing.assert_allclose(found[1], found[0][:, ::2], atol=1e-6)


@pytest.mark.parametrize("groups", [2, 3, 6])
@pytest.mark.parametrize("strides", [1, 2])
def test_groups(groups: int, strides: int) -> None:
    options = {"groups": groups, "n_out": 12, "strides": strides, "with_bias": False}
    network = Network(layer(**options), extern_data=STREAMS)
    assert network.param_shapes() == {"output/W": (3, 6 // groups, 12)}

    def formula(p: Any, data: Array) -> list[Array]:
        found = []
        for x, n in zip(data, LENGTHS, strict=True):
            parts = zip(
                np.split(x[:n], groups, axis=-1),
                np.split(p["output/W"], groups, axis=-1),
                strict=True,
            )
            sizes = {
                "strides": (strides,),
                "before": (before_same(n, 3, strides),),
                "windows": (-(-n // strides),),
            }
            found.append(np.concatenate([convolved(*part, **sizes) for part in parts], axis=-1))
        return found

    check(network, {"data": dense(LENGTHS, 6)}, formula)


@pytest.mark.parametrize("pure", [False, True])
@pytest.mark.parametrize("padding", ["same", "same_static", "valid", 1, 5])
@pytest.mark.parametrize(("window", "rate"), [(3, 1), (4, 1), (3, 2)])
def test_a_filter_for_each_feature(window: int, rate: int, padding: Any, pure: bool) -> None:
    """Over time, it is an operation of its own."""
    options = {"groups": 6, "n_out": 6, "filter_size": [window], "dilation_rate": rate}
    network = Network(layer(**options, padding=padding), extern_data=STREAMS)
    assert network.param_shapes()["output/W"] == (window, 1, 6)
    span = (window - 1) * rate + 1
    around = {"same": (span - 1) // 2, "same_static": (span - 1) // 2, "valid": 0}
    before = around.get(padding, padding)

    def formula(p: Any, data: Array) -> list[Array]:
        found = []
        for x, n in zip(data, LENGTHS, strict=True):
            windows = n if padding in ("same", "same_static") else n + 2 * before - span + 1
            sizes = {"strides": (1,), "before": (before,), "windows": (max(windows, 0),)}
            filters = p["output/W"] * np.eye(6)
            found.append(convolved(x[:n], filters, rate=rate, **sizes) + p["output/bias"])
        return found

    with native.tensorflow_only() if pure else nullcontext():
        check(network, {"data": dense(LENGTHS, 6)}, formula)


@pytest.mark.parametrize("padding", ["valid", 0, "same"])
def test_a_filter_for_each_feature_of_fewer_frames_than_a_window(padding: Any) -> None:
    options = {"groups": 6, "n_out": 6, "filter_size": [5], "padding": padding}
    network = Network(layer(**options), extern_data=STREAMS)
    random_parameters(network)
    out = run(network, {"data": dense([2, 1], 6)})["output"]
    same = padding == "same"
    assert next(iter(out.lengths.values())).tolist() == ([2, 1] if same else [0, 0])
    assert out.values.shape == (2, 2 if same else 1, 6)  # no layer ever sees an empty axis


@pytest.mark.parametrize("padding", ["same", "valid", "same_static"])
@pytest.mark.parametrize("strides", [(1, 1), (2, 1), (1, 3)])
def test_two_dims(strides: tuple[int, int], padding: str) -> None:
    """Over time and over the features, which the options make a dim."""
    options = {"input_add_feature_dim": True, "filter_size": [3, 2], "strides": list(strides)}
    network = Network(layer(**options, padding=padding), extern_data=STREAMS)
    assert network.param_shapes()["output/W"] == (3, 2, 1, 4)

    def formula(p: Any, data: Array) -> list[Array]:
        found = []
        for x, n in zip(data, LENGTHS, strict=True):
            windows = [-(-n // strides[0]), -(-6 // strides[1])]
            before = before_same(n, 3, strides[0]), before_same(6, 2, strides[1])
            if padding == "same_static":
                before = (3 - strides[0]) // 2, before[1]
            if padding == "valid":
                windows, before = [(n - 3) // strides[0] + 1, 4 // strides[1] + 1], (0, 0)
            sizes = {
                "strides": strides,
                "before": before,
                "windows": tuple(max(w, 0) for w in windows),
            }
            found.append(convolved(x[:n, :, None], p["output/W"], **sizes) + p["output/bias"])
        return found

    check(network, {"data": dense(LENGTHS, 6)}, formula)


@pytest.mark.parametrize("padding", ["same", "valid", 1, 2])
def test_many_channels(padding: Any) -> None:
    """Filters of 3 x 3 pixels that move by single ones are an operation of its own."""
    options = {"input_split_feature_dim": 16, "filter_size": [3, 3], "n_out": 18}
    network = Network(layer(**options, padding=padding), extern_data={"data": {"dim": 80}})
    assert network.param_shapes()["output/W"] == (3, 3, 16, 18)
    around = {"same": 1, "valid": 0}.get(padding, padding)
    p, batch = random_parameters(network), dense(LENGTHS, 80)
    found = run(network, {"data": batch})["output"].values
    for b, n in enumerate(LENGTHS):
        windows = max(n + 2 * around - 2, 0), 5 + 2 * around - 2
        sizes = {"strides": (1, 1), "before": (around, around), "windows": windows}
        pixels = batch[0][b, :n].reshape(n, 5, 16)
        wanted = convolved(pixels, p["output/W"], **sizes) + p["output/bias"]
        np.testing.assert_allclose(found[b, : windows[0]], wanted, rtol=1e-4, atol=1e-4)


@pytest.mark.skipif(host._compiler() is None, reason="no C++ compiler here")
def test_windows_that_move_by_single_frames_begin_where_no_length_matters(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """So tiles serve, whatever the sequences."""
    called = []

    def count(source: Any, name: str, *arguments: Any) -> Any:
        called.append(name)
        return launch.launch(source, name, *arguments)

    monkeypatch.setattr(conv, "launch", count)
    options = {"input_split_feature_dim": 16, "filter_size": [3, 3], "n_out": 16}
    network = Network(layer(**options), extern_data={"data": {"dim": 80}})
    run(network, {"data": dense(LENGTHS, 80)})
    assert called == ["conv_forward"]


def test_gradients_of_many_channels_are_tensorflows() -> None:
    first = {"class": "conv", "input_split_feature_dim": 16, "filter_size": [3, 3], "n_out": 16}
    net = {
        "first": {**first, "padding": "same", "from": "data"},
        "second": {**first, "input_split_feature_dim": None, "padding": "valid", "from": "first"},
        "mean": {"class": "reduce", "mode": "mean", "axes": ["T", "static:0"], "from": "second"},
        "output": {"class": "copy", "loss": "as_is", "from": "mean"},
    }
    found = []
    for pure in (False, True):
        network = Network(net, extern_data={"data": {"dim": 80}}, train=True)
        with native.tensorflow_only() if pure else nullcontext():
            batch = {"data": dense(LENGTHS, 80)}
            found.append(network.run(batch, ["output"], gradients=True).gradients)
    assert {"first/W", "second/W"} <= found[0].keys()
    for name, gradient in found[1].items():
        largest = np.abs(gradient).max()
        np.testing.assert_allclose(found[0][name], gradient, atol=3e-6 * largest)


@pytest.mark.parametrize(
    ("options", "shape"),
    [
        ({"input_split_feature_dim": 3, "filter_size": [3, 2]}, (3, 2, 3, 4)),
        ({"input_expand_dims": 1, "filter_size": [3, 1]}, (3, 1, 6, 4)),
        ({"input_expand_dims": 1, "in_spatial_dims": ["T"]}, (3, 6, 4)),
    ],
)
def test_added_dims(options: dict[str, Any], shape: tuple[int, ...]) -> None:
    network = Network(layer(**options), extern_data=STREAMS)
    assert network.param_shapes()["output/W"] == shape
    p = random_parameters(network)
    x, _ = dense(LENGTHS, 6)
    y = run(network, {"data": (x, LENGTHS)})["output"].canonical()
    for b, n in enumerate(LENGTHS):
        frames = x[b, :n].reshape(n, 6 // shape[-2], shape[-2])
        weights = p["output/W"] if len(shape) == 4 else p["output/W"][:, None]
        sizes = {"strides": (1, 1), "before": (1, 0), "windows": frames.shape[:2]}
        np.testing.assert_allclose(
            y[b, :n], convolved(frames, weights, **sizes) + p["output/bias"], atol=1e-5
        )


def test_a_layer_as_filter() -> None:
    net = layer(filter="filter", with_bias=False)
    net["filter"] = {"class": "variable", "shape": [3, 6, 4]}
    network = Network(net, extern_data=STREAMS)
    assert network.param_shapes() == {"filter/filter": (3, 6, 4)}
    p = random_parameters(network)
    other = Network(layer(with_bias=False), extern_data=STREAMS)
    other.set_params({"output/W": p["filter/filter"]})
    batch = {"data": dense(LENGTHS, 6)}
    found, needed = (run(n, batch)["output"].canonical() for n in (network, other))
    np.testing.assert_array_equal(found, needed)
    net["filter"]["shape"] = [6, 3, 4]
    with pytest.raises(NetworkError, match=r"found filter \[6,3,F\|4\], needed \[3, 6, 4\]"):
        Network(net, extern_data=STREAMS)


def transposed(**more: Any) -> dict[str, Any]:
    return layer(**{"class": "transposed_conv", "filter_size": [3], "strides": [2], **more})


@pytest.mark.parametrize(
    ("options", "count"),
    [
        ({}, lambda n: 2 * n),
        ({"padding": "valid"}, lambda n: 2 * n + 1),
        ({"padding": "valid", "output_padding": 1}, lambda n: 2 * n + 2),
        ({"remove_padding": 1}, lambda n: 2 * n - 2),
        ({"strides": None}, lambda n: 3 * n),
    ],
)
def test_transposed(options: dict[str, Any], count: Any) -> None:
    network = Network(transposed(**options), extern_data=STREAMS)
    assert network.param_shapes()["output/W_native_transposed_conv"] == (3, 1, 4, 6)
    stride = 3 if options.get("strides", 2) is None else 2
    valid = options.get("padding") == "valid"
    off = options.get("remove_padding", 0) + (0 if valid else max(3 - stride, 0) // 2)

    def formula(p: Any, data: Array) -> list[Array]:
        found = []
        for x, n in zip(data, LENGTHS, strict=True):
            y = np.zeros((3 * n + 12, 4))
            for t, k in itertools.product(range(n), range(3)):
                y[t * stride + k] += p["output/W_native_transposed_conv"][k, 0] @ x[t]
            found.append(y[off : off + count(n)] + p["output/bias"])
        return found

    check(network, {"data": dense(LENGTHS, 6)}, formula)


def test_transposed_undoes_the_lengths_of_a_convolution() -> None:
    net = {
        "split": layer(input_add_feature_dim=True, filter_size=[3, 3], strides=2)["output"],
        "output": transposed(filter_size=[4, 4], strides=[2, 2], **{"from": "split"})["output"],
    }
    network = Network(net, extern_data=STREAMS)
    out = run(network, {"data": dense([8, 4], 6)})["output"]
    assert out.canonical().shape == (2, 8, 6, 4)
    assert next(iter(out.lengths.values())).tolist() == [8, 4]
    assert not out.canonical()[1, 4:].any()


@pytest.mark.parametrize(
    ("net", "text"),
    [
        (layer(filter_size=[3, 3]), r"found 1 spatial dims in .*, needed 2; try in_spatial_dims"),
        (layer(groups=4), r"found 4 groups, 6 inputs and n_out 4, needed a number that divides"),
        (layer(input_split_feature_dim=4), r"needed a feature dim that 4 divides"),
        (layer(padding="sames"), r"unknown padding 'sames'; did you mean 'same'\?"),
        (layer(strides=[1, 2]), r"needed a number for each dim"),
        (transposed(strides=[1, 2]), r"needed one or two dims, and as many numbers in every"),
        (
            transposed(output_padding=2),
            r"found output_padding 2 for filter_size 3 and stride 2, needed 0 to 1",
        ),
        (
            transposed(output_padding=-1, padding="valid"),
            r"found output_padding -1 for filter_size 3 and stride 2, needed 0 to 1",
        ),
        (transposed(padding="full"), r"option 'padding': found 'full', needed 'same' or 'valid'"),
    ],
)
def test_wrong_options(net: dict[str, Any], text: str) -> None:
    with pytest.raises(NetworkError, match=text):
        Network(net, extern_data=STREAMS)
