"""Subnetworks: against numpy, and load_on_init."""

from __future__ import annotations

import json
from pathlib import Path
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
}
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


def _sum() -> dict[str, Any]:
    return {"class": "linear", "activation": "tanh", "n_out": 2, "from": "data"}


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
