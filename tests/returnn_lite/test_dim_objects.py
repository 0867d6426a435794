"""Dims as objects in a config: the same network as with sizes and axis words."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from eager import dense, random_parameters, run

from returnn_lite import FeatureDim, Network, NetworkError, SpatialDim, batch_dim

TIME, IN, HIDDEN = SpatialDim("time"), FeatureDim("in", 3), FeatureDim("hidden", 6)
HEADS, KEY, WINDOWS = SpatialDim("heads", 2), FeatureDim("key", 3), SpatialDim("windows")
STREAMS = {"data": {"dim_tags": [batch_dim, TIME, IN]}}
LINEAR = {"class": "linear", "activation": "tanh", "from": "data"}
SPLIT = {"class": "split_dims", "axis": "F", "dims": (2, -1)}
POOL = {"class": "pool", "mode": "max", "pool_size": (2,), "padding": "same", "from": "h"}
MATRIX = {"class": "variable", "add_batch_axis": False}
SUM = {"class": "reduce", "mode": "sum"}
REPEAT = {"class": "repeat", "repetitions": 2, "axis": "T", "from": "h"}
LONG, ANY = SpatialDim("long"), SpatialDim("any")
TOP, STEPS, STATES = SpatialDim("top", 2), SpatialDim("steps", 4), SpatialDim("states", 6)
FLAT = {"class": "merge_dims", "keep_order": True}
HIDDEN_NET: dict[str, Any] = {"h": {**LINEAR, "n_out": 6}}
NAMED_NET: dict[str, Any] = {"h": {**LINEAR, "in_dim": IN, "out_dim": HIDDEN}}

# With words, and with Dims.
PAIRS: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "features": (
        {"output": {**SUM, "axis": "F", "from": "h"}},
        {"output": {**SUM, "axis": HIDDEN, "from": "h"}},
    ),
    "a set": (
        {"output": {**SUM, "axes": ["T", "F"], "from": "h"}},
        {"output": {**SUM, "axes": {TIME, HIDDEN}, "from": "h"}},
    ),
    "two layers that have the same dim": (
        {
            "a": {**LINEAR, "n_out": 6},
            "output": {"class": "dot", "reduce": "F", "from": ["a", "h"]},
        },
        {
            "a": {**LINEAR, "out_dim": HIDDEN},
            "output": {"class": "dot", "reduce": HIDDEN, "from": ["a", "h"]},
        },
    ),
    "no dims": (
        {"output": {**SUM, "axis": "*", "from": "h"}},
        {"output": {**SUM, "axis": {batch_dim, TIME, HIDDEN}, "from": "h", "out_shape": {}}},
    ),
    "a square matrix": (
        {
            "w": {**MATRIX, "shape": (3, 3)},
            "output": {"class": "dot", "red1": "F", "red2": "static:0", "from": ["data", "w"]},
        },
        {
            "w": {**MATRIX, "shape": [IN.copy(match_priority=1), IN]},
            "output": {"class": "dot", "reduce": IN, "from": ["data", "w"]},
        },
    ),
    "windows": (
        {"p": POOL, "output": {**SUM, "axis": "T", "from": "p"}},
        {
            "p": {**POOL, "in_spatial_dims": [TIME], "out_spatial_dims": [WINDOWS]},
            "output": {**SUM, "axis": WINDOWS, "from": "p", "out_shape": {batch_dim, HIDDEN}},
        },
    ),
    "a formula of a dim that a layer makes": (
        {"p": POOL, "q": {**POOL, "from": "p"}, "output": {**SUM, "axis": "T", "from": "q"}},
        {
            "p": {**POOL, "out_spatial_dims": [WINDOWS]},
            "q": {**POOL, "from": "p"},
            "output": {**SUM, "axis": WINDOWS.ceildiv_right(2), "from": "q"},
        },
    ),
    "windows that are as many as frames": (
        {
            "p": {**POOL, "strides": 1},
            "output": {"class": "combine", "kind": "add", "from": ["p", "h"]},
        },
        {
            "p": {**POOL, "strides": 1, "out_spatial_dims": [WINDOWS]},
            "output": {
                "class": "combine",
                "kind": "add",
                "from": ["p", "h"],
                "out_shape": {batch_dim, WINDOWS, HIDDEN},
            },
        },
    ),
    "a repeated dim": (
        {"r": REPEAT, "output": {**SUM, "axis": "T", "from": "r"}},
        {"r": {**REPEAT, "axis": TIME, "out_dim": LONG}, "output": {**SUM, "axis": LONG}},
    ),
    "merged features": (
        {
            "s": {**SPLIT, "from": "h"},
            "m": {"class": "merge_dims", "axes": "static", "from": "s"},
            "output": {**SUM, "axis": "F", "from": "m"},
        },
        {
            "s": {**SPLIT, "axis": HIDDEN, "from": "h"},
            "m": {"class": "merge_dims", "axes": "static", "from": "s", "out_dim": HIDDEN},
            "output": {**SUM, "axis": HIDDEN, "from": "m"},
        },
    ),
    "merged dims that are none of features": (
        {
            "s": {**SPLIT, "dims": (2, 3, -1), "from": "h"},
            "m": {**FLAT, "axes": ["static:0", "static:1"], "from": "s"},
            "output": {**SUM, "axis": "static:0", "from": "m"},
        },
        {
            "s": {**SPLIT, "dims": (2, 3, -1), "from": "h"},
            "m": {**FLAT, "axes": ["static:0", "static:1"], "from": "s", "out_dim": STATES},
            "output": {**SUM, "axis": STATES, "from": "m"},
        },
    ),
    "a Dim without a size for features": (
        {
            "s": {**SPLIT, "from": "h"},
            "m": {"class": "merge_dims", "axes": "static", "from": "s"},
            "output": {**SUM, "axis": "F", "from": "m"},
        },
        {
            "s": {**SPLIT, "axis": HIDDEN, "from": "h"},
            "m": {"class": "merge_dims", "axes": "static", "from": "s", "out_dim": ANY},
            "output": {**SUM, "axis": ANY, "from": "m", "out_shape": {batch_dim, TIME}},
        },
    ),
    "a dim that stays what it was": (
        {"output": {**REPEAT, "repetitions": 1}},
        {"output": {**REPEAT, "repetitions": 1, "axis": TIME, "out_dim": TIME}},
    ),
    "the best": (
        {
            "k": {"class": "top_k", "axis": "F", "k": 2, "from": "h"},
            "output": {**SUM, "axis": "dim:2", "from": "k"},
        },
        {
            "k": {"class": "top_k", "axis": HIDDEN, "k": 2, "k_dim": TOP, "from": "h"},
            "output": {**SUM, "axis": TOP, "from": "k"},
        },
    ),
    "a parameter": (
        {
            "v": {"class": "variable", "shape": (2, 6)},
            "output": {"class": "dot", "reduce": "F", "from": ["h", "v"]},
        },
        {
            "v": {"class": "variable", "shape": (HEADS, HIDDEN)},
            "output": {"class": "dot", "reduce": HIDDEN, "from": ["h", "v"]},
        },
    ),
    "numbers": (
        {"r": {"class": "range", "limit": 4}, "output": {**SUM, "axis": "dim:4", "from": "r"}},
        {
            "r": {"class": "range", "limit": 4, "out_spatial_dim": STEPS},
            "output": {**SUM, "axis": STEPS, "from": "r"},
        },
    ),
}
# The constant is built before the layer that makes its dim.
PAIRS["a constant for each of the windows"] = (
    {
        "p": {**POOL, "from": "data"},
        "output": {"class": "eval", "eval": "source(0) + 2", "from": "sum"},
        "sum": {**SUM, "axis": "F", "from": "p"},
    },
    {
        "c": {"class": "constant", "value": 2.0, "shape": (WINDOWS,), "shape_deps": ["p"]},
        "p": {**POOL, "from": "data", "out_spatial_dims": [WINDOWS]},
        "output": {"class": "combine", "kind": "add", "from": ["c", "sum"]},
        "sum": {**SUM, "axis": "F", "from": "p"},
    },
)
PAIRS["a repeated dim"][1]["output"]["from"] = "r"
SEVEN, LONGER, PAD = 2 * IN + 1, 1 + TIME + 2, {"class": "pad", "padding": (1, 2), "from": "h"}
PAIRS["dims from formulas"] = (
    {
        "l": {**LINEAR, "n_out": 7, "from": "h"},
        "p": {**POOL, "from": "l"},
        "s": {**SUM, "axis": "F", "from": "p"},
        "m": {**SUM, "mode": "max", "axis": "T", "from": "s"},
        "w": {**PAD, "axes": "T"},
        "n": {**SUM, "axis": "T", "from": "w"},
        "output": {"class": "combine", "kind": "add", "from": ["n", "m"]},
    },
    {
        "l": {**LINEAR, "out_dim": SEVEN, "from": "h", "out_shape": {batch_dim, TIME, SEVEN}},
        "p": {**POOL, "from": "l"},
        "s": {**SUM, "axis": SEVEN, "from": "p"},
        "m": {**SUM, "mode": "max", "axis": TIME.ceildiv_right(2), "from": "s"},
        "w": {**PAD, "axes": TIME, "out_shape": {batch_dim, LONGER, HIDDEN}},
        "n": {**SUM, "axis": LONGER, "from": "w"},
        "output": {"class": "combine", "kind": "add", "from": ["n", "m"]},
    },
)


@pytest.mark.parametrize(
    ("dim", "size"),
    [
        (HIDDEN + 1, 7),
        (2 * HIDDEN, 12),
        (HIDDEN * HEADS, 12),
        (HIDDEN + KEY, 9),
        (HIDDEN.div_left(HEADS), 3),
        (HIDDEN // 4, 1),
        (HIDDEN - 2, 4),
        (TIME + 1, None),
    ],
)
def test_sizes_of_formulas(dim: Any, size: int | None) -> None:
    assert dim.size == size
    assert dim.kind == ("spatial" if size is None else "feature")


def test_the_same_formula_is_the_same_dim() -> None:
    assert 2 * TIME is TIME * 2
    assert (TIME + 2) - 2 is TIME


@pytest.mark.parametrize("dim", [TIME, HIDDEN])
def test_formulas_that_lead_back(dim: Any) -> None:
    assert dim * 1 is dim // 1 is dim.ceildiv_right(1) is dim
    assert (2 * dim) // 2 is (2 * dim).ceildiv_right(2) is dim
    assert (KEY + dim) - dim is KEY
    assert (KEY + dim + HEADS) - HEADS is KEY + dim


@pytest.mark.parametrize(
    ("operation", "text"),
    [
        (lambda h, t, k: h / 2, "'hidden' / 2"),
        (lambda h, t, k: -h, "-'hidden'"),
        (lambda h, t, k: 7 - h, "7 - 'hidden'"),
        (lambda h, t, k: 12 // h, "12 // 'hidden'"),
        (lambda h, t, k: h % 2, "'hidden' % 2"),
        (lambda h, t, k: t.ceildiv_right(k), "'time' ceildiv 'key'"),
        (lambda h, t, k: t - k, "'time' - 'key'"),
        (lambda h, t, k: t // 0, "'time' // 0"),
        (lambda h, t, k: 0.5 * t, r"'time' \* 0.5"),
        (lambda h, t, k: t + "2", r"'time' \+ '2'"),
    ],
)
def test_operations_that_there_are_not(operation: Any, text: str) -> None:
    with pytest.raises(
        NetworkError, match=rf"^found {text}, needed \+, -, \*, // or ceildiv of a Dim"
    ):
        operation(HIDDEN, TIME, KEY)


@pytest.mark.parametrize("name", PAIRS)
def test_dims_are_what_words_and_sizes_are(name: str) -> None:
    words, dims = PAIRS[name]
    first = Network({**HIDDEN_NET, **words}, extern_data={"data": {"dim": 3}})
    second = Network({**NAMED_NET, **dims}, extern_data=STREAMS)
    assert first.param_shapes() == second.param_shapes()
    second.set_params(random_parameters(first))
    batch = {"data": dense([5, 3], 3)}
    needed, found = (run(n, batch)["output"].canonical() for n in (first, second))
    np.testing.assert_array_equal(found, needed)


def test_other_features_of_the_input() -> None:
    net = {"s": {**SPLIT, "dims": (HEADS, KEY), "from": "h"}}
    over_heads = {**LINEAR, "from": "s", "in_dim": HEADS, "n_out": 4}
    network = Network({**NAMED_NET, **net, "output": over_heads}, extern_data=STREAMS)
    params = random_parameters(network)
    assert params["output/W"].shape == (2, 4)
    out = run(network, {"data": dense([5, 3], 3)}, ["s", "output"])
    x = out["s"].canonical()
    needed = np.tanh(np.einsum("bthk,ho->btko", x, params["output/W"]) + params["output/b"])
    needed[1, 3:] = 0
    np.testing.assert_allclose(out["output"].canonical(), needed, rtol=1e-5, atol=1e-6)
    with pytest.raises(NetworkError, match=r"output \(linear\): in_dim: found no axis F\|6 in"):
        wrong = {**over_heads, "in_dim": HIDDEN}
        Network({**NAMED_NET, **net, "output": wrong}, extern_data=STREAMS)


@pytest.mark.parametrize(
    ("layer", "text"),
    [
        (
            {"out_dim": HIDDEN, "n_out": 5},
            r"output \(linear\): found out_dim \[F\|6\] for \[B,T\|'time',F\|5\], needed \[F\|5\]",
        ),
        ({"out_dim": 6}, r"output \(linear\): option 'out_dim': found 6, needed a Dim or None"),
        (
            {"out_dim": HIDDEN, "out_shape": {batch_dim, HIDDEN}},
            r"output \(linear\): found \[B,T\|'time',F\|6\], needed the dims \[.*\] of out_shape",
        ),
        (
            {"out_dim": HIDDEN, "out_shape": {}},
            r"output \(linear\): found \[B,T\|'time',F\|6\], needed the dims \[\] of out_shape",
        ),
        (
            {"out_dim": HIDDEN, "out_shape": {batch_dim, TIME, KEY}},
            r"output \(linear\): out_shape: found no axis F\|3 in \[B,T\|'time',F\|6\]",
        ),
        (
            {"out_dim": TIME, "n_out": 5},
            r"output \(linear\): found out_dim \['time'\] for .*, needed \[F\|5\]",
        ),
        (
            {"class": "pool", "mode": "max", "pool_size": (2,), "out_spatial_dims": [HEADS]},
            r"output \(pool\): found out_spatial_dims \[2\] for ",
        ),
    ],
)
def test_dims_that_do_not_fit(layer: dict[str, Any], text: str) -> None:
    net = {"output": {**({} if "class" in layer else LINEAR), "from": "data", **layer}}
    with pytest.raises(NetworkError, match=text):
        Network(net, extern_data=STREAMS)


OTHER = SpatialDim("other")
HALVES = {"class": "pool", "mode": "max", "pool_size": (2,), "padding": "same", "from": "data"}
BOTH = {**STREAMS, "other": {"dim_tags": [batch_dim, OTHER, IN]}}


@pytest.mark.parametrize("dim", [TIME, TIME // 2, TIME.ceildiv_right(3), TIME + 1, WINDOWS + 1])
def test_a_dim_with_another_formula_than_the_layers(dim: Any) -> None:
    net = {
        "w": {**HALVES, "out_spatial_dims": [WINDOWS]},
        "output": {**HALVES, "from": "w", "out_spatial_dims": [dim]},
    }
    text = r"output \(pool\): found out_spatial_dims \['.*'\] for .*, needed \['ceil\(ceil\("
    with pytest.raises(NetworkError, match=text):
        Network(net, extern_data=BOTH)


@pytest.mark.parametrize("dim", [TIME.ceildiv_right(2), (TIME + 1) // 2])
def test_a_dim_with_a_formula_of_the_same_size(dim: Any) -> None:
    net = {"w": {**HALVES, "out_spatial_dims": [dim]}, "output": {**SUM, "axis": dim, "from": "w"}}
    assert run(Network(net, extern_data=BOTH), {"data": dense([5, 3], 3)})


@pytest.mark.parametrize("dim", [OTHER, OTHER + 1])
def test_a_dim_of_another_stream_has_the_lengths_of_the_layers(dim: Any) -> None:
    network = Network({"output": {**HALVES, "out_spatial_dims": [dim]}}, extern_data=BOTH)
    more = 0 if dim is OTHER else 1
    batch = {"data": dense([5, 3], 3), "other": dense([3 - more, 2 - more], 3)}
    assert run(network, batch)["output"].values[0].shape == (3, 3)
    wrong = {**batch, "other": dense([3 - more, 3 - more], 3)}
    text = r"^output \(pool\): found lengths of ceil\(time/2\), needed those of other"
    with pytest.raises(NetworkError, match=text):
        network.run(wrong)
