"""Edit distances: against a table in numpy, in the loop and out of it, with and without search."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from eager import Array, dense, random_parameters, run, sparse
from models import FEATURES, decoder_net

from returnn_lite.errors import NetworkError
from returnn_lite.network import Network

Net = dict[str, Any]
LENGTHS = {"classes": [5, 2, 4], "labels": [3, 1, 2]}
STREAMS = {k: {"dim": 3, "sparse": True} for k in LENGTHS}
TARGET = "layer:base:data:labels"


def table(a: Array, b: Array) -> Array:
    """Return int [len(a) + 1, len(b) + 1], the distances of all beginnings."""
    found = np.zeros((len(a) + 1, len(b) + 1), int)
    found[0], found[:, 0] = range(len(b) + 1), range(len(a) + 1)
    for i, x in enumerate(a):
        for j, y in enumerate(b):
            ways = found[i, j + 1] + 1, found[i + 1, j] + 1, found[i, j] + (x != y)
            found[i + 1, j + 1] = min(ways)
    return found


def batch() -> dict[str, tuple[Array, list[int]]]:
    return {k: sparse(n, 3, seed=i) for i, (k, n) in enumerate(LENGTHS.items())}


def sequences() -> list[tuple[Array, Array]]:
    found = batch()
    rows = zip(*(found[k][0] for k in LENGTHS), *LENGTHS.values(), strict=True)
    return [(a[:n], b[:m]) for a, b, n, m in rows]


def test_the_distance_of_two_sequences() -> None:
    net = {"output": {"class": "edit_distance", "a": "data:classes", "b": "data:labels"}}
    out = run(Network(net, extern_data=STREAMS), batch())["output"]
    assert out.values.tolist() == [table(a, b)[-1, -1] for a, b in sequences()]


@pytest.mark.parametrize("moved", [True, False])
@pytest.mark.parametrize("blank", [None, 1])
def test_tables_and_completions_in_a_loop(moved: bool, blank: int | None) -> None:
    opts = {"target": TARGET, "blank_idx": blank}
    unit = {
        "table": {"class": "edit_distance_table", "from": "data:source", **opts},
        "output": {"class": "optimal_completions", "from": "prev:table", **opts},
    }
    rec = {"class": "rec", "unit": unit, "optimize_move_layers_out": moved}
    net = {"output": {**rec, "from": "data:classes"}}
    out = run(Network(net, extern_data=STREAMS), batch(), ["output", "output/table"])
    rows, completions = out["output/table"].canonical(), out["output"].canonical()
    for i, (a, b) in enumerate(sequences()):
        for t in range(len(a)):
            before = a[:t][a[:t] != blank]
            now = a[: t + 1][a[: t + 1] != blank]
            assert rows[i, t, : len(b) + 1].tolist() == table(now, b)[-1].tolist()
            for label in range(3):
                after = before if label == blank else [*before, label]
                assert completions[i, t, label] == table(np.array(after), b)[-1].min()


def test_hypotheses_have_their_own_rows() -> None:
    net = decoder_net(labels=3, beam_size=4, max_len="4", end=2, eos=True)
    unit = net["output"]["unit"]
    unit["table"] = {"class": "edit_distance_table", "from": "output", "target": TARGET}
    unit["table"]["is_output_layer"] = True
    streams = {"data": {"dim": FEATURES}, "labels": {"dim": 3, "sparse": True}}
    network = Network(net, extern_data=streams, search=True, outputs=["output", "output/table"])
    random_parameters(network)
    labels = batch()["labels"]
    out = run(network, {"data": dense([4, 2, 3], FEATURES), "labels": labels})
    found, rows = out["output"], out["output/table"].canonical()
    assert found.time_dim is not None
    for i, (hypothesis, n) in enumerate(
        zip(found.canonical(), found.lengths[found.time_dim.name], strict=True)
    ):
        b = labels[0][i // 4, : labels[1][i // 4]]
        for t in range(n):
            needed = table(hypothesis[: t + 1], b)[-1]
            assert rows[i, t, : len(b) + 1].tolist() == needed.tolist()


@pytest.mark.parametrize(
    ("layer", "text"),
    [
        ({"class": "edit_distance_table"}, "missing option 'target'"),
        (
            {"class": "edit_distance_table", "target": "classes"},
            r"found target .*, needed labels \[batch, time\]; try 'layer:base:data:<key>'",
        ),
        (
            {"class": "optimal_completions", "target": TARGET},
            "found source .*, needed a row of an edit_distance_table",
        ),
        (
            {"class": "edit_distance_table", "target": TARGET, "blank_idx": 3},
            "found source .*, needed 4 classes",
        ),
    ],
)
def test_mistakes(layer: Net, text: str) -> None:
    unit = {"x": {**layer, "from": "data:source"}, "output": {"class": "copy", "from": "x"}}
    net = {"output": {"class": "rec", "from": "data:classes", "unit": unit}}
    with pytest.raises(NetworkError, match=rf"output/x \({layer['class']}\): {text}"):
        Network(net, extern_data=STREAMS)


def test_out_of_a_loop_there_is_no_table() -> None:
    layer = {"class": "edit_distance_table", "from": "data:classes", "target": "labels"}
    with pytest.raises(NetworkError, match="found it outside of the unit of a rec layer"):
        Network({"output": layer}, extern_data=STREAMS)
