"""The data streams of a network: forms of the declaration, and mistakes in it."""

from __future__ import annotations

from typing import Any

import pytest

from returnn_lite.dim import BATCH
from returnn_lite.errors import NetworkError
from returnn_lite.extern_data import templates


def test_dense_and_sparse_streams() -> None:
    found = templates({"data": {"dim": 40}, "classes": {"dim": 1030, "sparse": True}})
    data, classes = found["data"], found["classes"]
    assert repr(data) == "[B,T|'time:var:extern_data:data',F|40]"
    assert repr(classes) == "[B,T|'time:var:extern_data:classes'], int32, dim 1030"
    assert (data.dims[0], data.dtype, data.sparse_dim) == (BATCH, "float32", None)
    assert (classes.feature_dim, classes.classes, classes.dtype) == (
        None,
        classes.sparse_dim,
        "int32",
    )
    assert data.time_dim is not classes.time_dim
    assert data.time_dim is data.dims[1]


def test_the_short_form_and_further_keys() -> None:
    found = templates(
        {
            "data": (40, 2),
            "classes": [3, 1],
            "delayed": {
                "dim": 3,
                "sparse": True,
                "same_dim_tags_as": {"t": "classes"},
                "available_for_inference": False,
                "vocab": ["a", "b", "c"],
            },
        }
    )
    assert [repr(found[k]).count("F|40") for k in ("data", "classes")] == [1, 0]
    assert found["delayed"].time_dim is found["classes"].time_dim
    assert found["delayed"].vocab == ("a", "b", "c")
    assert not found["delayed"].available_for_inference


@pytest.mark.parametrize(
    ("opts", "text"),
    [
        ({"dims": 40}, r"extern_data 'x': unknown key 'dims'; did you mean 'dim'\?"),
        ({}, r"extern_data 'x': found dim None, needed a whole number above 0"),
        ({"dim": "40"}, r"extern_data 'x': found dim '40', needed a whole number above 0"),
        ({"dim": 0}, r"extern_data 'x': found dim 0, needed"),
        (40, r"extern_data 'x': found 40, needed a dict such as \{'dim': 40\}"),
        ({"dim": 4, "dtype": "flaot32"}, r"unknown dtype 'flaot32'; did you mean 'float32'\?"),
        (
            {"dim": 4, "sparse": True, "dtype": "float32"},
            r"extern_data 'x': found dtype 'float32' of sparse data, needed int32 or int64",
        ),
        (
            {"dim": 4, "same_dim_tags_as": {"t": "dat"}},
            r"extern_data 'x': no stream 'dat' before it; did you mean 'data'\?",
        ),
        (
            {"dim": 4, "same_dim_tags_as": {"f": "data"}},
            r"extern_data 'x': found same_dim_tags_as \{'f': 'data'\}, needed \{'t': a stream\}",
        ),
    ],
)
def test_mistakes(opts: Any, text: str) -> None:
    with pytest.raises(NetworkError, match=text):
        templates({"data": {"dim": 4}, "x": opts})
