"""Subnetworks and masked computation: against numpy, the names of parameters, load_on_init."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from eager import Array, dense, random_parameters, run
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
NESTED = {
    "hidden": {"class": "linear", "activation": "tanh", "n_out": 2, "from": ["data", "base:data"]},
    "output": {"class": "linear", "activation": None, "n_out": 3, "from": "hidden"},
}


def test_a_subnetwork_is_its_layers_and_sees_those_around() -> None:
    net = {
        "double": {"class": "eval", "eval": "2.0 * source(0)", "from": "data"},
        "output": {"class": "subnetwork", "subnetwork": NESTED, "from": "double"},
        "inner": {"class": "copy", "from": "output/hidden"},
    }
    network = Network(net, extern_data=STREAMS, outputs=["output", "inner"])
    assert set(network.param_shapes()) == {
        *("output/hidden/W", "output/hidden/b", "output/output/W", "output/output/b"),
    }

    def formula(p: Any, data: Array) -> list[Array]:
        x = np.concatenate([2 * data, data], axis=-1)
        h = np.tanh(x @ p["output/hidden/W"] + p["output/hidden/b"])
        y = h @ p["output/output/W"] + p["output/output/b"]
        return [x[:n] for x, n in zip(y, LENGTHS, strict=True)]

    check(network, {"data": dense(LENGTHS, 2)}, formula)


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


# -- load_on_init


def test_load_on_init_takes_parameters_from_a_checkpoint(tmp_path: Path) -> None:
    small = Network({**NESTED, "hidden": {**NESTED["hidden"], "from": "data"}}, extern_data=STREAMS)
    values = random_parameters(small)
    small.save(tmp_path / "small")
    layers = {**NESTED, "hidden": {**NESTED["hidden"], "from": "data"}}
    sub = {"class": "subnetwork", "subnetwork": layers, "from": "data"}
    sub["load_on_init"] = str(tmp_path / "small")
    net = {"sub": sub, "output": {"class": "linear", "n_out": 1, "from": "sub"}}
    big = Network(net, extern_data=STREAMS)
    for name, value in values.items():
        np.testing.assert_array_equal(big.get_params()[f"sub/{name}"], value)
    batch = {"data": dense(LENGTHS, 2)}
    np.testing.assert_array_equal(
        run(big, batch, ["sub"])["sub"].values, run(small, batch)["output"].values
    )
    big.save(tmp_path / "big")
    # What load_on_init gives need not be in the checkpoint of the whole.
    other = Network({"output": net["output"] | {"from": "data"}}, extern_data=STREAMS)
    other.save(tmp_path / "other")
    with pytest.raises(NetworkError, match=r"parameter output/W: found shape \(2, 1\), needed"):
        big.load(tmp_path / "other")


def test_a_layer_fetched_later_leaves_what_was_loaded(tmp_path: Path) -> None:
    """The parameters exist when `run` builds what it fetches; only new ones are made then."""
    layers = {"hidden": {**_sum(), "from": "data"}, "output": {"class": "copy", "from": "hidden"}}
    small = Network(layers, extern_data=STREAMS)
    values = random_parameters(small)
    small.save(tmp_path / "small")
    sub = {"class": "subnetwork", "subnetwork": layers, "load_on_init": str(tmp_path / "small")}
    late = {"class": "linear", "n_out": 1, "from": "sub"}
    net = Network({"sub": sub, "late": late}, extern_data=STREAMS, outputs=["sub"])
    net.set_params({f"sub/{name}": value for name, value in values.items()})
    out = net.run({"data": dense(LENGTHS, 2)}, fetch=["sub", "late"])
    assert out["late"].values.shape == (*out["sub"].values.shape[:2], 1)
    np.testing.assert_array_equal(net.get_params()["sub/hidden/W"], values["hidden/W"])


@pytest.mark.parametrize(
    ("name", "source", "text"),
    [
        (
            "hiden",
            "data",
            r"found 'hidden/W' of shape none in .*, needed \(2, 2\); did you mean 'h",
        ),
        ("hidden", ["data", "data"], r"found 'hidden/W' of shape \(4, 2\) in .*, needed \(2, 2\)$"),
    ],
)
def test_a_checkpoint_that_does_not_fit(tmp_path: Path, name: str, source: Any, text: str) -> None:
    stored = {name: {**_sum(), "from": source}, "output": {"class": "copy", "from": name}}
    Network(stored, extern_data=STREAMS).save(tmp_path / "small")
    layers = {"hidden": _sum(), "output": {"class": "copy", "from": "hidden"}}
    sub = {"class": "subnetwork", "subnetwork": layers, "from": "data"}
    net = {"sub": {**sub, "load_on_init": str(tmp_path / "small")}}
    with pytest.raises(NetworkError, match=r"^sub \(subnetwork\): " + text):
        Network(net, extern_data=STREAMS, outputs=["sub"]).get_params()


def test_mistakes(tmp_path: Path) -> None:
    sub = {"class": "subnetwork", "subnetwork": {"out": {"class": "copy"}}, "from": "data"}
    with pytest.raises(NetworkError, match=r"output \(subnetwork\): no layer 'output'; did you"):
        Network({"output": sub}, extern_data=STREAMS)
    missing = {**sub, "subnetwork": NESTED, "load_on_init": str(tmp_path / "x")}
    with pytest.raises(NetworkError, match=r"x: found no checkpoint, needed the file .*x\.index"):
        Network({"output": missing}, extern_data=STREAMS).get_params()
    sized = {**sub, "subnetwork": NESTED, "n_out": 5}
    with pytest.raises(NetworkError, match=r"output \(subnetwork\): found n_out 5, needed that of"):
        Network({"output": sized}, extern_data=STREAMS)


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


def test_in_a_step_a_subnetwork_needs_what_its_output_needs() -> None:
    """Others of its layers may wait for a choice that depends on the output."""
    embed = {"class": "linear", "activation": None, "with_bias": False, "n_out": 3}
    kept = {"class": "switch", "condition": "base:new", "true_from": "e", "false_from": "prev:held"}
    inner: dict[str, Any] = {
        "e": {**embed, "from": "base:output", "initial_output": 0},
        "held": {**kept, "initial_output": 0},
        "output": {"class": "softmax", "n_out": 4, "from": ["prev:held", "base:frame"]},
    }
    flat = json.loads(json.dumps(inner).replace("base:", ""))
    flat["model"] = {**flat.pop("output"), "name_scope": "output"}
    unit = {
        "frame": {"class": "linear", "activation": "tanh", "n_out": 2, "from": "data:source"},
        "new": {"class": "compare", "kind": "not_equal", "value": 3, "from": "output"},
        "output": {"class": "choice", "from": "model", "beam_size": 3, "target": "labels"},
    }
    unit["output"]["initial_output"] = 0
    model = {"class": "subnetwork", "from": [], "name_scope": "", "subnetwork": inner}
    found = []
    for layers in ({"model": model}, flat):
        loop = {"class": "rec", "from": "data", "target": "labels", "unit": {**layers, **unit}}
        streams = {"data": {"dim": 2}, "labels": {"dim": 4, "sparse": True}}
        network = Network({"output": loop}, extern_data=streams, search=True)
        random_parameters(network)
        found.append((network.param_shapes(), run(network, {"data": dense([5, 3], 2)})["output"]))
    (names, out), (others, needed) = found
    assert names == others
    np.testing.assert_array_equal(out.values, needed.values)
    np.testing.assert_allclose(out.scores, needed.scores, rtol=1e-5)


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
