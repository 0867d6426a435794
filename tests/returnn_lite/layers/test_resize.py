"""Longer dims: against a loop over the entries."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from eager import Array, dense
from reference import check
from shapes import LENGTHS, STREAMS, batch, fails, network, rows, same, sequences

from returnn_lite.errors import NetworkError
from returnn_lite.network import Network

RESIZE: dict[str, Any] = {"class": "resize", "factor": 3, "axis": "T", "from": "data"}


@pytest.mark.parametrize("kind", ["nn", "linear", "fill"])
def test_frames(kind: str) -> None:
    more = {"fill_value": 0.5} if kind == "fill" else {}
    network = Network({"output": {**RESIZE, "kind": kind, **more}}, extern_data=STREAMS)

    def formula(_: Any, data: Array) -> list[Array]:
        found = []
        for x, n in zip(data, LENGTHS, strict=True):
            y = np.full((3 * n, 4), 0.5)
            for t in range(3 * n):
                after = x[min(t // 3 + 1, n - 1)] if kind == "linear" else x[t // 3]
                if kind != "fill" or t % 3 == 0:
                    y[t] = x[t // 3] + (t % 3) / 3 * (after - x[t // 3])
            found.append(y)
        return found

    check(network, {"data": dense(LENGTHS, 4)}, formula)


@pytest.mark.parametrize("kind", ["nn", "linear"])
@pytest.mark.parametrize("factor", [0.75, 2.5])
@pytest.mark.parametrize("where", ["layer", "config"])
def test_fractions(kind: str, factor: float, where: str) -> None:
    value = {"class": "constant", "value": factor, "dtype": "float32"}
    layer = {**RESIZE, "kind": kind, "factor": factor if where == "config" else "value"}
    needed = []
    for x in sequences():
        places = np.arange(np.ceil(len(x) * factor)) / factor
        before = places.astype(int)
        share = (places - before)[:, None] if kind == "linear" else 0.0
        after = x[np.minimum(before + 1, len(x) - 1)]
        needed.append(x[before] + share * (after - x[before]))
    same(rows(layer, value=value), needed)


def test_a_layer_may_say_how_often_a_frame_is_repeated() -> None:
    value = {"class": "constant", "value": 2}
    found = rows({**RESIZE, "factor": "value"}, value=value)
    same(found, [np.repeat(x, 2, axis=0) for x in sequences()])
    text = "found axis F.4, needed one with lengths for a layer as factor"
    with pytest.raises(NetworkError, match=text):
        network({**RESIZE, "factor": "value", "axis": "F"}, value=value)


def test_labels_and_features() -> None:
    for x, (labels, n) in zip(
        rows({**RESIZE, "from": "data:classes"}), zip(*batch()["classes"], strict=True), strict=True
    ):
        np.testing.assert_array_equal(x, np.repeat(labels[:n], 3))
    for x, y, n in zip(rows({**RESIZE, "axis": "F"}), batch()["data"][0], LENGTHS, strict=True):
        np.testing.assert_array_equal(x, np.repeat(y[:n], 3, axis=1))


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"factor": 0.0}, r"found factor 0.0 for .*, needed > 0, and no batch"),
        ({"axis": "B"}, r"output \(resize\): found factor 3 for B, needed > 0, and no batch"),
        ({"factor": "count"}, r"found factor \[B\], int32, needed one number, int32 or float32"),
        ({"factor": 1.5, "kind": "fill", "fill_value": 0}, "'fill', needed a whole number"),
        ({"kind": "fill"}, r"found kind 'fill' and fill_value None"),
        ({"kind": "linear", "from": "data:classes"}, r"needed floats for the kind 'linear'"),
    ],
)
def test_wrong_options(options: dict[str, Any], text: str) -> None:
    fails({**RESIZE, **options}, text)
