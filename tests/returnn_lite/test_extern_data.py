"""The data streams of a network: forms of the declaration, their values, and mistakes."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from eager import Array

from returnn_lite import Network
from returnn_lite.dim import BATCH, Dim
from returnn_lite.errors import NetworkError
from returnn_lite.extern_data import templates

TIME = Dim("spatial", "time")
FEATURES = Dim("feature", "features", 3)
WIDTH = Dim("spatial", "width", 2)
TIME_VAR, FEATURE_OF = "T|'time:var:extern_data:x'", "F|3"

# What is declared, and what it is: in the order of the axes, as RETURNN has it for the same dict.
FORMS: dict[str, tuple[Any, str]] = {
    "dense": ({"dim": 3}, f"[B,{TIME_VAR},F|3]"),
    "sparse": ({"dim": 3, "sparse": True}, f"[B,{TIME_VAR}], int32, dim 3"),
    "short": ((3, 2), f"[B,{TIME_VAR},F|3]"),
    "short and sparse": ([3, 1], f"[B,{TIME_VAR}], int32, dim 3"),
    "fixed": ({"dim": 3, "time_dim_axis": None}, "[B,F|3]"),
    "one label": ({"dim": 3, "sparse": True, "shape": ()}, "[B], int32, dim 3"),
    "one label by axis": ({"dim": 3, "sparse": True, "time_dim_axis": None}, "[B], int32, dim 3"),
    "shape": ({"shape": (None, 3)}, f"[B,{TIME_VAR},F|3]"),
    "images": (
        {"shape": (None, None, 3)},
        f"[B,{TIME_VAR},'spatial2:var:extern_data:x',F|3]",
    ),
    "windows": ({"dim": 3, "shape": (None, 5, 3)}, f"[B,{TIME_VAR},5,F|3]"),
    "wave": ({"shape": (None,), "dim": None}, f"[B,{TIME_VAR}]"),
    "time-major": (
        {"dim": 3, "time_dim_axis": 0, "batch_dim_axis": 1},
        f"[{TIME_VAR},B,F|3]",
    ),
    "time last": (
        {"dim": 3, "time_dim_axis": 2, "feature_dim_axis": 1},
        f"[B,F|3,{TIME_VAR}]",
    ),
    "time is not the first": (
        {"shape": (None, None, 3), "time_dim_axis": 2},
        f"[B,'spatial1:var:extern_data:x',{TIME_VAR},F|3]",
    ),
    "no features": (
        {"shape": (None, 3), "feature_dim_axis": None},
        f"[B,{TIME_VAR},3]",
    ),
    "no batch": ({"shape": (3,), "batch_dim_axis": None}, "[F|3]"),
    "dims": ({"dim_tags": [BATCH, TIME, FEATURES]}, "[B,T|'time',F|3]"),
    "dims in another order": (
        {"dim_tags": (TIME, BATCH, FEATURES), "available_for_inference": False},
        "[T|'time',B,F|3]",
    ),
    "dims by their newer name": ({"dims": (BATCH, TIME, FEATURES)}, "[B,T|'time',F|3]"),
    "which of the dims has the features": (
        {"dim_tags": [BATCH, TIME, WIDTH, FEATURES], "feature_dim": WIDTH},
        "[B,T|'time',F|2,3]",
    ),
    "labels of dims": (
        {"dim_tags": [BATCH, TIME], "sparse_dim": FEATURES},
        "[B,T|'time'], int32, dim 3",
    ),
    "a dim in the shape": ({"shape": (TIME, 3)}, "[B,T|'time',F|3]"),
    "dtype": ({"dim": 3, "dtype": "float64"}, f"[B,{TIME_VAR},F|3], float64"),
    "mask": ({"shape": (None,), "dtype": "bool"}, f"[B,{TIME_VAR}], bool"),
}


@pytest.mark.parametrize("name", FORMS)
def test_forms(name: str) -> None:
    opts, text = FORMS[name]
    assert repr(templates({"x": opts})["x"]) == text


def test_what_is_known_besides_the_axes() -> None:
    found = templates({"data": {"dim": 40}, "classes": {"dim": 1030, "sparse": True}})
    data, classes = found["data"], found["classes"]
    assert (data.dims[0], data.dtype, data.sparse_dim) == (BATCH, "float32", None)
    assert (classes.feature_dim, classes.classes) == (None, classes.sparse_dim)
    assert data.time_dim is data.dims[1] is not classes.time_dim
    more = {"vocab": ["a", "b", "c"], "available_for_inference": False}
    named = templates({"classes": {"dim": 3, "sparse": True, **more}})["classes"]
    assert (named.vocab, named.available_for_inference) == (("a", "b", "c"), False)


@pytest.mark.parametrize(
    ("opts", "axis"),
    [
        ({"dim": 3, "sparse": True, "same_dim_tags_as": {"t": "data"}}, 1),
        ({"dim": 3, "same_dim_tags_as": {"T": TIME, "F": FEATURES}}, 1),
        ({"dim": 3, "same_dim_tags_as": {"F": "data"}}, 2),
    ],
)
def test_dims_of_other_streams(opts: dict[str, Any], axis: int) -> None:
    data = {"dim_tags": [BATCH, TIME, FEATURES]}
    found = templates({"data": data, "x": opts})
    assert found["x"].dims[axis] is found["data"].dims[axis]


def canonical(opts: Any, values: Any, lengths: Any) -> tuple[Array, dict[str, list[int]]]:
    """Return a stream as a network passes it on."""
    streams = {"x": opts, "length": {"dim": 1}}
    net = Network({"output": {"class": "copy", "from": "data:x"}}, extern_data=streams)
    batch = {"x": (values, lengths), "length": (np.zeros([2, 1, 1]), [1, 1])}
    out = net.run(batch)["output"]
    return out.canonical(), {k: v.tolist() for k, v in out.lengths.items()}


def test_values_with_several_dynamic_axes() -> None:
    x = np.arange(2 * 4 * 3 * 3, dtype=np.float32).reshape(2, 4, 3, 3)
    found, lengths = canonical({"shape": (None, None, 3)}, x, [[4, 2], [1, 2]])
    needed = np.zeros([2, 4, 2, 3], np.float32)
    needed[0, :4, :1], needed[1, :2, :2] = x[0, :4, :1], x[1, :2, :2]
    np.testing.assert_array_equal(found, needed)
    assert lengths == {"time:var:extern_data:x": [4, 2], "spatial2:var:extern_data:x": [1, 2]}


@pytest.mark.parametrize(
    ("opts", "shape", "lengths", "order"),
    [
        (FORMS["time-major"][0], (4, 2, 3), [4, 2], (1, 0, 2)),
        (FORMS["time last"][0], (2, 3, 4), [4, 2], (0, 2, 1)),
        (FORMS["dims in another order"][0], (4, 2, 3), [4, 2], (1, 0, 2)),
        (FORMS["windows"][0], (2, 4, 5, 3), [4, 2], (0, 1, 2, 3)),
        (FORMS["wave"][0], (2, 4), [4, 2], (0, 1)),
        (FORMS["dtype"][0], (2, 4, 3), [4, 2], (0, 1, 2)),
        (FORMS["fixed"][0], (2, 3), None, (0, 1)),
        (FORMS["no batch"][0], (3,), None, (0,)),
    ],
)
def test_values_of_other_layouts(opts: Any, shape: Any, lengths: Any, order: Any) -> None:
    x = np.random.default_rng(1).standard_normal(shape)
    needed = x.transpose(order).astype(opts.get("dtype", "float32"))
    if lengths is not None:
        needed[1, 2:] = 0
    found, _ = canonical(opts, x, lengths)
    assert found.dtype == needed.dtype
    np.testing.assert_array_equal(found, needed)


def test_values_that_are_true_or_false_or_one_label() -> None:
    mask = np.array([[True, False], [True, True]])
    found, _ = canonical(FORMS["mask"][0], mask, [2, 1])
    np.testing.assert_array_equal(found, [[True, False], [True, False]])
    sparse = {"dim": 2, "sparse": True, "dtype": "bool"}
    np.testing.assert_array_equal(canonical(sparse, mask, [2, 1])[0], found)
    labels, lengths = canonical(FORMS["one label"][0], np.array([2, 1]), None)
    assert (labels.tolist(), lengths) == ([2, 1], {})


@pytest.mark.parametrize(
    ("opts", "values", "lengths", "text"),
    [
        (
            {"shape": (None, None, 3)},
            np.zeros([2, 4, 3, 3]),
            [4, 2],
            r"lengths of shape \(2,\), needed \[B,.*\] and lengths \[2, batch\] of time:var:ext",
        ),
        ({"dim": 3, "time_dim_axis": None}, np.zeros([2, 3]), [1, 1], "and None for the lengths"),
        (
            {"shape": (None, None), "dim": 4, "sparse": True},
            np.full([2, 2, 2], 4),
            [[2, 2], [0, 1]],
            r"found label 4 in 'x', needed 0 to 3",
        ),
        ({"shape": (None,), "dtype": "bool"}, np.zeros([2, 2]), [2, 2], "of float64, needed bool"),
        ({"dim": 3}, np.zeros([2, 3]), None, r"lengths of shape \(0,\), needed \[B,T"),
    ],
)
def test_mistakes_in_values(opts: Any, values: Any, lengths: Any, text: str) -> None:
    with pytest.raises(NetworkError, match=text):
        canonical(opts, values, lengths)


@pytest.mark.parametrize(
    ("opts", "text"),
    [
        ({"dimm": 40}, r"unknown key 'dimm'; did you mean 'dim'\?"),
        ({}, "found dim None, needed a whole number above 0, or a shape"),
        ({"sparse": True}, "found no dim of sparse data, needed a whole number above 0, or None"),
        ({"dim": "40"}, "found dim '40', needed a whole number above 0"),
        ({"dim": 0}, "found dim 0, needed a whole number above 0"),
        ({"shape": (None, -1)}, r"found shape \(None, -1\), needed a whole number above 0"),
        ({"shape": 3}, "found shape 3, needed a list, each a whole number"),
        (40, r"found 40, needed a dict such as \{'dim': 40\}"),
        ({"dim": 4, "dtype": "flaot32"}, r"unknown dtype 'flaot32'; did you mean 'float32'\?"),
        (
            {"dim": 4, "sparse": True, "dtype": "float32"},
            "found dtype 'float32' of sparse data, needed int32, int64 or bool",
        ),
        (
            {"dim": 3, "sparse": True, "dtype": "bool"},
            r"found \[B,T\|'time.*, bool, dim 3, needed dim 2 for bool",
        ),
        (
            {"dim": 4, "same_dim_tags_as": {"t": "dat"}},
            r"no stream 'dat' before it; did you mean 'data'\?",
        ),
        (
            {"dim": 5, "same_dim_tags_as": {"f": "data"}},
            r"found same_dim_tags_as \{'f': 'data'\} of \[B,T.*\], needed an axis of .*same size",
        ),
        (
            {"dim": 4, "same_dim_tags_as": {"x": "data"}},
            r"same_dim_tags_as: found no axis 'x' in \[B,T.*; try one of all, batch",
        ),
        ({"dim": 5, "shape": (None, 3)}, r"found dim 5, needed that of \[B,T.*,F\|3\]"),
        ({"dim": 3, "time_dim_axis": 0}, "found time_dim_axis 0, needed another than the batch's"),
        ({"shape": (None, 3), "time_dim_axis": 3}, "found time_dim_axis 3, needed one of 3 axes"),
        (
            {"shape": (None, None), "feature_dim_axis": 2},
            r"found feature_dim_axis 2, needed a fixed axis of \[None, None, None\]",
        ),
        (
            {"dim": 2, "sparse": True, "vocab": ["a", "b", "c"]},
            "found 3 names in vocab, needed 2",
        ),
        ({"dim_tags": [BATCH, TIME], "shape": (3,)}, "found dim_tags and shape, needed one of"),
        ({"dim_tags": [BATCH, TIME], "dims": [BATCH]}, "found dim_tags and dims, needed one of"),
        (
            {"dim_tags": [BATCH, FEATURES], "feature_dim": TIME},
            r"found feature_dim 'time', needed one of \[B, F\|3\]",
        ),
        ({"dim_tags": [BATCH, TIME, TIME]}, r"found dim_tags \[B, .*\], needed every dim once"),
        ({"dim_tags": [BATCH, 3]}, r"found dim_tags \[B, 3\], needed a list, each a Dim"),
    ],
)
def test_mistakes(opts: Any, text: str) -> None:
    with pytest.raises(NetworkError, match=f"^extern_data 'x': {text}"):
        templates({"data": {"dim": 4}, "x": opts})
