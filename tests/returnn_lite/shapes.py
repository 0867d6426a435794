"""A batch and a network for the tests of layers of shapes and axes."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from eager import Array, dense, run, sparse

from returnn_lite.errors import NetworkError
from returnn_lite.network import Network

LENGTHS = [4, 1, 3]
STREAMS = {
    "data": {"dim": 4},
    "other": {"dim": 4},
    "classes": {"dim": 5, "sparse": True, "same_dim_tags_as": {"t": "data"}},
    "positions": {"dim": 9, "sparse": True},
}
COUNT = {"class": "length", "from": "data"}
HALF = {"class": "eval", "eval": "source(0) // 2", "from": "count"}
HEADS = {"class": "split_dims", "axis": "F", "dims": [2, -1], "from": "data"}
BASE = {"count": COUNT, "half": HALF, "heads": HEADS}


def network(layer: dict[str, Any], **others: Any) -> Network:
    return Network({**BASE, **others, "output": layer}, extern_data=STREAMS)


def rows(layer: dict[str, Any], **others: Any) -> list[Array]:
    """Return what a layer gives for each sequence of `batch`, without padding."""
    out = run(network(layer, **others), batch())["output"]
    found = out.canonical()
    if out.time_dim is None or not out.time_dim.dynamic:
        return list(found)
    return [x[:n] for x, n in zip(found, out.lengths[out.time_dim.name], strict=True)]


def batch() -> dict[str, tuple[Array, list[int]]]:
    return {"data": dense(LENGTHS, 4), "classes": sparse(LENGTHS, 5)}


def sequences() -> list[Array]:
    return [x[:n] for x, n in zip(*dense(LENGTHS, 4), strict=True)]


def same(found: list[Array], needed: list[Array]) -> None:
    for x, y in zip(found, needed, strict=True):
        np.testing.assert_allclose(x, y, rtol=1e-5, atol=1e-6)


def fails(layer: dict[str, Any], text: str) -> None:
    with pytest.raises(NetworkError, match=text):
        network(layer)
