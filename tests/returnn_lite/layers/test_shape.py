"""Layers that change dims: against numpy, lengths of their own, and mistakes."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from eager import Array, dense, run, sparse
from reference import check

from returnn_lite.errors import NetworkError
from returnn_lite.network import Network

LENGTHS = [4, 1, 2]
STREAMS = {
    "data": {"dim": 4},
    "other": {"dim": 4},
    "classes": {"dim": 5, "sparse": True},
    "positions": {"dim": 9, "sparse": True},
}


@pytest.mark.parametrize(("mode", "pieces"), [("max", 2), ("mean", 4), ("sum", 1), ("sum", 2)])
def test_reduce_out_takes_neighbours_together(mode: str, pieces: int) -> None:
    layer = {"class": "reduce_out", "mode": mode, "num_pieces": pieces, "from": "data"}
    network = Network({"output": layer}, extern_data=STREAMS)

    def formula(p: Any, data: Array) -> list[Array]:
        parts = data.reshape(*data.shape[:2], 4 // pieces, pieces)
        y = getattr(np, mode)(parts, axis=-1)
        return [x[:n] for x, n in zip(y, LENGTHS, strict=True)]

    check(network, {"data": dense(LENGTHS, 4)}, formula)


def test_length_is_that_of_each_sequence() -> None:
    net = {"output": {"class": "length", "from": "data"}}
    out = run(Network(net, extern_data=STREAMS), {"data": dense(LENGTHS, 4)})["output"]
    assert (out.values.tolist(), out.values.dtype) == (LENGTHS, np.int32)


def test_gather_takes_entries_and_stops_at_each_sequences_ends() -> None:
    net = {"output": {"class": "gather", "from": "data", "position": "data:positions"}}
    network = Network(net, extern_data=STREAMS)
    positions = np.array([[0, 8, 2], [1, 3, 0], [1, 0, 0]], np.int32)

    def formula(p: Any, data: Array) -> list[Array]:
        counts = [3, 2, 1]
        return [
            data[b, np.minimum(positions[b, : counts[b]], LENGTHS[b] - 1)]
            for b in range(len(LENGTHS))
        ]

    check(network, {"data": dense(LENGTHS, 4), "positions": (positions, [3, 2, 1])}, formula)


def test_gather_before_the_beginning_takes_the_first_entry() -> None:
    net = {
        "count": {"class": "length", "from": "data"},
        "before": {"class": "eval", "eval": "-source(0)", "from": "count"},
        "output": {"class": "gather", "from": "data", "position": "before"},
    }
    x, lengths = dense(LENGTHS, 4)
    out = run(Network(net, extern_data=STREAMS), {"data": (x, lengths)})["output"]
    np.testing.assert_array_equal(out.values, x[:, 0])


def test_gather_of_labels_keeps_their_classes() -> None:
    net = {
        "count": {"class": "length", "from": "data:classes"},
        "final": {"class": "eval", "eval": "source(0) - 1", "from": "count"},
        "output": {"class": "gather", "from": "data:classes", "position": "final"},
    }
    network = Network(net, extern_data=STREAMS)
    labels, _ = sparse(LENGTHS, 5)
    out = run(network, {"classes": (labels, LENGTHS)})["output"]
    assert out.sparse_dim is not None and out.sparse_dim.size == 5
    assert out.values.tolist() == [labels[b, n - 1] for b, n in enumerate(LENGTHS)]


def test_reinterpret_data_says_another_meaning_of_the_same_values() -> None:
    net = {
        "fewer": {"class": "reinterpret_data", "set_sparse_dim": 3, "from": "data:classes"},
        "sized": {"class": "reinterpret_data", "size_base": "data:other", "from": "data"},
        "output": {"class": "combine", "kind": "add", "from": ["sized", "data:other"]},
    }
    network = Network(net, extern_data=STREAMS, outputs=["output", "fewer"])
    labels, x, y = sparse(LENGTHS, 3), dense(LENGTHS, 4), dense(LENGTHS, 4, seed=1)
    out = run(network, {"data": x, "other": y, "classes": labels})
    assert out["fewer"].sparse_dim.size == 3  # type: ignore[union-attr]
    np.testing.assert_array_equal(out["fewer"].canonical()[0], labels[0][0])
    np.testing.assert_allclose(out["output"].values[0], (x[0] + y[0])[0])


def test_lengths_that_differ_are_told_in_one_line() -> None:
    net = {"output": {"class": "reinterpret_data", "size_base": "data:other", "from": "data"}}
    network = Network(net, extern_data=STREAMS)
    with pytest.raises(NetworkError) as error:
        network.run({"data": dense([2], 4), "other": dense([3], 4)})
    assert str(error.value) == (
        "output (reinterpret_data): found lengths of time:var:extern_data:data, "
        "needed at least those of time:var:extern_data:other"
    )


@pytest.mark.parametrize(
    ("layer", "text"),
    [
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
        (
            {"class": "length", "from": "count"},
            r"output \(length\): found no axis 'T' in \[B\], int32; try one of all, batch",
        ),
        (
            {"class": "gather", "from": "count", "position": "count"},
            r"output \(gather\): found no axis 'T' in \[B\], int32",
        ),
        (
            {"class": "gather", "from": "data", "position": "data:other"},
            r"output \(gather\): found position \[B,T.*\], needed whole numbers",
        ),
        (
            {"class": "reinterpret_data", "set_sparse_dim": 3, "from": "data"},
            r"output \(reinterpret_data\): found source .*, needed whole numbers",
        ),
        (
            {"class": "reinterpret_data", "size_base": "count", "from": "data"},
            r"output \(reinterpret_data\): found size_base \[B\], int32 for .*, needed as many dyn",
        ),
        (
            {"class": "reinterpret_data", "size_base": "data", "from": "count"},
            r"output \(reinterpret_data\): found size_base .* for \[B\], int32, needed as many",
        ),
    ],
)
def test_mistakes(layer: dict[str, Any], text: str) -> None:
    net = {"count": {"class": "length", "from": "data"}, "output": layer}
    with pytest.raises(NetworkError, match=text):
        Network(net, extern_data=STREAMS)
