"""Parameters: their first values, names and checkpoints."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from models import FEATURES, transducer_net, transducer_streams

from returnn_lite import network
from returnn_lite.errors import NetworkError
from returnn_lite.initialisers import initial_value
from returnn_lite.network import Network
from returnn_lite.node import ParamSpec
from returnn_lite.parameters import load_checkpoint, save_checkpoint

STREAMS = {"data": {"dim": 40}}


def value(init: Any, shape: tuple[int, ...] = (300, 200), path: str = "a/W", seed: int = 1) -> Any:
    return initial_value(path, ParamSpec(shape=shape, init=init), seed)


def test_initialisers_have_their_moments() -> None:
    limit = np.sqrt(6 / 500)
    x = value("glorot_uniform")
    assert x.dtype == np.float32
    assert -limit <= x.min() < -0.95 * limit and 0.95 * limit < x.max() <= limit
    assert abs(x.mean()) < 0.01 * limit
    # Filters of 5 frames: 5 * 10 inputs, 5 * 20 outputs.
    assert np.abs(value("glorot_uniform", (5, 10, 20))).max() == pytest.approx(0.2, rel=0.02)
    normal = value("random_normal_initializer(mean=1.0, stddev=0.2)")
    assert (normal.mean(), normal.std()) == pytest.approx((1.0, 0.2), abs=0.01)
    assert value("random_normal").std() == pytest.approx(1.0, abs=0.02)
    uniform = value("random_uniform(-0.5, maxval=0.1)")
    assert (uniform.min(), uniform.max()) == pytest.approx((-0.5, 0.1), abs=0.01)
    assert np.all(value("zeros") == 0) and np.all(value("ones_initializer") == 1)
    assert np.all(value(0.25) == np.float32(0.25))


# From the variance, with which a uniform or a normal distribution cut off at two deviations has it.
SCALED: dict[str, tuple[Any, float, bool]] = {
    "string": ("variance_scaling_initializer(mode='fan_in', scale=0.78)", 0.78 / 300, False),
    "dict": (
        {"class": "VarianceScaling", "scale": 2.0, "mode": "fan_out", "distribution": "uniform"},
        2.0 / 200,
        True,
    ),
    "average": ("VarianceScaling(6.0, 'fan_avg', distribution='uniform')", 6.0 / 250, True),
    "xavier": ("xavier", 1.0 / 250, True),
    "glorot_normal": ("glorot_normal", 1.0 / 250, False),
    "unit_scaling": ("uniform_unit_scaling(factor=2)", 4.0 / 300, True),
}


@pytest.mark.parametrize("name", SCALED)
def test_scaled_initialisers_have_their_variance_and_their_limit(name: str) -> None:
    init, variance, is_uniform = SCALED[name]
    x = value(init)
    assert x.std() == pytest.approx(np.sqrt(variance), rel=0.02)
    far = np.sqrt(3.0 if is_uniform else 4.0 / 0.87962566103423978**2)
    assert 0.97 * far < np.abs(x).max() / np.sqrt(variance) < 1.001 * far


def test_other_initialisers() -> None:
    x = value("orthogonal(gain=2.0)", (3, 4, 7)).reshape(12, 7)
    np.testing.assert_allclose(x.T @ x, 4 * np.eye(7), atol=1e-5)
    x = value("Orthogonal", (5, 7))
    np.testing.assert_allclose(x @ x.T, np.eye(5), atol=1e-5)
    np.testing.assert_array_equal(value("Identity(gain=3)", (2, 2)), 3 * np.eye(2))
    assert np.all(value("constant_initializer(value=-2)") == -2)
    x = value("random_normal_initializer(mean=0.0, stddev=1.0 / sqrt(512))")
    assert x.std() == pytest.approx(512**-0.5, rel=0.02)
    assert np.abs(value("truncated_normal(stddev=0.1)")).max() < 0.2
    array = np.arange(6.0).reshape(2, 3)
    np.testing.assert_array_equal(value(array, (2, 3)), array)
    window = value("numpy.hanning(4).reshape((4, 1, 1))", (4, 1, 1))
    np.testing.assert_allclose(window[:, 0, 0], [0, 0.75, 0.75, 0], atol=1e-7)
    seeded = {"class": "RandomNormal", "seed": 3}
    np.testing.assert_array_equal(value(seeded, seed=1), value(seeded, seed=2))


GAMMATONE = {"class": "GammatoneFilterbankInitializer", "num_channels": 5, "length": 0.004}


def test_gammatone_filters_are_returnns() -> None:
    x = value({**GAMMATONE, "sample_rate": 16000, "freq_max": 7500.0}, (64, 1, 5))
    np.testing.assert_allclose(x[2, 0, :3], [2.85482319e-5, 4.01227478e-5, 2.49343266e-5], 1e-5)
    gain = np.abs(np.fft.rfft(x[:, 0], 1024, axis=0))[:-1].max(axis=0)
    np.testing.assert_allclose(gain, 1.0, rtol=1e-5)
    opts = {"sample_rate": 8000, "freq_max": 3500.0, "freq_min": 200.0, "normalization": False}
    y = value({**GAMMATONE, **opts}, (32, 5))
    needed = [6.17917507e-9, 7.92263343e-9, 2.02987143e-9, -2.10966557e-10, 2.58842429e-12]
    np.testing.assert_allclose(y[31], needed, rtol=1e-5)


@pytest.mark.parametrize(
    ("init", "text"),
    [
        (GAMMATONE, r"found shape \(5,\), needed \(64, ..., 5\)"),
        ("numpy.ones(2)", r"found an initial value of shape \(2,\), needed \(5,\)"),
        ("numpy.one(2)", r"a/W: initialiser 'numpy.one\(2\)': .* has no attribute 'one'"),
        (
            "variance_scaling(mode='fan')",
            "found mode 'fan', needed one of fan_in, fan_out",
        ),
        ("variance_scaling(distribution='gamma')", "found distribution 'gamma', needed uniform"),
        ("variance_scaling(mode=3)", "found mode 3, needed a name"),
        ("orthogonal", r"found shape \(5,\), needed two axes or more"),
        (
            (0.1, 0.2),
            r"found 2 values \(0.1, 0.2\) for shape \(5,\), needed a number for each",
        ),
        (np.zeros(3), r"found an initial value of shape \(3,\), needed \(5,\)"),
        (
            {"class": "VarianceScalng"},
            "unknown initialiser 'variance_scalng'; did you",
        ),
    ],
)
def test_mistakes_in_initialisers_of_a_shape(init: Any, text: str) -> None:
    with pytest.raises(NetworkError, match=text):
        value(init, (5,))


def test_first_values_depend_on_seed_and_name_alone() -> None:
    np.testing.assert_array_equal(value("glorot_uniform"), value("glorot_uniform"))
    assert np.any(value("glorot_uniform") != value("glorot_uniform", seed=2))
    assert np.any(value("glorot_uniform") != value("glorot_uniform", path="b/W"))


@pytest.mark.parametrize(
    ("init", "text"),
    [
        (
            "glorot_unifrom",
            r"output/W: unknown initialiser 'glorot_unifrom'; did you mean 'glorot_uniform'\?",
        ),
        ("3 +", r"output/W: found initialiser '3 \+', needed a number or a name"),
        (
            "random_normal(std=0.1)",
            r"'random_normal\(std=0.1\)': unknown argument 'std'; did you mean 'stddev'\?",
        ),
        ("random_normal(0, 1, 2)", r"found 3 arguments, needed at most 2"),
        ("random_normal(stddev=x)", r"found stddev x, needed a number"),
    ],
)
def test_mistakes_in_an_initialiser(init: str, text: str) -> None:
    net = {"output": {"class": "linear", "n_out": 2, "from": "data", "forward_weights_init": init}}
    with pytest.raises(NetworkError, match=text):
        Network(net, extern_data=STREAMS)


def test_the_transducers_parameters_have_returnns_names() -> None:
    network = Network(transducer_net(labels=5), extern_data=transducer_streams(5))
    assert network.param_shapes() == {
        "enc/rec/W": (FEATURES, 16),
        "enc/rec/W_re": (4, 16),
        "enc/rec/b": (16,),
        "output/rec/emit_prob0/W": (4, 1),
        "output/rec/emit_prob0/b": (1,),
        "output/rec/fast/rec/W": (7, 16),
        "output/rec/fast/rec/W_re": (4, 16),
        "output/rec/fast/rec/b": (16,),
        "output/rec/label_log_prob/W": (2, 5),
        "output/rec/label_log_prob/b": (5,),
        "output/rec/readout_in/W": (7, 4),
        "output/rec/readout_in/b": (4,),
        "output/rec/slow/input_embed/W": (5, 2),
        "output/rec/slow/lstm0/rec/W": (2, 12),
        "output/rec/slow/lstm0/rec/W_re": (3, 12),
        "output/rec/slow/lstm0/rec/b": (12,),
    }
    search = Network(transducer_net(labels=5), extern_data={"data": {"dim": FEATURES}}, search=True)
    assert search.param_shapes() == network.param_shapes()


def test_a_checkpoint_comes_back_and_is_tensorflows(tmp_path: Path) -> None:
    import tensorflow as tf

    arrays = {"a/rec/W": np.arange(6, dtype=np.float32).reshape(2, 3), "b": np.float32(3.5)}
    save_checkpoint(tmp_path / "new" / "model", arrays)
    found = load_checkpoint(tmp_path / "new" / "model")
    assert set(found) == set(arrays)
    for name, array in arrays.items():
        np.testing.assert_array_equal(found[name], array)
    listed = tf.train.list_variables(str(tmp_path / "new" / "model"))
    assert dict(listed) == {"a/rec/W": [2, 3], "b": []}


def test_a_saved_network_has_the_step_counter_that_returnn_asks_for(tmp_path: Path) -> None:
    import tensorflow as tf

    network = Network({"output": LINEAR}, extern_data=STREAMS)
    network.save(tmp_path / "model")
    reader = tf.train.load_checkpoint(str(tmp_path / "model"))
    assert reader.get_variable_to_dtype_map()["global_step"] == tf.int64
    assert set(load_checkpoint(tmp_path / "model")) == {"output/W", "output/b"}
    network.load(tmp_path / "model")


LINEAR = {"class": "linear", "n_out": 2, "from": "data"}


def test_no_first_value_is_made_of_what_is_given(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It would be for nothing: a large network has hundreds of millions of numbers."""
    net = {"output": {"class": "linear", "n_out": 3, "from": "data"}}
    first = Network(net, extern_data=STREAMS)
    first.save(tmp_path / "model")
    made = []
    monkeypatch.setattr(network, "initial_value", lambda *a: made.append(a[0]) or initial_value(*a))
    loaded = Network(net, extern_data=STREAMS)
    loaded.load(tmp_path / "model")
    np.testing.assert_array_equal(loaded.get_params()["output/W"], first.get_params()["output/W"])
    assert not made
    part = Network(net, extern_data=STREAMS)
    given = np.ones(3, np.float32)
    part.set_params({"output/b": given})
    given += 1
    assert made == ["output/W"] and part.get_params()["output/b"].tolist() == [1, 1, 1]


@pytest.mark.parametrize(
    ("stored", "text"),
    [
        (
            {"outptu": LINEAR},
            r"found no parameter 'output/W' and 1 others of the network; did you mean 'outptu/W'\?",
        ),
        (
            {"output": {**LINEAR, "n_out": 3}},
            r"parameter output/W: found shape \(40, 3\), needed \(40, 2\)",
        ),
    ],
)
def test_a_checkpoint_that_does_not_fit(tmp_path: Path, stored: Any, text: str) -> None:
    (name,) = stored
    Network(stored, extern_data=STREAMS, outputs=[name]).save(tmp_path / "model")
    network = Network({"output": LINEAR}, extern_data=STREAMS)
    with pytest.raises(NetworkError, match=text):
        network.load(tmp_path / "model")


def test_no_checkpoint(tmp_path: Path) -> None:
    network = Network({"output": LINEAR}, extern_data=STREAMS)
    with pytest.raises(NetworkError, match=r"x: found no checkpoint, needed the file .*x.index$"):
        network.load(tmp_path / "x")


@pytest.mark.parametrize(
    ("values", "text"),
    [
        ({"output/w": np.zeros((40, 2))}, r"no parameter 'output/w'; did you mean 'output/W'\?"),
        ({"output/W": np.zeros(2)}, r"parameter output/W: found shape \(2,\), needed \(40, 2\)"),
    ],
)
def test_setting_parameters_that_there_are_not(values: Any, text: str) -> None:
    network = Network({"output": LINEAR}, extern_data=STREAMS)
    with pytest.raises(NetworkError, match=text):
        network.set_params(values)


VAR = {**LINEAR, "initial_output": "var"}
CASES: dict[str, tuple[dict[str, Any], str | None]] = {
    "nothing": ({"x": VAR, "output": {"class": "copy", "from": "x"}}, None),
    "prev": ({"x": VAR, "output": {"class": "copy", "from": "prev:x"}}, "output/rec/x/init_x_var"),
    "prev of the network": (
        {
            "x": {"class": "subnetwork", "from": "data", "subnetwork": {"output": VAR}},
            "output": {"class": "copy", "from": "prev:x"},
        },
        "output/rec/x/output/init_output_var",
    ),
    "a sum over the steps": (
        {
            "output": {"class": "cumsum", "from": "x", "initial_output": "var"},
            "x": LINEAR,
        },
        "output/rec/output/init_output_var",
    ),
    "a sum over another axis": (
        {
            "output": {"class": "cumsum", "axis": "F", "from": "x", "initial_output": "var"},
            "x": LINEAR,
        },
        None,
    ),
    "a mask": (
        {
            "sum": {"class": "reduce", "mode": "sum", "axis": "F", "from": "data"},
            "m": {"class": "compare", "from": "sum", "value": 1},
            "output": {
                "class": "masked_computation",
                "mask": "m",
                "from": "data",
                "unit": {"class": "copy"},
                "initial_output": "var",
            },
        },
        "output/rec/output/init_output_var",
    ),
}


@pytest.mark.parametrize("moved", [True, False])
@pytest.mark.parametrize("name", CASES)
def test_a_first_output_is_a_parameter_where_something_asks_for_it(name: str, moved: bool) -> None:
    unit, needed = CASES[name]
    rec = {"class": "rec", "from": "data", "unit": unit, "optimize_move_layers_out": moved}
    network = Network({"output": rec}, extern_data=STREAMS, train=True)
    found = {n for n in network.param_shapes() if n.endswith("_var")}
    assert found == ({needed} if needed else set())
    network.run({"data": (np.ones((1, 2, 40), np.float32), [2])})


def test_a_first_output_that_is_read_after_the_loop() -> None:
    net = {
        "rec": {"class": "rec", "from": "data", "unit": {"output": VAR}},
        "output": {"class": "rec_last_output", "rec_layer": "rec", "sub_layer_name": "output"},
    }
    assert "rec/rec/output/init_output_var" in Network(net, extern_data=STREAMS).param_shapes()


def test_a_first_output_outside_of_a_loop_is_none() -> None:
    network = Network({"output": {**VAR, "n_out": 3}}, extern_data=STREAMS)
    assert set(network.param_shapes()) == {"output/W", "output/b"}


def test_a_first_output_is_a_parameter_of_features_only() -> None:
    length = {"class": "length", "from": "base:data", "initial_output": "var"}
    unit = {"x": length, "output": {"class": "copy", "from": "prev:x"}}
    text = r"^output/x \(length\): found initial_output 'var' for \[B\], int32, needed \[batch, f"
    with pytest.raises(NetworkError, match=text):
        Network({"output": {"class": "rec", "from": "data", "unit": unit}}, extern_data=STREAMS)
