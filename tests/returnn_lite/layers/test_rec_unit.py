"""The LSTM: against its formula in both directions, and its options."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from eager import Array, dense, gradients, random_parameters, run, sparse
from reference import check, sigmoid

from returnn_lite.errors import NetworkError
from returnn_lite.network import Network

LENGTHS = [4, 1, 3]
STREAMS = {"data": {"dim": 2}, "classes": {"dim": 4, "sparse": True}}


def lstm(z: Array, recurrent: Array, *, forget: float = 0.0) -> Array:
    """Return [time, n] from z [time, 4 n]: input product with bias; gates j, i, f, o."""
    n = recurrent.shape[0]
    h = c = np.zeros(n)
    out = np.zeros((len(z), n))
    for t, frame in enumerate(z):
        j, i, f, o = np.split(frame + h @ recurrent, 4)
        c = sigmoid(f + forget) * c + sigmoid(i) * np.tanh(j)
        h = sigmoid(o) * np.tanh(c)
        out[t] = h
    return out


@pytest.mark.parametrize("direction", [1, -1])
@pytest.mark.parametrize("unit", ["lstm", "NativeLstm2"])
def test_lstm_is_its_formula(unit: str, direction: int) -> None:
    forget = 0.0 if unit == "lstm" else 0.7
    layer = {
        "class": "rec",
        "unit": unit,
        "n_out": 2,
        "direction": direction,
        "unit_opts": {"forget_bias": forget},
        "from": "data",
    }
    network = Network({"output": layer}, extern_data=STREAMS)

    def formula(p: Any, data: Array) -> list[Array]:
        found = []
        for x, n in zip(data, LENGTHS, strict=True):
            z = (x[:n] @ p["output/rec/W"] + p["output/rec/b"])[::direction]
            found.append(lstm(z, p["output/rec/W_re"], forget=forget)[::direction])
        return found

    check(network, {"data": dense(LENGTHS, 2)}, formula)


@pytest.mark.parametrize("stream", ["data", "data:classes"])
def test_bfloat16_is_the_same_in_a_loop(stream: str) -> None:
    """And near float32: values within one percent, and the gradient."""
    unit: dict[str, Any] = {"class": "rec", "unit": "nativelstm2", "n_out": 3}
    batch = {"data": dense(LENGTHS, 2), "classes": sparse(LENGTHS, 4)}
    streams = {**STREAMS, "classes": {**STREAMS["classes"], "same_dim_tags_as": {"t": "data"}}}
    found = {}
    for precision, moved in (("bfloat16", True), ("bfloat16", False), ("float32", True)):
        lstm = {**unit, "unit_opts": {"precision": precision}}
        lstm["from"] = "data:source" if stream == "data" else stream
        body = {"output": lstm}
        rec = {"class": "rec", "from": "data", "unit": body, "optimize_move_layers_out": moved}
        loss = {"class": "softmax", "from": "rec", "loss": "ce", "target": "classes"}
        network = Network({"rec": rec, "output": loss}, extern_data=streams)
        random_parameters(network)
        values = run(network, batch, ["rec"])["rec"].canonical()
        found[precision, moved] = values, gradients(network, batch)[1]["rec/rec/output/rec/W_re"]
    kernel, steps, exact = found.values()
    np.testing.assert_allclose(kernel[0], steps[0], atol=1e-5)
    assert 1e-5 < np.abs(kernel[0] - exact[0]).max() < 1e-2
    for other in (kernel, steps):
        scale = np.abs(exact[1]).max()
        np.testing.assert_allclose(other[1], exact[1], atol=0.03 * scale)


@pytest.mark.parametrize("direction", [1, -1])
def test_lstm_over_labels_and_features_is_zero_behind_the_end(direction: int) -> None:
    streams = {**STREAMS, "classes": {**STREAMS["classes"], "same_dim_tags_as": {"t": "data"}}}
    net = {
        "labels": {"class": "rec", "unit": "lstm", "n_out": 2, "from": "data:classes"},
        "output": {"class": "rec", "unit": "lstm", "n_out": 3, "from": ["labels", "data"]},
    }
    net["labels"]["direction"] = direction
    network = Network(net, extern_data=streams)
    p = random_parameters(network)
    x, labels = dense(LENGTHS, 2)[0], sparse(LENGTHS, 4)[0]
    out = run(network, {"data": (x, LENGTHS), "classes": (labels, LENGTHS)})["output"]
    assert [d.kind for d in out.dims] == ["spatial", "batch", "feature"]
    for b, n in enumerate(LENGTHS):
        z = p["labels/rec/W"][labels[b, :n]] + p["labels/rec/b"]
        labels_out = lstm(z[::direction], p["labels/rec/W_re"])[::direction]
        below = np.concatenate([labels_out, x[b, :n]], axis=1)
        z = below @ p["output/rec/W"] + p["output/rec/b"]
        np.testing.assert_allclose(out.values[:n, b], lstm(z, p["output/rec/W_re"]), atol=1e-5)
        assert not out.values[n:, b].any()


@pytest.mark.parametrize("direction", [1, -1])
def test_low_memory_changes_nothing_but_memory(direction: int) -> None:
    streams = {**STREAMS, "classes": {**STREAMS["classes"], "same_dim_tags_as": {"t": "data"}}}
    found = []
    for low in (False, True):
        lstm_layer = layer(direction=direction, unit_opts={"low_memory": low})["output"]
        probs = {"class": "softmax", "from": "lstm", "loss": "ce", "target": "classes"}
        network = Network({"lstm": lstm_layer, "output": probs}, extern_data=streams, train=True)
        random_parameters(network)
        found.append(gradients(network, {"data": dense(LENGTHS, 2), "classes": sparse(LENGTHS, 4)}))
    assert found[0][0] == pytest.approx(found[1][0], rel=1e-6)
    for name, gradient in found[0][1].items():
        np.testing.assert_allclose(found[1][1][name], gradient, rtol=1e-5, atol=1e-6)


def test_dropped_recurrent_weights_are_the_same_in_a_loop_and_out_of_it() -> None:
    unit = {
        "class": "rec",
        "unit": "lstm",
        "n_out": 40,
        "unit_opts": {"rec_weight_dropout": 0.5},
    }
    x = dense(LENGTHS, 2)
    values = []
    for optimise in (True, False):
        net = {
            "output": {
                "class": "rec",
                "from": "data",
                "unit": {"output": {**unit, "from": "data:source"}},
                "optimize_move_layers_out": optimise,
            }
        }
        network = Network(net, extern_data=STREAMS, train=True)
        random_parameters(network)
        values.append(run(network, {"data": x})["output"].canonical())
    np.testing.assert_allclose(*values, atol=1e-6)
    plain = Network({"output": {**unit, "unit_opts": {}}}, extern_data=STREAMS, train=True)
    random_parameters(plain)
    without = run(plain, {"data": x})["output"].canonical()
    assert np.abs(values[0][:, 0] - without[:, 0]).max() < 1e-6  # no output before the first frame
    assert np.abs(values[0][0, 2] - without[0, 2]).max() > 1e-3


def test_parameters_have_returnns_names_and_shapes() -> None:
    net = {"lstm0_fw": {"class": "rec", "unit": "lstm", "n_out": 5, "from": "data"}}
    network = Network(net, extern_data=STREAMS, outputs=["lstm0_fw"])
    assert network.param_shapes() == {
        "lstm0_fw/rec/W": (2, 20),
        "lstm0_fw/rec/W_re": (5, 20),
        "lstm0_fw/rec/b": (20,),
    }


def layer(**more: Any) -> dict[str, Any]:
    return {"output": {"class": "rec", "unit": "lstm", "n_out": 2, "from": "data", **more}}


UNROLLED = {"unroll": True, "max_seq_len": 100}
GRID_STREAMS = {**STREAMS, "other": {"dim": 2}}


def grid(**more: Any) -> dict[str, Any]:
    """Return a network in which a unit runs over one of two dims."""
    sums = {"class": "combine", "kind": "add", "from": ["data:source", "base:data:other"]}
    loop = {"class": "rec", "from": "data", "unit": {"output": sums}}
    return {"grid": loop, "output": {**layer(**more)["output"], "from": "grid"}}


@pytest.mark.parametrize(
    ("net", "text"),
    [
        (layer(unit="lstn"), r"output \(rec\): unknown unit 'lstn'; did you mean 'lstm'\?"),
        (layer(unit_opts={"forget": 1}), r"unknown option 'forget' of unit 'lstm'; did you mean"),
        (
            layer(unit_opts={"forget_bias": "1"}),
            r"option 'forget_bias' of unit 'lstm': found '1', needed",
        ),
        (
            layer(unit_opts={"precision": "float16"}),
            r"option 'precision' of unit .*: found 'float16', needed 'float32' or 'bfloat16'",
        ),
        (layer(unit_opts={"rec_weight_dropout": 1.0}), r"found rec_weight_dropout 1.0, needed 0 "),
        (
            layer(unit_opts={"low_memory": True}, **{"from": "data:classes"}),
            r"found low_memory and source .*, needed features; try an embedding",
        ),
        (
            layer(unit="zoneoutlstm", unit_opts={"zoneout_factor_cell": 2}),
            r"found zoneout_factor_cell 2, needed 0 to 1",
        ),
        (
            layer(unit="layernormvariantslstm", unit_opts={"per_gate_norm": True}),
            r"found global_norm and per_gate_norm, needed one; global_norm is a default",
        ),
        (
            layer(unit="gru", unit_opts={"activation": "tahn"}),
            r"unknown activation 'tahn'; did you",
        ),
        (
            layer(axis="F"),
            r"output \(rec\): found axis 'F' in .*, needed neither batch nor features",
        ),
        (layer(direction=2), r"option 'direction': found 2, needed 1 or -1"),
        (
            {**layer(**{"from": "last"}), "last": {"class": "gather", "from": "data"}},
            r"last \(gather\): missing option 'position'",
        ),
        (
            {"output": {"class": "rec", "from": "data", "unit": layer(direction=-1)}},
            r"output/output \(rec\): found direction -1 in a loop, needed 1",
        ),
    ],
)
def test_wrong_options(net: dict[str, Any], text: str) -> None:
    with pytest.raises(NetworkError, match=text):
        Network(net, extern_data=STREAMS)


@pytest.mark.parametrize("unit", ["lstm", "gru"])
@pytest.mark.parametrize("direction", [1, -1])
def test_other_dims_count_as_further_sequences(unit: str, direction: int) -> None:
    network = Network(grid(unit=unit, direction=direction), extern_data=GRID_STREAMS)
    params = random_parameters(network)
    x, y = dense(LENGTHS, 2), dense([2, 3, 1], 2, seed=1)
    out = run(network, {"data": x, "other": y})["output"]
    assert [d.kind for d in out.dims] == ["spatial", "batch", "spatial", "feature"]
    plain = Network(layer(unit=unit, direction=direction), extern_data=STREAMS)
    plain.set_params(params)
    for k in range(3):
        one = run(plain, {"data": (x[0] + y[0][:, k : k + 1], LENGTHS)})["output"]
        for b in (b for b in range(3) if k < y[1][b]):
            np.testing.assert_allclose(out.values[:, b, k], one.values[:, b], atol=1e-5)


def test_a_dim_may_be_given_to_run_over() -> None:
    network = Network(grid(axis="spatial:1"), extern_data=GRID_STREAMS)
    params = random_parameters(network)
    x, y = dense(LENGTHS, 2), dense([2, 3, 1], 2, seed=1)
    out = run(network, {"data": x, "other": y})["output"]
    assert out.time_dim is not None and out.time_dim.name == "time:var:extern_data:other"
    plain = Network(layer(), extern_data=STREAMS)
    plain.set_params(params)
    one = run(plain, {"data": (y[0] + x[0][:, 1:2], y[1])})["output"]
    step = [d.name for d in out.dims].index("time:var:extern_data:data")
    found = np.take(out.values, 1, axis=step)
    np.testing.assert_allclose(found[:, [0, 2]], one.values[:, [0, 2]], atol=1e-5)


def test_units_that_keep_all_of_their_state_stay_as_they_began() -> None:
    opts = {"zoneout_factor_cell": 1.0, "zoneout_factor_output": 1.0, "use_zoneout_output": True}
    net = layer(unit="zoneoutlstm", unit_opts=opts, initial_state="ones")
    network = Network(net, extern_data=STREAMS)
    random_parameters(network)
    for train in (True, False):
        out = run(network, {"data": dense(LENGTHS, 2)}, train=train)["output"].canonical()
        for values, n in zip(out, LENGTHS, strict=True):
            assert (values[:n] == 1.0).all()


@pytest.mark.parametrize(
    ("unit", "opts"),
    [
        ("rhn", {"dropout": 0.5, "depth": 1}),
        ("layernormvariantslstm", {"dropout": 0.5, "global_norm": False}),
        ("zoneoutlstm", {"zoneout_factor_cell": 0.5}),
    ],
)
def test_what_is_dropped_differs_from_step_to_step_of_training(
    unit: str, opts: dict[str, Any]
) -> None:
    network = Network(layer(unit=unit, unit_opts=opts, n_out=8), extern_data=STREAMS)
    random_parameters(network)
    batch = {"data": dense(LENGTHS, 2)}
    found = [run(network, batch, train=True, step=i)["output"].canonical() for i in (1, 1, 2)]
    assert (found[0] == found[1]).all()
    assert np.abs(found[0] - found[2]).max() > 1e-3


@pytest.mark.parametrize("unit", ["rhn", "layernormvariantslstm"])
def test_another_dropout_seed_drops_other_parts_of_the_state(unit: str) -> None:
    params, found = None, []
    for seed in (1, 1, 2, None):
        opts = {"dropout": 0.5, "dropout_seed": seed}
        network = Network(layer(unit=unit, unit_opts=opts, n_out=8), extern_data=STREAMS)
        params = params or random_parameters(network)
        network.set_params(params)
        found.append(run(network, {"data": dense(LENGTHS, 2)}, train=True)["output"].canonical())
    assert (found[0] == found[1]).all()
    assert min(np.abs(found[0] - x).max() for x in found[2:]) > 1e-3


def test_first_values_of_biases_by_gate() -> None:
    opts = {"global_norm": False, "forget_bias": 2.0}
    network = Network(layer(unit="layernormvariantslstm", unit_opts=opts), extern_data=STREAMS)
    bias = network.get_params()["output/rec/bias_ff"]
    assert bias.tolist() == [0, 0, 0, 0, 2, 2, 0, 0]


def test_the_unit_cumsum_adds_its_input_up() -> None:
    layer = {"class": "rec", "unit": "cumsum", "n_out": 2, "from": "data"}
    network = Network({"output": layer}, extern_data=STREAMS)
    values, lengths = dense([4, 2], 2)
    out = run(network, {"data": (values, lengths)})["output"].canonical()
    for y, x, n in zip(out, values, lengths, strict=True):
        np.testing.assert_allclose(y[:n], np.cumsum(x[:n], axis=0), rtol=1e-5)
    with pytest.raises(NetworkError, match="found n_out 3 for the unit cumsum, needed 2"):
        Network({"output": {**layer, "n_out": 3}}, extern_data=STREAMS)


def test_unrolled_steps_are_the_same() -> None:
    nets = [layer(unit="BasicLSTM", **{"from": "data"}, **more) for more in ({}, UNROLLED)]
    networks = [Network(net, extern_data=STREAMS) for net in nets]
    data = {"data": dense(LENGTHS, 2)}
    for network in networks:
        random_parameters(network)
    found = [run(network, data)["output"].canonical() for network in networks]
    np.testing.assert_array_equal(*found)
