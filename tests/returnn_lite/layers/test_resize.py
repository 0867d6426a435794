"""Longer dims: against a loop over the entries."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from eager import Array, dense
from reference import check
from shapes import LENGTHS, STREAMS, batch, fails, rows

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
        ({"factor": 0.5}, r"option 'factor': found 0.5, needed a whole number"),
        ({"axis": "B"}, r"output \(resize\): found factor 3 for B, needed 1 or more, no batch"),
        ({"kind": "fill"}, r"found kind 'fill' and fill_value None"),
        ({"kind": "linear", "from": "data:classes"}, r"needed floats for the kind 'linear'"),
    ],
)
def test_wrong_options(options: dict[str, Any], text: str) -> None:
    fails({**RESIZE, **options}, text)
