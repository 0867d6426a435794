"""The 2D LSTM against a loop over its cells, over a whole target and step by step."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from eager import Array, dense, random_parameters, run, sparse
from reference import check, sigmoid, softmax

from returnn_lite import native
from returnn_lite.errors import NetworkError
from returnn_lite.network import Network

SOURCES, TARGETS, UNITS = [4, 1, 3], [2, 3, 1], 2
STREAMS = {"data": {"dim": 3}, "classes": {"dim": 4, "sparse": True}}
LAYER = {"class": "twod_lstm", "from": ["data", "embed"], "n_out": UNITS}
EMBED = {"class": "linear", "activation": None, "with_bias": False, "n_out": 2}


def batch() -> dict[str, Any]:
    return {"data": dense(SOURCES, 3), "classes": sparse(TARGETS, 4)}


def grid(source: Array, target: Array, p: dict[str, Array]) -> Array:
    """Return the outputs [target, source, units] of one pair of sequences."""
    y = np.zeros((len(target) + 1, len(source) + 1, UNITS))
    c = y.copy()
    for t, s in np.ndindex(len(target), len(source)):
        z = np.concatenate([source[s], target[t]]) @ p["W_re"]
        z = z + y[t + 1, s] @ p["Vh_re"] + y[t, s + 1] @ p["Vv_re"]
        i, f, mix, o, a = np.split(z, 5)
        before = sigmoid(mix) * c[t, s + 1] + (1 - sigmoid(mix)) * c[t + 1, s]
        c[t + 1, s + 1] = np.tanh(a) * sigmoid(i) + sigmoid(f) * before
        y[t + 1, s + 1] = np.tanh(c[t + 1, s + 1]) * sigmoid(o)
    return y[1:, 1:]


def pooled(y: Array, target: Array, p: dict[str, Array], pooling: str) -> Array:
    if pooling == "last":
        return y[:, -1]
    if pooling in ("max", "average"):
        return y.max(axis=1) if pooling == "max" else y.mean(axis=1)
    energies = np.einsum("tf,fn,tsn->ts", target, p["W_att"], y)
    return np.einsum("ts,tsn->tn", softmax(energies), y)


@pytest.mark.parametrize("pooling", ["last", "max", "average", "weighted"])
def test_over_a_target(pooling: str) -> None:
    net = {
        "embed": {**EMBED, "from": "data:classes"},
        "output": {**LAYER, "pooling": pooling, "recurrent_weights_init": 0.1},
    }
    network = Network(net, extern_data=STREAMS)
    prefix = "output/rec-twod/"
    shapes = {"W_re": (5, 10), "Vh_re": (2, 10), "Vv_re": (2, 10)}
    shapes |= {"W_att": (2, 2)} if pooling == "weighted" else {}
    needed = {prefix + k: v for k, v in shapes.items()} | {"embed/W": (4, 2)}
    assert network.param_shapes() == needed
    labels = batch()["classes"][0]

    def formula(p: Any, data: Array) -> list[Array]:
        own = {k.removeprefix(prefix): v for k, v in p.items()}
        found = []
        for x, y, n, m in zip(data, labels, SOURCES, TARGETS, strict=True):
            target = p["embed/W"][y[:m]]
            found.append(pooled(grid(x[:n], target, own), target, own, pooling))
        return found

    check(network, batch(), formula)


def decoder(*, moved: bool, search: bool = False) -> Network:
    """Return a decoder whose step is a row of the grid, then a softmax."""
    unit = {
        "embed": {**EMBED, "from": "prev:output"},
        "rows": {**LAYER, "from": ["base:data", "embed"], "pooling": "average"},
        "p": {"class": "softmax", "from": "rows", "target": "classes", "loss": "ce"},
        "output": {"class": "choice", "from": "p", "target": "classes", "beam_size": 3},
        "end": {"class": "compare", "from": "output", "value": 0},
    }
    unit["p"]["n_out"], unit["rows"]["is_output_layer"] = 4, True
    rec = {"class": "rec", "from": [], "target": "classes", "unit": unit}
    rec |= {"optimize_move_layers_out": moved, "max_seq_len": 3}
    network = Network({"output": rec}, extern_data=STREAMS, search=search)
    random_parameters(network)
    return network


def test_step_by_step_gives_the_same() -> None:
    found = []
    for moved in (True, False):
        network = decoder(moved=moved)
        out = run(network, batch(), ["output/rows"])
        found.append((out["output/rows"].canonical(), out.losses["output/p"].value))
        placement = network.scope.get("output").layer.placement(network.scope.get("output"))  # type: ignore[attr-defined]
        inside = placement.place[network.scope.get("output/rows")] == "in"
        assert inside == (not moved)
    for x, y in zip(*found, strict=True):
        np.testing.assert_allclose(x, y, atol=1e-5)


def test_scores_of_a_search_are_those_of_its_labels() -> None:
    network = decoder(moved=True, search=True)
    data = {"data": batch()["data"]}
    out = run(network, data)["output"]
    assert out.scores is not None
    labels, rows = out.canonical(), np.arange(len(SOURCES)) * 3
    counts = next(iter(out.lengths.values()))[rows]
    forced = decoder(moved=True)
    # The loss has no label for the end: it is counted as one more.
    labels = np.pad(labels[rows], [[0, 0], [0, 1]])
    ended = np.minimum(counts + 1, 3)
    losses = run(forced, {**data, "classes": (labels[:, :3], ended.tolist())}).losses
    np.testing.assert_allclose(out.scores[:, 0], -losses["output/p"].value, rtol=1e-4)


def test_tensorflow_alone_gives_the_same() -> None:
    network = Network(
        {"embed": {**EMBED, "from": "data:classes"}, "output": LAYER}, extern_data=STREAMS
    )
    random_parameters(network)
    found = run(network, batch())["output"].canonical()
    with native.tensorflow_only():
        np.testing.assert_allclose(run(network, batch())["output"].canonical(), found, atol=1e-6)


@pytest.mark.parametrize(
    ("layer", "text"),
    [
        ({"from": "data"}, r"output \(twod_lstm\): found 1 sources, needed source and target"),
        ({"pooling": "mean"}, r"option 'pooling': found 'mean', needed 'last' or 'max' or"),
        ({"from": ["data", "data:classes"]}, r"found target .*, needed \[batch, time, feature\]"),
        ({"from": ["mean", "embed"]}, r"found source .*, needed \[batch, time, feature\]"),
    ],
)
def test_wrong_options(layer: dict[str, Any], text: str) -> None:
    net = {
        "embed": {**EMBED, "from": "data:classes"},
        "mean": {"class": "reduce", "mode": "mean", "axis": "T", "from": "data"},
        "output": {**LAYER, **layer},
    }
    with pytest.raises(NetworkError, match=text):
        Network(net, extern_data=STREAMS)
