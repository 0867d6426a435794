"""The options that every layer has, and the network handles."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from eager import Array, dense, random_parameters, run, sparse

from returnn_lite.errors import NetworkError
from returnn_lite.network import Network

LENGTHS = [4, 2]
STREAMS = {
    "data": {"dim": 3},
    "classes": {"dim": 4, "sparse": True, "same_dim_tags_as": {"t": "data"}},
}
BATCH = {"data": dense(LENGTHS, 3), "classes": sparse(LENGTHS, 4)}
LINEAR = {"class": "linear", "activation": None}


def make(net: dict[str, Any], **more: Any) -> Network:
    return Network(net, extern_data=STREAMS, **more)


# -- reuse_params


def test_a_layer_reuses_all_parameters_of_another() -> None:
    first = {**LINEAR, "n_out": 3, "from": "data"}
    network = make({"a": first, "output": {**LINEAR, "n_out": 3, "from": "a", "reuse_params": "a"}})
    assert list(network.param_shapes()) == ["a/W", "a/b"]
    p = random_parameters(network)
    x = BATCH["data"][0][0]
    found = run(network, BATCH)["output"].values[0]
    np.testing.assert_allclose(
        found, (x @ p["a/W"] + p["a/b"]) @ p["a/W"] + p["a/b"], rtol=1e-4, atol=1e-5
    )


TIED: dict[str, dict[str, Any]] = {
    "transposed": {
        "reuse_params": {"map": {"W": "embed", "b": None}},
        "use_transposed_weights": True,
    },
    "custom": {
        "reuse_params": {
            "map": {
                "W": {
                    "reuse_layer": "embed",
                    "custom": lambda reuse_layer, **_: transposed(reuse_layer.params["W"]),
                },
                "b": None,
            }
        }
    },
    "the missing are made": {
        "reuse_params": {"reuse_layer": "embed", "auto_create_missing": True},
        "use_transposed_weights": True,
    },
    "the output of a layer": {"reuse_params": {"map": {"W": {"layer_output": "w"}, "b": None}}},
}


def transposed(x: Any) -> Any:
    import tensorflow as tf

    return tf.transpose(x)


@pytest.mark.parametrize("how", TIED)
def test_an_output_layer_is_tied_to_the_embedding(how: str) -> None:
    embed = {**LINEAR, "n_out": 3, "with_bias": False, "from": "data:classes"}
    net = {"embed": embed, "output": {**LINEAR, "n_out": 4, "from": "embed", **TIED[how]}}
    if "output of" in how:
        net["w"] = {"class": "variable", "shape": (3, 4)}
    network = make(net)
    own = ["embed/W", "output/b", *(["w/w"] if "w" in net else [])]
    assert list(network.param_shapes()) == own
    p = random_parameters(network)
    weights = p["w/w"] if "w" in net else p["embed/W"].T
    needed = p["embed/W"][BATCH["classes"][0][0]] @ weights + p["output/b"]
    np.testing.assert_allclose(run(network, BATCH)["output"].values[0], needed, rtol=1e-4)


def test_a_layer_in_a_loop_reuses_one_outside() -> None:
    unit = {
        "output": {**LINEAR, "n_out": 3, "from": "data:source", "reuse_params": "base:a"},
    }
    net = {
        "a": {**LINEAR, "n_out": 3, "from": "data"},
        "output": {"class": "rec", "from": "data", "unit": unit},
    }
    network = make(net, outputs=["a", "output"])
    assert list(network.param_shapes()) == ["a/W", "a/b"]
    out = run(network, BATCH)
    np.testing.assert_allclose(out["output"].canonical(), out["a"].canonical(), rtol=1e-5)


@pytest.mark.parametrize(
    ("reuse", "text"),
    [
        ("a", r"found 'W' of \(3, 2\) in a, needed \(3, 4\)"),
        ("embed", r"found no parameter 'b' in embed"),
        (
            {"map": {"W": None}},
            r"found no parameter 'b' in reuse_params, needed it; try auto_create",
        ),
        ({"mab": {}}, r"unknown key 'mab' in reuse_params; did you mean 'map'\?"),
        ({"map": {"b": None, "W": {"layer_output": "a"}}}, r"found 'W' of \(None, None, 2\) in a"),
        ("c", r"no layer 'c'"),
    ],
)
def test_mistakes_in_reuse_params(reuse: Any, text: str) -> None:
    net = {
        "a": {**LINEAR, "n_out": 2, "from": "data"},
        "embed": {**LINEAR, "n_out": 4, "with_bias": False, "from": "data"},
        "output": {**LINEAR, "n_out": 4, "from": "data", "reuse_params": reuse},
    }
    with pytest.raises(NetworkError, match=r"output \(linear\): " + text):
        make(net)


# -- parameters


def test_a_frozen_subnetwork_and_where_parameters_are_kept() -> None:
    sub = {"output": {**LINEAR, "n_out": 2}}
    net = {
        "sub": {"class": "subnetwork", "subnetwork": sub, "from": "data", "trainable": False},
        "output": {**LINEAR, "n_out": 2, "from": "sub", "param_device": "CPU"},
    }
    network = make(net)
    assert {n: v.trainable for n, v in network.variables.items()} == {
        "output/W": True,
        "output/b": True,
        "sub/output/W": False,
        "sub/output/b": False,
    }
    assert "CPU" in network.variables["output/W"].device


# -- dropout


def dropped(**layer: Any) -> Array:
    net = {"output": {"class": "dropout", "dropout": 0.5, "from": "data", **layer}}
    batch = {"data": (np.ones((4, 9, 3), np.float32), [9] * 4)}
    return run(make(net), batch, train=True, step=1)["output"].canonical()


@pytest.mark.parametrize(
    ("options", "same"),
    [
        ({"dropout_noise_shape": {"*": None}}, ()),
        ({}, (0, 1)),
        ({"dropout_noise_shape": {"T": None}}, (0,)),
        ({"dropout_noise_shape": {"*": None, "T": 1}}, (1,)),
        ({"dropout_noise_shape": {"*": 1, "F": None}}, (0, 1)),
        ({"dropout_noise_shape": (1, None, None)}, (0,)),
        ({"dropout_axis": "F"}, (0, 1)),
        ({"dropout_axis": ("B", "T")}, (2,)),
    ],
)
def test_one_draw_for_all_entries_of_an_axis(options: Any, same: tuple[int, ...]) -> None:
    x = dropped(**options)
    for axis in range(3):
        first = np.take(x, [0], axis=axis)
        assert bool(np.all(x == first)) == (axis in same)


def test_dropout_without_training() -> None:
    layer = {"class": "dropout", "dropout": 0.5, "from": "data"}
    net = {"output": {**layer, "dropout_on_forward": True}}
    batch = {"data": (np.ones((4, 9, 3), np.float32), [9] * 4)}
    assert set(np.unique(run(make(net), batch)["output"].values)) == {0.0, 2.0}


@pytest.mark.parametrize(("shape", "same"), [({"*": None}, ()), (None, (0, 1))])
def test_draws_in_a_loop(shape: dict[str, Any] | None, same: tuple[int, ...]) -> None:
    unit = {
        "output": {
            "class": "dropout",
            "dropout": 0.5,
            "dropout_noise_shape": shape,
            "from": "data:source",
        }
    }
    batch = {"data": (np.ones((4, 9, 30), np.float32), [9] * 4)}
    found = []
    for moved in (True, False):
        rec = {"class": "rec", "from": "data", "unit": unit, "optimize_move_layers_out": moved}
        network = Network({"output": rec}, extern_data={"data": {"dim": 30}})
        found.append(run(network, batch, train=True)["output"].canonical())
    x = found[0]
    np.testing.assert_array_equal(x, found[1])
    assert 0.2 < np.mean(x == 0) < 0.8
    for axis in range(3):
        assert bool(np.all(x == np.take(x, [0], axis=axis))) == (axis in same)


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"dropout_noise_shape": {"X": 1}}, r"found no axis 'X' in \[B,"),
        ({"dropout_axis": "spatial:3"}, r"found no axis 'spatial:3' in \[B,"),
        (
            {"dropout_noise_shape": (1, None)},
            r"found dropout_noise_shape \(1, None\), needed",
        ),
    ],
)
def test_mistakes_in_dropout(options: dict[str, Any], text: str) -> None:
    layer = {"class": "dropout", "dropout": 0.5, "from": "data", **options}
    with pytest.raises(NetworkError, match=r"output \(dropout\): " + text):
        make({"output": layer})


# -- outputs and streams


def test_a_registered_layer_takes_the_place_of_a_stream() -> None:
    net = {
        "shifted": {
            "class": "eval",
            "eval": "tf.minimum(source(0) + 1, 3)",
            "from": "data:classes",
            "register_as_extern_data": "classes",
        },
        "new": {"class": "copy", "from": "data", "register_as_extern_data": "more"},
        "output": {"class": "softmax", "from": "data:more", "target": "classes", "loss": "ce"},
        "seen": {"class": "copy", "from": "data:classes", "is_output_layer": True},
    }
    network = make(net)
    random_parameters(network)
    out = run(network, BATCH)
    shifted = np.minimum(BATCH["classes"][0][0] + 1, 3)
    np.testing.assert_array_equal(out["seen"].values[0], shifted)
    picked = np.log(out["output"].values[0, np.arange(4), shifted])
    np.testing.assert_allclose(out.losses["output"].value[0], -picked.sum(), rtol=1e-5)


def test_two_layers_in_the_place_of_one_stream() -> None:
    copy = {"class": "copy", "from": "data", "register_as_extern_data": "more"}
    with pytest.raises(NetworkError, match="output: found register_as_extern_data 'more', which a"):
        make({"a": copy, "output": copy})


def test_outputs_of_a_search_and_losses_of_an_evaluation() -> None:
    loss = {"class": "softmax", "from": "data", "target": "classes", "loss": "ce"}
    net = {
        "output": loss,
        "dev": {**loss, "only_on_eval": True},
        "searched": {"class": "copy", "from": "data", "is_output_layer": True},
    }
    net["searched"]["only_on_search"] = True
    network = make(net)
    assert set(run(network, BATCH).losses) == {"output", "dev"}
    assert set(run(network, BATCH, train=True).losses) == {"output"}
    assert [n.path for n in network.outputs] == ["output", "dev"]
    assert [n.path for n in make(net, search=True).outputs] == ["output", "searched"]


def test_extra_deps_are_computed_too() -> None:
    seen: list[Any] = []
    net = {
        "effect": {"class": "eval", "eval": "note(source(0))", "from": "data"},
        "output": {"class": "copy", "from": "data", "extra_deps": "effect"},
    }
    net["effect"]["eval_locals"] = {"note": lambda x: (seen.append(1), x)[1]}
    run(make(net), BATCH)
    assert seen == [1]


@pytest.mark.parametrize(
    ("scope", "name"), [("", "sub/W"), ("x/y", "sub/x/y/W"), ("/z", "z/W"), ("/", "W")]
)
def test_names_of_parameters_in_another_scope(scope: str, name: str) -> None:
    inner = {"output": {**LINEAR, "n_out": 2, "with_bias": False, "name_scope": scope}}
    net = {"output": {"class": "subnetwork", "subnetwork": inner, "name_scope": "sub"}}
    assert Network(net, extern_data=STREAMS).param_shapes() == {name: (3, 2)}


@pytest.mark.parametrize("unit", ["nativelstm2", {"output": {**LINEAR, "n_out": 2}}])
def test_names_of_parameters_of_recurrent_layers_in_another_scope(unit: Any) -> None:
    rec = {"class": "rec", "unit": unit, "n_out": 2, "from": "data"}
    names = []
    for scope in (None, "x/y", "/z", ""):
        net = {"output": {**rec, "name_scope": scope}}
        names.append({*Network(net, extern_data=STREAMS).param_shapes()})
    own = {name.removeprefix("output/rec/") for name in names.pop(0)}
    assert names == [{f"x/y/{n}" for n in own}, {f"z/{n}" for n in own}, own]


def test_units_with_a_name_scope_have_no_other_prefix() -> None:
    cell = {"class": "rnn_cell", "unit": "lstmblock", "n_out": 2, "name_scope": "s/rec"}
    loop = {
        "s": {**cell, "from": "data:source"},
        "t": {"class": "rec", "unit": "lstm", "n_out": 2, "from": "s", "name_scope": "t"},
        "output": {"class": "copy", "from": "t"},
    }
    net = {"output": {"class": "rec", "from": "data", "unit": loop, "name_scope": "decoder"}}
    found = Network(net, extern_data=STREAMS).param_shapes()
    names = ["s/rec/lstm_cell/bias", "s/rec/lstm_cell/kernel", "t/W", "t/W_re", "t/b"]
    assert sorted(found) == [f"decoder/{name}" for name in names]


def test_layers_of_one_name_scope_share_parameters() -> None:
    linear = {**LINEAR, "n_out": 3, "name_scope": "both"}
    net = {"a": {**linear, "from": "data"}, "output": {**linear, "from": "a"}}
    assert Network(net, extern_data=STREAMS).param_shapes() == {"both/W": (3, 3), "both/b": (3,)}
    for key, value, text in (
        ("n_out", 2, r"both/W with shape \(3, 3\), which another layer has with \(3, 2\)"),
        ("trainable", False, "both/W with trainable True, which another layer has with False"),
        (
            "forward_weights_init",
            0.5,
            "both/W with init 'glorot_.*, which another layer has with 0.5",
        ),
        ("param_device", "CPU", "both/W with device None, which another layer has with 'CPU'"),
    ):
        other = {**net, "output": {**net["output"], key: value}}
        with pytest.raises(NetworkError, match=f"{text}.*, needed the same; try another name_"):
            Network(other, extern_data=STREAMS)


def test_none_is_the_default_of_an_option_that_knows_no_none() -> None:
    net: dict[str, Any] = {
        "output": {
            **{"class": "softmax", "from": "data", "loss": "ce", "target": "classes"},
            **{"loss_opts": None, "loss_scale": None, "dropout": None, "L2": None},
        }
    }
    streams = {"data": {"dim": 2}, "classes": {"dim": 3, "sparse": True}}
    assert Network(net, extern_data=streams).template("output").feature_size == 3
    pool = {"class": "pool", "from": "data", "pool_size": (2,), "mode": None}
    with pytest.raises(NetworkError, match=r"output \(pool\): missing option 'mode'"):
        Network({"output": pool}, extern_data=streams)


def test_of_several_targets_the_first_is_meant() -> None:
    loop = {
        "p": {"class": "softmax", "from": "prev:output", "target": "classes", "loss": "ce"},
        "output": {"class": "choice", "from": "p", "target": "classes", "beam_size": 2},
    }
    streams = {"classes": {"dim": 3, "sparse": True}, "other": {"dim": 5, "sparse": True}}
    net = {"output": {"class": "rec", "from": [], "target": ["classes", "other"], "unit": loop}}
    out = Network(net, extern_data=streams).template("output")
    assert str(out) == "[T|'time:var:extern_data:classes',B], int32, dim 3"
    net["output"]["target"] = ["classes", 3]
    with pytest.raises(NetworkError, match=r"option 'target': found .*, needed a string"):
        Network(net, extern_data=streams)


def test_a_pooled_time_has_the_name_of_the_layer_that_made_it() -> None:
    lstm = {"class": "rec", "unit": "nativelstm2", "n_out": 2}
    net: dict[str, Any] = {
        "lstm0": {**lstm, "from": "data"},
        "lstm0_pool": {"class": "pool", "mode": "max", "pool_size": (2,), "from": "lstm0"},
        "lstm1": {**lstm, "from": "lstm0_pool"},
        "output": {"class": "reduce", "mode": "mean", "axis": "stag:LSTM", "from": "lstm1"},
    }
    streams = {"data": {"dim": 2}}
    assert str(Network(net, extern_data=streams).template("output")) == "[B,F|2]"
    net["output"]["from"] = "lstm0"
    with pytest.raises(NetworkError, match="found no axis 'stag:LSTM'"):
        Network(net, extern_data=streams)
