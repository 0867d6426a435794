"""Filters that layers compute, against loops over sequences, frames and filters."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from eager import Array, dense, random_parameters, run, sparse
from reference import check

from returnn_lite.errors import NetworkError
from returnn_lite.network import Network

LENGTHS = [6, 1, 4]
STREAMS = {"data": {"dim": 4}, "classes": {"dim": 3, "sparse": True}}
MEAN = {"class": "reduce", "mode": "mean", "axis": "T", "from": "data"}
FLAT = {"class": "linear", "activation": None, "with_bias": False}
BEFORE = {"same": 1, "causal": 2, "valid": 0}


def split(n: int) -> dict[str, Any]:
    return {"class": "split_dims", "axis": "F", "dims": [3, n], "from": "flat"}


def net(channels: int, **more: Any) -> dict[str, Any]:
    """Return a convolution of the data, with filters of three frames by their mean."""
    output = {"class": "dynamic_depthwise_conv", "filters": "filters", "from": "data", **more}
    return {
        "mean": MEAN,
        "flat": {**FLAT, "n_out": 3 * channels, "from": "mean"},
        "filters": split(channels),
        "output": output,
    }


def convolved(x: Array, filters: Array, padding: str) -> Array:
    """Return y [frames, ...] of x [frames, channels or 1] and filters [3, channels]."""
    count = max(len(x) - 2, 0) if padding == "valid" else len(x)
    y = np.zeros((count, filters.shape[1]))
    for t, k in np.ndindex(count, 3):
        at = t + k - BEFORE[padding]
        if 0 <= at < len(x):
            y[t] += filters[k] * x[at]
    return y


@pytest.mark.parametrize("padding", ["same", "causal", "valid"])
def test_a_filter_for_each_channel_of_each_sequence(padding: str) -> None:
    network = Network(net(4, padding=padding), extern_data=STREAMS)

    def formula(p: Any, data: Array) -> list[Array]:
        found = []
        for x, n in zip(data, LENGTHS, strict=True):
            filters = (x[:n].mean(axis=0) @ p["flat/W"]).reshape(3, 4)
            found.append(convolved(x[:n], filters, padding))
        return found

    check(network, {"data": dense(LENGTHS, 4)}, formula)


def test_one_channel_becomes_many() -> None:
    """As the weights of an attention do, with one head or without a feature dim."""
    for keep in (True, False):
        layers = net(5, **{"from": "energy"})
        layers["energy"] = {"class": "linear", "activation": "tanh", "n_out": 1, "from": "data"}
        if not keep:
            layers["energy"] = {"class": "reduce", "mode": "mean", "axis": "F", "from": "data"}
        network = Network(layers, extern_data=STREAMS)
        assert network.template("output").feature_size == 5

        def formula(p: Any, data: Array) -> list[Array]:
            found = []
            for x, n in zip(data, LENGTHS, strict=True):
                filters = (x[:n].mean(axis=0) @ p["flat/W"]).reshape(3, 5)
                energy = x[:n].mean(axis=1, keepdims=True)
                if "energy/W" in p:
                    energy = np.tanh(x[:n] @ p["energy/W"] + p["energy/b"])
                found.append(convolved(energy, filters, "same"))
            return found

        check(network, {"data": dense(LENGTHS, 4)}, formula)


def test_one_filter_for_all_channels() -> None:
    layers = {
        **net(1),
        "flat": {**FLAT, "n_out": 3, "from": "mean"},
        "output": {**net(1)["output"], "filters": "flat", "filter_axis": "F"},
    }
    network = Network(layers, extern_data=STREAMS)

    def formula(p: Any, data: Array) -> list[Array]:
        found = []
        for x, n in zip(data, LENGTHS, strict=True):
            filters = np.repeat((x[:n].mean(axis=0) @ p["flat/W"])[:, None], 4, axis=1)
            found.append(convolved(x[:n], filters, "same"))
        return found

    check(network, {"data": dense(LENGTHS, 4)}, formula)


def attention(*, moved: bool, recurrent: bool, search: bool = False) -> Network:
    """Return a decoder whose energies see the weights so far, by filters of its state.

    recurrent: whether the weights are those of the step before.
    """
    unit: dict[str, Any] = {
        "embed": {**FLAT, "n_out": 4, "from": "prev:output"},
        "flat": {**FLAT, "n_out": 6, "from": "embed"},
        "filters": split(2),
        "location": {
            "class": "dynamic_depthwise_conv",
            "filters": "filters",
            "from": "prev:weights" if recurrent else "base:scores",
        },
        "sum": {"class": "combine", "kind": "add", "from": ["base:keys", "location", "query"]},
        "query": {**FLAT, "n_out": 2, "from": "embed"},
        "energy": {"class": "linear", "activation": "tanh", "n_out": 1, "from": "sum"},
        "weights": {"class": "softmax_over_spatial", "from": "energy"},
        "context": {"class": "generic_attention", "weights": "weights", "base": "base:data"},
        "p": {"class": "softmax", "from": "context", "target": "classes", "loss": "ce"},
        "output": {"class": "choice", "from": "p", "target": "classes", "beam_size": 2},
        "end": {"class": "compare", "from": "output", "value": 0},
    }
    unit["p"]["n_out"] = 3
    rec = {"class": "rec", "from": [], "target": "classes", "unit": unit, "max_seq_len": 3}
    layers = {
        "scores": {"class": "linear", "activation": "tanh", "n_out": 1, "from": "data"},
        "keys": {**FLAT, "n_out": 2, "from": "data"},
        "output": {**rec, "optimize_move_layers_out": moved},
    }
    network = Network(layers, extern_data=STREAMS, search=search)
    random_parameters(network)
    return network


@pytest.mark.parametrize("recurrent", [True, False])
def test_in_a_loop_and_out_of_it(recurrent: bool) -> None:
    batch = {"data": dense(LENGTHS, 4), "classes": sparse([2, 3, 1], 3)}
    values = []
    for moved in (True, False):
        network = attention(moved=moved, recurrent=recurrent)
        values.append(run(network, batch).losses["output/p"].value)
        node = network.scope.get("output/location")
        place = network.scope.get("output").layer.placement(network.scope.get("output"))  # type: ignore[attr-defined]
        assert (place.place[node] == "in") == (recurrent or not moved)
    np.testing.assert_allclose(*values, rtol=1e-5)


def test_filters_of_hypotheses() -> None:
    """Each hypothesis of a beam has filters of its own; scores are those of training."""
    data = {"data": dense(LENGTHS, 4)}
    out = run(attention(moved=True, recurrent=True, search=True), data)["output"]
    assert out.scores is not None
    rows = np.arange(len(LENGTHS)) * 2
    labels = np.pad(out.canonical()[rows], [[0, 0], [0, 1]])[:, :3]
    ended = np.minimum(next(iter(out.lengths.values()))[rows] + 1, 3)
    network = attention(moved=True, recurrent=True)
    losses = run(network, {**data, "classes": (labels, ended.tolist())}).losses
    np.testing.assert_allclose(out.scores[:, 0], -losses["output/p"].value, rtol=1e-4)


@pytest.mark.parametrize(
    ("layers", "text"),
    [
        (net(3), r"output \(dynamic_depthwise_conv\): found .*, needed as many features, or one"),
        (net(4, padding="full"), r"option 'padding': found 'full', needed 'same' or 'causal'"),
        (net(4, filter_axis="B"), r"found filters .* over B, needed a fixed number"),
        (net(4, filters="data", filter_axis="F"), r"needed the same for all; try .* window and"),
    ],
)
def test_wrong_options(layers: dict[str, Any], text: str) -> None:
    with pytest.raises(NetworkError, match=text):
        Network(layers, extern_data=STREAMS)
