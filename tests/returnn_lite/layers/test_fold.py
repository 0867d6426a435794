"""Overlap-add against a loop over the windows."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from eager import Array, dense, run
from reference import check

from returnn_lite.errors import NetworkError
from returnn_lite.network import Network

LENGTHS = [7, 2, 5]
STREAMS = {"data": {"dim": 2}}
WINDOW = {"class": "window", "window_size": 3, "from": "data"}
FOLD: dict[str, Any] = {
    "class": "fold",
    "in_spatial_dim": "T",
    "window_dim": "stag:window",
    "from": "scaled",
}


def network(window: dict[str, Any], **fold: Any) -> Network:
    """Return a network that weights the frames of windows, and folds these."""
    net = {
        "window": {**WINDOW, **window},
        "weights": {"class": "variable", "shape": [3, 2]},
        "scaled": {"class": "eval", "from": ["window", "weights"]},
        "output": {**FOLD, **fold},
    }
    net["scaled"]["eval"] = "source(0) * source(1)"
    return Network(net, extern_data=STREAMS)


@pytest.mark.parametrize("mode", ["sum", "mean"])
@pytest.mark.parametrize(("stride", "left"), [(1, None), (2, None), (3, 0), (2, 2)])
def test_windows_around_frames(mode: str, stride: int, left: int | None) -> None:
    more = {"stride": stride} | ({} if left is None else {"window_left": left})
    net = network(more, mode=mode, size_base="data", **more)
    before = 1 if left is None else left

    def formula(p: Any, data: Array) -> list[Array]:
        found = []
        for x, n in zip(data, LENGTHS, strict=True):
            y, count = np.zeros((n + 9, 2)), np.zeros((n + 9, 1))
            for start in range(-before, n - before, stride):
                for k in range(3):
                    frame = x[start + k] if 0 <= start + k < n else np.zeros(2)
                    y[start + k] += p["weights/weights"][k] * frame
                    count[start + k] += 1
            found.append((y / np.maximum(count, 1) if mode == "mean" else y)[:n])
        return found

    check(net, {"data": dense(LENGTHS, 2)}, formula)


@pytest.mark.parametrize("stride", [1, 2])
def test_windows_within_a_sequence(stride: int) -> None:
    options = {"stride": stride, "padding": "valid"}
    net = network(options, mode="mean", **options)

    def formula(p: Any, data: Array) -> list[Array]:
        found = []
        for x, n in zip(data, LENGTHS, strict=True):
            starts = range(0, n - 2, stride)
            # Windows at every frame give the sequence back, also one that is too short for any.
            y = np.zeros((n if stride == 1 else starts[-1] + 3 if starts else 0, 2))
            count = np.zeros((len(y), 1))
            for start in starts:
                y[start : start + 3] += p["weights/weights"] * x[start : start + 3]
                count[start : start + 3] += 1
            found.append(y / np.maximum(count, 1))
        return found

    check(net, {"data": dense(LENGTHS, 2)}, formula)


def test_the_mean_of_plain_windows_is_the_sequence() -> None:
    for options in ({}, {"padding": "valid"}, {"stride": 2}):
        window = {**WINDOW, **options}
        fold = {**FOLD, **options, "mode": "mean", "size_base": "data", "from": "window"}
        x, _ = dense([7, 5], 2)
        out = run(
            Network({"window": window, "output": fold}, extern_data=STREAMS),
            {"data": (x, [7, 5])},
        )["output"]
        x[1, 5:] = 0
        np.testing.assert_allclose(out.canonical(), x, atol=1e-6)


@pytest.mark.parametrize(
    ("fold", "text"),
    [
        ({"mode": "max"}, r"option 'mode': found 'max', needed 'sum' or 'mean'"),
        ({"stride": 4}, r"output \(fold\): found stride 4, needed 1 to the size 3"),
        ({"window_dim": "B"}, r"found windows B along .*, needed a fixed size"),
        ({"window_left": 1, "window_right": 0}, r"needed window_left \+ 1 \+ window_right 3"),
    ],
)
def test_wrong_options(fold: dict[str, Any], text: str) -> None:
    with pytest.raises(NetworkError, match=text):
        network({}, **{"mode": "sum", **fold})
