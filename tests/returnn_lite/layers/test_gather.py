"""Entries by their position: gather, scatter, slices that begin anywhere, sorted search."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from eager import Array, dense, run, sparse
from reference import check
from shapes import LENGTHS, STREAMS, batch, fails, network, rows, same, sequences

from returnn_lite.dim import BATCH, FeatureDim, SpatialDim
from returnn_lite.errors import NetworkError
from returnn_lite.network import Network

PLACES = {"class": "eval", "eval": "(source(0) + 1) % 2", "from": "flat"}
FLAT = {"class": "reinterpret_data", "set_sparse": False, "from": "data:classes"}


def test_gather_takes_entries_and_stops_at_each_sequences_ends() -> None:
    net = {"output": {"class": "gather", "from": "data", "position": "data:positions"}}
    positions = np.array([[0, 8, 2], [1, 3, 0], [1, 0, 0]], np.int32)

    def formula(p: Any, data: Array) -> list[Array]:
        counts = [3, 2, 1]
        return [
            data[b, np.minimum(positions[b, : counts[b]], LENGTHS[b] - 1)]
            for b in range(len(LENGTHS))
        ]

    streams = {"data": dense(LENGTHS, 4), "positions": (positions, [3, 2, 1])}
    check(Network(net, extern_data=STREAMS), streams, formula)


def test_gather_before_the_beginning_takes_the_first_entry() -> None:
    before = {"class": "eval", "eval": "-source(0)", "from": "count"}
    layer = {"class": "gather", "from": "data", "position": "before", "clip_to_valid": True}
    same(rows(layer, before=before), [x[0] for x in sequences()])


def test_gather_of_labels_keeps_their_classes() -> None:
    final = {"class": "eval", "eval": "source(0) - 1", "from": "count"}
    layer = {"class": "gather", "from": "data:classes", "position": "final"}
    out = run(network(layer, final=final), batch())["output"]
    assert out.sparse_dim is not None and out.sparse_dim.size == 5
    labels, _ = sparse(LENGTHS, 5)
    assert out.values.tolist() == [labels[b, n - 1] for b, n in enumerate(LENGTHS)]


def test_gather_from_a_fixed_dim_by_a_number_or_a_frame() -> None:
    same(
        rows({"class": "gather", "from": "data", "position": 2, "axis": "F"}),
        [x[:, 2] for x in sequences()],
    )
    layer = {"class": "gather", "from": "data", "position": "places", "axis": "F"}
    pairs = zip(sequences(), sparse(LENGTHS, 5)[0], strict=True)
    needed = [x[np.arange(len(x)), (c[: len(x)] + 1) % 2] for x, c in pairs]
    same(rows(layer, flat=FLAT, places=PLACES), needed)


def test_gather_of_the_frames_of_all_sequences() -> None:
    others = {
        "frames": {"class": "flatten_batch", "from": "data"},
        "count": {"class": "length", "axis": BATCH, "from": "frames"},
        "last": {"class": "eval", "eval": "source(0) - source(1)", "from": ["count", "flat"]},
    }
    layer = {"class": "gather", "from": "frames", "axis": BATCH, "position": "last"}
    labels, frames = sparse(LENGTHS, 5)[0], np.concatenate(sequences())
    pairs = zip(labels, LENGTHS, strict=True)
    places = [np.clip(len(frames) - c[:n], 0, len(frames) - 1) for c, n in pairs]
    same(rows(layer, flat=FLAT, **others), [frames[p] for p in places])


def test_features_are_the_last_fixed_dim_where_they_were_so_before() -> None:
    places = {"class": "range_in_axis", "axis": "F", "from": "max"}
    others = {"places": places, "max": {"class": "reduce", "mode": "max", "axis": "T"}}
    others["max"]["from"] = "heads"
    layer = {"class": "gather", "from": "heads", "axis": "T", "position": "places"}
    template = network(layer, **others).template("output")
    assert template.feature_dim is template.dims[-1]


def test_gather_nd_is_over_the_first_dim_behind_the_batch() -> None:
    layer = {"class": "gather_nd", "from": "mean", "position": "half"}
    mean = {"class": "reduce", "mode": "mean", "axis": "T", "from": "data"}
    needed = [x.mean(0)[len(x) // 2] for x in sequences()]
    same(rows(layer, mean=mean), needed)


def test_scattered_entries_are_summed_and_padding_goes_nowhere() -> None:
    layer = {
        "class": "scatter_nd",
        "position": "places",
        "position_axis": "T",
        "output_dim_via_time_from": "data:positions",
        "from": "data",
    }
    net = network(layer, flat=FLAT, places=PLACES)
    labels, counts = sparse(LENGTHS, 5), [3, 2, 2]

    def formula(p: Any, data: Array) -> list[Array]:
        found = []
        for x, c, n, m in zip(data, labels[0], LENGTHS, counts, strict=True):
            y = np.zeros([m, 4])
            np.add.at(y, (c[:n] + 1) % 2, x[:n])
            found.append(y)
        return found

    streams = {"data": dense(LENGTHS, 4), "classes": labels, "positions": sparse(counts, 9)}
    check(net, streams, formula)


@pytest.mark.parametrize("size", [2, 5])
def test_slices_of_fixed_size_are_zero_behind_the_end(size: int) -> None:
    layer = {"class": "slice_nd", "start": "half", "size": size, "from": "data"}

    def formula(p: Any, data: Array) -> list[Array]:
        parts = [x[:n] for x, n in zip(data, LENGTHS, strict=True)]
        cut = [x[len(x) // 2 :][:size] for x in parts]
        return [np.pad(x, [[0, size - len(x)], [0, 0]]) for x in cut]

    check(network(layer), {"data": dense(LENGTHS, 4)}, formula)


def test_slices_to_the_end_or_of_a_size_for_each_sequence() -> None:
    layer = {"class": "slice_nd", "start": "half", "size": None, "from": "data"}
    same(rows(layer), [x[len(x) // 2 :] for x in sequences()])
    same(
        rows({**layer, "start": 1, "min_size": 1}),
        [x[1:] if len(x) > 1 else 0 * x for x in sequences()],
    )
    layer |= {"size": "half", "min_size": 1}
    same(rows(layer), [x[len(x) // 2 :][: max(len(x) // 2, 1)] for x in sequences()])


def test_a_config_finds_slices_by_what_returnn_calls_them() -> None:
    cut = {"class": "slice_nd", "start": 1, "size": None, "from": "data"}
    layer = {"class": "reduce", "mode": "sum", "axis": "stag:sliced-time:cut", "from": "cut"}
    same(rows(layer, cut=cut), [x[1:].sum(0) for x in sequences()])


def test_slices_of_the_size_of_a_dim() -> None:
    time, longer, five = SpatialDim("time"), SpatialDim("longer"), SpatialDim("five", 5)
    net: dict[str, Any] = {
        "longer": {"class": "resize", "factor": 2, "axis": "T", "from": "data"},
        "cut": {"class": "slice_nd", "from": "longer", "start": 1, "size": time},
        "output": {"class": "combine", "kind": "add", "from": ["cut", "data"]},
        "five": {"class": "slice_nd", "from": "data", "size": five},
        "least": {"class": "slice_nd", "from": "data", "size": time, "min_size": 3},
    }
    net["longer"]["out_dim"] = longer
    streams = {"data": {"dim_tags": [BATCH, time, FeatureDim("feature", 4)]}}
    names = ["output", "five", "least"]
    found = run(Network(net, extern_data=streams, outputs=names), {"data": batch()["data"]})
    for i, x in enumerate(sequences()):
        cut = np.repeat(x, 2, axis=0)[1:][: len(x)]
        np.testing.assert_allclose(found["output"].values[i, : len(x)], cut + x, rtol=1e-5)
        five_ = np.pad(x, [[0, 5 - len(x)], [0, 0]])
        np.testing.assert_allclose(found["five"].values[i], five_, rtol=1e-5)
    assert next(iter(found["least"].lengths.values())).tolist() == [4, 3, 3]


def test_slices_have_the_dim_that_a_dim_means() -> None:
    """As where frames that a transposed convolution has more of are cut off."""
    time, few = SpatialDim("time"), SpatialDim("few", 3)
    streams = {"data": {"dim_tags": [BATCH, time, FeatureDim("in", 4)]}}
    net: dict[str, Any] = {
        "more": {"class": "repeat", "repetitions": 2, "axis": "T", "from": "data"},
        "x": {"class": "slice_nd", "start": 1, "size": time, "from": "more"},
        "y": {"class": "slice_nd", "start": 0, "size": few, "from": "more"},
        "output": {"class": "combine", "kind": "add", "from": ["x", "data"]},
    }
    for layer in net.values():
        layer["is_output_layer"] = True
    lost = {**net["x"], "size": SpatialDim("lost")}
    out = run(Network(net, extern_data=streams), {"data": dense(LENGTHS, 4)})
    for i, x in enumerate(sequences()):
        twice = np.repeat(x, 2, axis=0)
        cut = twice[1:][: len(x)]
        np.testing.assert_allclose(out["x"].values[i, : len(x)], cut)
        np.testing.assert_allclose(out["output"].values[i, : len(x)], cut + x)
        shown = np.pad(twice[:3], [[0, max(3 - len(twice), 0)], [0, 0]])
        np.testing.assert_allclose(out["y"].canonical()[i], shown)
    with pytest.raises(NetworkError, match=r"found size 'lost', needed a Dim of the source or of"):
        Network({**net, "output": lost}, extern_data=streams)


def test_a_slice_begins_at_every_frame() -> None:
    layer = {"class": "slice_nd", "start": "places", "size": 2, "from": "data"}
    labels, _ = sparse(LENGTHS, 5)
    needed = []
    for x, c in zip(sequences(), labels, strict=True):
        longer = np.pad(x, [[0, 3], [0, 0]])
        starts = (c[: len(x)] + 1) % 2
        needed.append(np.stack([longer[s : s + 2] for s in starts]))
    same(rows(layer, flat=FLAT, places=PLACES), needed)


@pytest.mark.parametrize("side", ["left", "right"])
def test_search_in_a_sorted_sequence(side: str) -> None:
    others = {
        "ones": {"class": "eval", "eval": "1.0 + 0.0 * source(0)", "from": "sum"},
        "sum": {"class": "reduce", "mode": "sum", "axis": "F", "from": "data"},
        "sorted": {"class": "cumsum", "from": "ones"},
        "values": {"class": "eval", "eval": "tf.round(2.0 * source(0))", "from": "mean"},
        "mean": {"class": "reduce", "mode": "max", "axis": "T", "from": "data"},
    }
    layer = {"class": "search_sorted", "sorted_sequence": "sorted", "values": "values"}
    needed = [
        np.searchsorted(np.arange(1.0, len(x) + 1), np.round(2 * x.max(0)), side=side)  # type: ignore[call-overload]
        for x in sequences()
    ]
    same(rows({**layer, "side": side}, **others), needed)


@pytest.mark.parametrize(
    ("layer", "text"),
    [
        (
            {"class": "gather", "from": "count", "position": "count"},
            r"output \(gather\): found no axis 'T' in \[B\], int32",
        ),
        (
            {"class": "gather", "from": "data", "position": "data:other"},
            r"output \(gather\): found position \[B,T.*\], needed whole numbers",
        ),
        (
            {"class": "gather", "from": "data", "position": "count", "axis": "B"},
            r"found axis 'B' of .*, needed one of a sequence",
        ),
        (
            {"class": "slice_nd", "from": "data", "start": 0, "size": -1},
            r"found size -1, needed 0 or more; try None for all to the end",
        ),
        (
            {"class": "slice_nd", "from": "data", "start": "data:classes", "size": None},
            r"found start .*, needed \[batch\] where the size is not a number",
        ),
        (
            {
                "class": "scatter_nd",
                "from": "data",
                "position": "data",
                "position_axis": "T",
                "output_dim_via_time_from": "data",
            },
            r"found axis .* of position .*, needed whole numbers",
        ),
        (
            {"class": "search_sorted", "sorted_sequence": "data", "values": "count"},
            r"found values \[B\], int32 for .*, needed its dtype, dims and one more",
        ),
    ],
)
def test_mistakes(layer: dict[str, Any], text: str) -> None:
    fails(layer, text)


def test_entries_scattered_into_a_dim_of_the_config() -> None:
    dim = SpatialDim("places", 4)
    flat = {"class": "reinterpret_data", "set_sparse": False, "from": "data:classes"}
    layer = {"class": "scatter_nd", "position": "flat", "position_axis": "T", "from": "data"}
    layer["out_spatial_dim"] = dim
    out = run(network(layer, flat=flat), batch())["output"].values
    labels = batch()["classes"][0]
    for y, x, at in zip(out, sequences(), labels, strict=True):
        needed = np.zeros((4, 4), np.float32)
        np.add.at(needed, at[: len(x)][at[: len(x)] < 4], x[at[: len(x)] < 4])
        np.testing.assert_allclose(y, needed, rtol=1e-5, atol=1e-6)
    both = {**layer, "output_dim_via_time_from": "data"}
    with pytest.raises(NetworkError, match="needed one of output_dim_via_time_from and out_spa"):
        network(both, flat=flat)
