"""Masked computation: against numpy, in loops and out of them, and the names of parameters."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from eager import Array, dense, run
from reference import check

from returnn_lite.dim import SpatialDim
from returnn_lite.errors import NetworkError
from returnn_lite.network import Network

LENGTHS = [5, 2, 3]
STREAMS = {
    "data": {"dim": 2},
    "classes": {"dim": 3, "sparse": True, "same_dim_tags_as": {"t": "data"}},
}
BOOL = {"dtype": "bool"}
MASK = {"class": "compare", "kind": "not_equal", "value": 0, "from": "data:classes"}
LABELS = np.array([[1, 0, 2, 2, 0], [0, 0, 0, 0, 0], [0, 1, 1, 0, 0]], np.int32)


def test_out_of_a_loop_a_masked_computation_sees_the_frames_with_a_true_mask() -> None:
    net = {
        "mask": MASK,
        "output": {
            "class": "masked_computation",
            "mask": "mask",
            "from": "data",
            "unit": {"class": "subnetwork", "subnetwork": {"output": _sum()}},
        },
        "labels": {
            "class": "masked_computation",
            "mask": "mask",
            "from": "data:classes",
            "unit": {"class": "copy"},
        },
    }
    network = Network(net, extern_data=STREAMS, outputs=["output", "labels"])

    def formula(p: Any, data: Array) -> list[Array]:
        found = []
        for b, n in enumerate(LENGTHS):
            frames = data[b, :n][LABELS[b, :n] != 0]
            found.append(np.tanh(frames @ p["output/output/W"] + p["output/output/b"]))
        return found

    batch = {"data": dense(LENGTHS, 2), "classes": (LABELS, LENGTHS)}
    check(network, batch, formula)
    labels = run(network, batch)["labels"]
    assert next(iter(labels.lengths.values())).tolist() == [3, 0, 2]
    assert labels.canonical().tolist() == [[1, 2, 2], [0, 0, 0], [1, 1, 0]]


def _sum() -> dict[str, Any]:
    return {"class": "linear", "activation": "tanh", "n_out": 2, "from": "data"}


@pytest.mark.parametrize("moved", [True, False])
def test_in_a_loop_a_masked_computation_holds_its_output_and_state(moved: bool) -> None:
    masked = {
        "class": "masked_computation",
        "mask": "mask",
        "from": "data:source",
        "initial_output": 0.5,
        "unit": {
            "class": "subnetwork",
            "subnetwork": {
                "sum": {"class": "combine", "kind": "add", "from": ["data", "prev:sum"]},
                "output": {"class": "copy", "from": "sum"},
            },
        },
    }
    unit = {"mask": MASK, "output": masked}
    rec = {"class": "rec", "from": "data", "unit": unit, "optimize_move_layers_out": moved}
    network = Network({"output": rec}, extern_data=STREAMS)

    def formula(p: Any, data: Array) -> list[Array]:
        found = []
        for b, n in enumerate(LENGTHS):
            total, held, rows = np.zeros(2), np.full(2, 0.5), []
            for x, label in zip(data[b, :n], LABELS[b], strict=False):
                if label:
                    total = held = total + x
                rows.append(held)
            found.append(np.array(rows))
        return found

    check(network, {"data": dense(LENGTHS, 2), "classes": (LABELS, LENGTHS)}, formula)


def _parts(moved: bool) -> dict[str, Any]:
    """Return a loop whose output takes layers in the unit of a masked_computation."""
    subnetwork = {
        "sum": {"class": "cumsum", "from": "base:data:source", "initial_output": 1},
        "row": {"class": "linear", "activation": None, "n_out": 2},
        "output": {"class": "copy", "from": "data"},
    }
    unit = {
        "mask": MASK,
        "masked": {
            **{"class": "masked_computation", "mask": "mask", "from": "data:source"},
            "unit": {"class": "subnetwork", "subnetwork": subnetwork},
        },
        "output": {"class": "copy", "from": ["masked/sum", "masked/row"]},
    }
    subnetwork["row"]["from"] = "sum" if moved else ["sum", "base:prev:output"]
    return {"class": "rec", "from": "data", "unit": unit}


@pytest.mark.parametrize("moved", [True, False])
def test_layers_in_a_masked_unit_are_held_for_others_too(moved: bool) -> None:
    network = Network({"output": _parts(moved)}, extern_data=STREAMS)

    def formula(p: Any, data: Array) -> list[Array]:
        w, bias = (p[f"output/rec/masked/row/{name}"] for name in "Wb")
        found = []
        for b, n in enumerate(LENGTHS):
            total, row, rows = np.ones(2), np.zeros(2), [np.zeros(4)]
            for x, label in zip(data[b, :n], LABELS[b], strict=False):
                if label:
                    total = total + x
                    row = (total if moved else np.concatenate([total, rows[-1]])) @ w + bias
                rows.append(np.concatenate([total, row]))
            found.append(np.array(rows[1:]))
        return found

    check(network, {"data": dense(LENGTHS, 2), "classes": (LABELS, LENGTHS)}, formula)


def test_out_of_a_loop_layers_in_a_masked_unit_are_those_of_its_frames() -> None:
    subnetwork = {"twice": {"class": "eval", "eval": "source(0) * 2", "from": "data"}}
    subnetwork["output"] = {"class": "copy", "from": "data"}
    masked = {"class": "masked_computation", "mask": "mask", "from": "data"}
    masked["unit"] = {"class": "subnetwork", "subnetwork": subnetwork}
    output = {"class": "copy", "from": "masked/twice"}
    network = Network({"mask": MASK, "masked": masked, "output": output}, extern_data=STREAMS)

    def formula(p: Any, data: Array) -> list[Array]:
        return [2 * data[b, :n][LABELS[b, :n] != 0] for b, n in enumerate(LENGTHS)]

    check(network, {"data": dense(LENGTHS, 2), "classes": (LABELS, LENGTHS)}, formula)


@pytest.mark.parametrize("moved", [True, False])
def test_a_mask_that_is_the_same_for_all_sequences(moved: bool) -> None:
    masked = {"class": "masked_computation", "mask": "odd", "from": "data:source"}
    unit = {
        "odd": {"class": "eval", "from": ":i", "eval": "source(0) % 2 == 1", "out_type": BOOL},
        "output": {**masked, "unit": {"class": "copy"}},
    }
    rec = {"class": "rec", "from": "data", "unit": unit, "optimize_move_layers_out": moved}
    network = Network({"output": rec}, extern_data=STREAMS)

    def formula(p: Any, data: Array) -> list[Array]:
        held = [np.concatenate([[0 * x[0]], x[1::2]]) for x in data]
        return [h[(np.arange(n) + 1) // 2] for h, n in zip(held, LENGTHS, strict=True)]

    check(network, {"data": dense(LENGTHS, 2)}, formula)


def test_parameters_of_a_masked_layer_have_its_name() -> None:
    rec = {
        "class": "rec",
        "from": "data",
        "unit": {
            "mask": MASK,
            "slow": {
                "class": "masked_computation",
                "mask": "mask",
                "from": "data:classes",
                "unit": {
                    "class": "subnetwork",
                    "subnetwork": {
                        "embed": {
                            "class": "linear",
                            "with_bias": False,
                            "n_out": 2,
                            "from": "data",
                        },
                        "output": {"class": "rec", "unit": "lstm", "n_out": 2, "from": "embed"},
                    },
                },
            },
            "output": {"class": "linear", "n_out": 2, "from": "slow"},
        },
    }
    network = Network({"output": rec}, extern_data=STREAMS)
    assert set(network.param_shapes()) == {
        "output/rec/output/W",
        "output/rec/output/b",
        "output/rec/slow/embed/W",
        "output/rec/slow/output/rec/W",
        "output/rec/slow/output/rec/W_re",
        "output/rec/slow/output/rec/b",
    }


SUM = {"class": "combine", "kind": "add"}
UNITS = {
    "unit": {**SUM, "from": ["data", "twice", "prev:twice"]},
    "subnetwork": {
        "class": "subnetwork",
        "from": "data",
        "subnetwork": {"output": {**SUM, "from": ["data", "base:twice", "base:prev:twice"]}},
    },
}


@pytest.mark.parametrize("moved", [True, False])
@pytest.mark.parametrize("unit", UNITS)
def test_a_masked_unit_takes_layers_of_the_loop_by_their_names(unit: str, moved: bool) -> None:
    layers = {
        "mask": MASK,
        "twice": {"class": "eval", "eval": "2 * source(0)", "from": "data:source"},
        "output": {
            **{"class": "masked_computation", "mask": "mask", "from": "data:source"},
            "unit": UNITS[unit],
        },
    }
    rec = {"class": "rec", "from": "data", "unit": layers, "optimize_move_layers_out": moved}

    def formula(p: Any, data: Array) -> list[Array]:
        found = []
        for b, n in enumerate(LENGTHS):
            held, rows, before = np.zeros(2), [], np.zeros(2)
            for x, label in zip(data[b, :n], LABELS[b], strict=False):
                held = 3 * x + before if label else held
                before = 2 * x
                rows.append(held)
            found.append(np.array(rows))
        return found

    network = Network({"output": rec}, extern_data=STREAMS)
    check(network, {"data": dense(LENGTHS, 2), "classes": (LABELS, LENGTHS)}, formula)


def test_out_of_a_loop_a_masked_unit_takes_frames_of_layers_around() -> None:
    net = {
        "mask": MASK,
        "twice": {"class": "eval", "eval": "2 * source(0)", "from": "data"},
        "whole": {"class": "reduce", "mode": "mean", "axis": "T", "from": "data"},
        "output": {
            **{"class": "masked_computation", "mask": "mask", "from": "data"},
            "unit": {**SUM, "from": ["data", "twice", "whole"]},
        },
    }

    def formula(p: Any, data: Array) -> list[Array]:
        rows = zip(data, LABELS, LENGTHS, strict=True)
        return [3 * x[:n][m[:n] != 0] + x[:n].mean(axis=0) for x, m, n in rows]

    batch = {"data": dense(LENGTHS, 2), "classes": (LABELS, LENGTHS)}
    check(Network(net, extern_data=STREAMS), batch, formula)


def test_a_masked_unit_with_masked_from_takes_nothing_else() -> None:
    unit = {"class": "linear", "n_out": 2, "from": ["data", "mask"]}
    masked = {"class": "masked_computation", "masked_from": "base:data", "mask": "mask"}
    loop = {"mask": MASK, "output": {**masked, "unit": unit}}
    with pytest.raises(NetworkError, match=r"found .*mask in the unit with masked_from, needed it"):
        Network({"output": {"class": "rec", "from": "data", "unit": loop}}, extern_data=STREAMS)


def test_a_mask_that_is_none() -> None:
    net = {
        "output": {
            "class": "masked_computation",
            "mask": "data:classes",
            "from": "data",
            "unit": {"class": "copy"},
        }
    }
    with pytest.raises(
        NetworkError,
        match=r"output \(masked_computation\): found mask \[B,T.*int32, dim 3, needed bool",
    ):
        Network(net, extern_data=STREAMS)
    labels = {**STREAMS, "classes": {"dim": 3, "sparse": True}}
    net["output"]["mask"] = "mask"
    with pytest.raises(NetworkError, match=r"needed bool over the time dim of"):
        Network({"mask": MASK, **net}, extern_data=labels)


def test_masked_frames_of_one_dim_go_together() -> None:
    frames = SpatialDim("frames")
    masked = {"class": "masked_computation", "out_spatial_dim": frames, "mask": "mask"}
    masked |= {"unit": {"class": "copy"}, "from": "data"}
    net = {
        "mask": MASK,
        "other": {**MASK, "kind": "equal"},
        "double": {"class": "eval", "eval": "2.0 * source(0)", "from": "data"},
        "a": masked,
        "b": {**masked, "from": "double"},
        "output": {"class": "dot", "reduce": "F", "var1": None, "var2": None, "from": ["a", "b"]},
    }
    net["output"] |= {"add_var2_if_empty": False}
    x, _ = dense(LENGTHS, 2)
    batch = {"data": (x, LENGTHS), "classes": (LABELS, LENGTHS)}
    found = run(Network(net, extern_data=STREAMS), batch)["output"].canonical()
    for row, labels, n, y in zip(x, LABELS, LENGTHS, found, strict=True):
        needed = 2.0 * np.sum(row[:n][labels[:n] != 0] ** 2, axis=-1)
        np.testing.assert_allclose(y[: len(needed)], needed, rtol=1e-5)
    net["b"] = {**net["b"], "mask": "other"}
    text = r"b \(masked_computation\): found other numbers of frames than .*, needed the same"
    with pytest.raises(NetworkError, match=text):
        Network(net, extern_data=STREAMS).run(batch)
