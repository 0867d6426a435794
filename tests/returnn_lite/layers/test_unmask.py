"""Masks undone: the frames that a masked computation left out have the last one's output."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from eager import Array, dense, random_parameters, run
from reference import check

from returnn_lite.errors import NetworkError
from returnn_lite.network import Network

LENGTHS = [5, 2, 3]
STREAMS = {
    "data": {"dim": 2},
    "classes": {"dim": 3, "sparse": True, "same_dim_tags_as": {"t": "data"}},
    "labels": {"dim": 3, "sparse": True},
}
MASK = {"class": "compare", "kind": "not_equal", "value": 0, "from": "data:classes"}
CLASSES = np.array([[1, 0, 2, 2, 0], [0, 0, 0, 0, 0], [0, 1, 1, 0, 0]], np.int32)
LINEAR = {"class": "linear", "activation": "tanh", "n_out": 2}
MASKED = {"class": "masked_computation", "mask": "mask", "from": "data"}


@pytest.mark.parametrize("of_unit", [True, False])
def test_out_of_a_loop_every_frame_has_the_output_of_the_last_true_mask(of_unit: bool) -> None:
    first = {"initial_output": 0.5}
    masked = {**MASKED, "unit": LINEAR | first} if of_unit else {**MASKED, "unit": LINEAR, **first}
    net = {
        "mask": MASK,
        "masked": masked,
        "output": {"class": "unmask", "mask": "mask", "from": "masked"},
    }
    network = Network(net, extern_data=STREAMS)

    def formula(p: Any, data: Array) -> list[Array]:
        found = []
        for b, n in enumerate(LENGTHS):
            held, rows = np.full(2, 0.5), []
            for x, label in zip(data[b, :n], CLASSES[b], strict=False):
                held = np.tanh(x @ p["masked/W"] + p["masked/b"]) if label else held
                rows.append(held)
            found.append(np.array(rows))
        return found

    check(network, {"data": dense(LENGTHS, 2), "classes": (CLASSES, LENGTHS)}, formula)


@pytest.mark.parametrize("loop", [False, True])
def test_the_first_of_the_masked_frames_may_be_that_before_all_true_masks(loop: bool) -> None:
    """As behind a pad by one frame, where a language model has what no label is before."""
    label = {
        "class": "masked_computation",
        "mask": "mask",
        "from": "data",
        "unit": {"class": "copy"},
    }
    pad = {"class": "pad", "axes": "T", "padding": (1, 0), "value": 7, "from": "label"}
    unmask = {"class": "unmask", "mask": "mask", "from": "more", "skip_initial": True}
    net: dict[str, Any] = {"mask": MASK, "label": label, "more": pad, "output": unmask}
    if loop:
        unit = {"mask": MASK, "output": {**unmask, "from": "base:more"}}
        net["output"] = {"class": "rec", "from": "data", "unit": unit}
    network = Network(net, extern_data=STREAMS)
    data = dense(LENGTHS, 2)
    found = run(network, {"data": data, "classes": (CLASSES, LENGTHS)})["output"].canonical()
    for b, n in enumerate(LENGTHS):
        held = np.full(2, 7.0)
        for t in range(n):
            held = data[0][b, t] if CLASSES[b, t] else held
            np.testing.assert_array_equal(found[b, t], held)


def test_masked_from_needs_no_mask_which_else_is_needed() -> None:
    lm = {"class": "masked_computation", "mask": None, "from": [], "unit": {"class": "copy"}}
    unit: dict[str, Any] = {
        "mask": MASK,
        "lm": {**lm, "masked_from": "base:padded"},
        "output": {"class": "unmask", "mask": "mask", "from": "lm", "skip_initial": True},
    }
    pad = {"class": "pad", "axes": "T", "padding": (1, 0), "from": "data:labels"}
    net = {"padded": pad, "output": {"class": "rec", "from": "data", "unit": unit}}
    labels = np.array([[1, 2, 1], [0, 0, 0], [2, 2, 0]], np.int32), [3, 0, 2]
    batch = {"data": dense(LENGTHS, 2), "classes": (CLASSES, LENGTHS), "labels": labels}
    found = run(Network(net, extern_data=STREAMS), batch)["output"].canonical()
    assert found.tolist() == [[1, 1, 2, 1, 1], [0, 0, 0, 0, 0], [0, 2, 2, 0, 0]]
    with pytest.raises(NetworkError, match=r"missing option 'mask'; or try masked_from"):
        Network({"output": {**lm, "from": "data"}}, extern_data=STREAMS)


@pytest.mark.parametrize("moved", [True, False])
def test_in_a_loop_the_masked_frames_may_be_given_as_a_whole(moved: bool) -> None:
    unit = {
        "mask": {**MASK, "initial_output": True},
        "lm": {
            **MASKED,
            "mask": "prev:mask",
            "masked_from": "base:embedded",
            "from": "needs_parameters",
            "unit": {"class": "cumsum", "axis": "T"},
        },
        "needs_parameters": {**LINEAR, "from": "data:source"},
        "output": {"class": "unmask", "mask": "prev:mask", "from": "lm"},
    }
    rec = {"class": "rec", "from": "data", "unit": unit, "optimize_move_layers_out": moved}
    net = {"embedded": {**LINEAR, "from": "data:labels"}, "output": rec}
    network = Network(net, extern_data=STREAMS)
    assert set(network.param_shapes()) == {"embedded/W", "embedded/b"}
    labels = np.array([[1, 2, 0, 1], [2, 0, 0, 0], [0, 1, 2, 0]], np.int32), [4, 1, 3]

    def formula(p: Any, data: Array) -> list[Array]:
        found = []
        for b, n in enumerate(LENGTHS):
            sums = np.cumsum(np.tanh(p["embedded/W"][labels[0][b]] + p["embedded/b"]), axis=0)
            count = np.cumsum(np.concatenate([[0], CLASSES[b, : n - 1] != 0]))
            found.append(sums[count])
        return found

    batch = {"data": dense(LENGTHS, 2), "classes": (CLASSES, LENGTHS), "labels": labels}
    check(network, batch, formula)


def test_in_a_loop_the_output_of_a_masked_computation_has_every_step() -> None:
    unit: dict[str, Any] = {
        "mask": MASK,
        "slow": {**MASKED, "from": "data:source", "unit": LINEAR},
        "output": {"class": "unmask", "mask": "mask", "from": "slow"},
        "held": {"class": "copy", "from": "slow", "is_output_layer": True},
    }
    network = Network(
        {"output": {"class": "rec", "from": "data", "unit": unit}}, extern_data=STREAMS
    )
    random_parameters(network)
    batch = {"data": dense(LENGTHS, 2), "classes": (CLASSES, LENGTHS)}
    out = run(network, batch, ["output", "output/held"])
    np.testing.assert_array_equal(out["output"].values, out["output/held"].values)


@pytest.mark.parametrize(
    ("layers", "text"),
    [
        ({"output": {"from": "data", "mask": "data"}}, "found mask .*, needed bool"),
        ({"output": {"from": "mean", "mask": "mask"}}, "found source .*, needed time dims"),
        ({"output": {"from": ["data", "data"], "mask": "mask"}}, "found 2 sources, needed one"),
    ],
)
def test_mistakes(layers: dict[str, Any], text: str) -> None:
    mean = {"class": "reduce", "mode": "mean", "axis": "T", "from": "data"}
    net = {"mask": MASK, "mean": mean, "output": {"class": "unmask", **layers["output"]}}
    with pytest.raises(NetworkError, match=rf"output \(unmask\): {text}"):
        Network(net, extern_data=STREAMS)


def test_masked_from_needs_time() -> None:
    mean = {"class": "reduce", "mode": "mean", "axis": "T", "from": "data"}
    net = {"mask": MASK, "mean": mean}
    net["output"] = {**MASKED, "masked_from": "mean", "unit": LINEAR}
    with pytest.raises(NetworkError, match=r"found masked_from .*, needed a time dim"):
        Network(net, extern_data=STREAMS)
