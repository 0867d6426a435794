"""All kinds of combine and compare, out_type, and what an expression may ask for."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import tensorflow as tf
from eager import Array, dense, run

from returnn_lite.errors import NetworkError
from returnn_lite.network import Network

LENGTHS = [3, 1]
STREAMS = {"data": {"dim": 2}, "same": {"dim": 2, "same_dim_tags_as": {"t": "data"}}}
BATCH = {"data": dense(LENGTHS, 2), "same": dense(LENGTHS, 2, seed=1)}
# Above zero, and not whole.
POSITIVE = {
    "a": {"class": "eval", "eval": "tf.abs(source(0)) + 0.3", "from": "data"},
    "b": {"class": "eval", "eval": "tf.abs(source(0)) + 0.3", "from": "data:same"},
}


def result(layer: dict[str, Any], **more: Any) -> Array:
    net = {**POSITIVE, "output": layer}
    return run(Network(net, extern_data=STREAMS), BATCH, **more)["output"].values[0]


A, B = (np.abs(BATCH[k][0][0]) + np.float32(0.3) for k in ("data", "same"))
KINDS: dict[str, Callable[[Array, Array], Array]] = {
    "+": np.add,
    "floordiv": np.floor_divide,
    "//": np.floor_divide,
    "mod": np.mod,
    "pow": np.power,
    "average": lambda a, b: (a + b) / 2,
    "squared_difference": lambda a, b: (a - b) ** 2,
    "logaddexp": np.logaddexp,
}


@pytest.mark.parametrize("kind", KINDS)
def test_combine(kind: str) -> None:
    found = result({"class": "combine", "kind": kind, "from": ["a", "b"]})
    np.testing.assert_allclose(found, KINDS[kind](A, B), rtol=1e-5)


def test_combine_with_an_expression_a_bias_and_an_activation() -> None:
    layer = {
        "class": "combine",
        "kind": "eval",
        "eval": "source(0) - k * source(1)",
        "eval_locals": {"k": 2.0},
        "with_bias": True,
        "activation": "2 * tanh",
        "from": ["a", "b"],
    }
    network = Network({**POSITIVE, "output": layer}, extern_data=STREAMS)
    network.set_params({"output/b": [0.5, -1.0]})
    found = run(network, BATCH)["output"].values[0]
    np.testing.assert_allclose(found, 2 * np.tanh(A - 2 * B + [0.5, -1.0]), rtol=1e-5)


def test_compare_is_a_chain_up_to_the_value() -> None:
    layer = {"class": "compare", "kind": "<", "value": 1.0, "from": ["a", "b"]}
    np.testing.assert_array_equal(result(layer), (A < B) & (B < 1.0))


def test_eval_may_be_a_function_and_asks_whether_it_trains() -> None:
    def scaled(source: Any, self: Any, by: float) -> Any:
        return self.network.cond_on_train(lambda: source(0) * by, lambda: source(0))

    layer = {"class": "eval", "eval": scaled, "eval_locals": {"by": 3.0}, "from": "a"}
    np.testing.assert_allclose(result(layer, train=True), 3 * A)
    np.testing.assert_allclose(result(layer), A)


def halved(data: Any, network: Any) -> Any:
    assert (data.batch_dim_axis, data.time_dim_axis, data.feature_dim_axis) == (0, 1, 2)
    assert data.dim == 2 and not data.sparse and data.is_batch_major and not data.is_time_major
    assert (data.shape, data.batch_shape) == ((None, 2), (None, None, 2))
    assert (data.ndim, data.batch_ndim, data.dtype, data.beam_size) == (2, 3, "float32", 1)
    return network.cond_on_train(lambda: data.placeholder / 2, lambda: data.placeholder)


@pytest.mark.parametrize("config", ["get_config().typed_value('f')", "_config.typed_dict['f']"])
def test_a_function_of_the_config_sees_data_under_the_names_of_returnn(config: str) -> None:
    text = f"self.network.{config}(source(0, as_data=True), network=self.network)"
    net = {"output": {"class": "eval", "from": "data", "eval": text}}
    network = Network(net, extern_data=STREAMS, config={"f": halved})
    for train, factor in ((True, 0.5), (False, 1.0)):
        out = run(network, BATCH, train=train)["output"].values[0]
        np.testing.assert_array_equal(out, BATCH["data"][0][0] * factor)


def test_a_function_asks_for_lengths_and_another_layout() -> None:
    def lasts(source: Any, **_: Any) -> Any:
        x = source(0, as_data=True, auto_convert=False)
        lengths = x.get_sequence_lengths()
        assert list(x.size_placeholder) == [0]
        np.testing.assert_array_equal(lengths, x.size_placeholder[0])
        major = x.copy_as_time_major()
        np.testing.assert_array_equal(x.get_placeholder_as_time_major(), major.placeholder)
        np.testing.assert_array_equal(major.get_placeholder_as_batch_major(), x.placeholder)
        return tf.gather(x.placeholder, lengths - 1, batch_dims=1)

    layer = {"class": "eval", "from": "data", "eval": lasts, "out_type": {"shape": (2,)}}
    net = {"output": {**layer, "out_type": {"shape": (2,), "time_dim_axis": None}}}
    found = run(Network(net, extern_data=STREAMS), BATCH)["output"].values
    np.testing.assert_array_equal(found, [x[n - 1] for x, n in zip(*BATCH["data"], strict=True)])


def test_a_function_asks_for_axes_sizes_and_masks() -> None:
    def lasts(source: Any, **_: Any) -> Any:
        x = source(0, as_data=True)
        (time,) = x.get_dynamic_axes()
        np.testing.assert_array_equal(x.get_dynamic_size(time), LENGTHS)
        assert x.get_axis_from_description("T") == time
        assert x.get_axes_from_description(["F", "B"]) == [2, 0]
        assert [x.get_axis_from_description(i) for i in (1, -1)] == [1, 2]
        with pytest.raises(ValueError, match=r"axes \[0, 1, 2\] for '\*' in .*, needed one"):
            x.get_axis_from_description("*")
        assert (int(x.get_batch_dim()), int(x.time_dimension())) == (2, 3)
        mask = x.get_sequence_mask()
        np.testing.assert_array_equal(mask, [[True] * 3, [True, False, False]])
        np.testing.assert_array_equal(
            x.copy_as_time_major().get_sequence_mask(), tf.transpose(mask)
        )
        return x.placeholder

    np.testing.assert_array_equal(result({"class": "eval", "eval": lasts, "from": "a"}), A)


def test_data_without_such_an_attribute_or_time() -> None:
    layer = {"class": "eval", "eval": "source(0, as_data=True).place_holder", "from": "a"}
    text = r"found no 'place_holder' of source\(i, as_data=True\); did you mean 'placeholder'\?"
    with pytest.raises(NetworkError, match=text):
        result(layer)
    layer = {"class": "eval", "eval": "source(0, as_data=True).time_dimension()", "from": "mean"}
    mean = {"class": "reduce", "mode": "mean", "axis": "T", "from": "a"}
    with pytest.raises(NetworkError, match=r"found no time in \[B,F\|2\]"):
        run(Network({**POSITIVE, "mean": mean, "output": layer}, extern_data=STREAMS), BATCH)


def test_where_bc_is_a_name_in_expressions() -> None:
    text = "where_bc(source(0) < source(1), source(0), 0.0)"
    found = result({"class": "eval", "from": ["a", "b"], "eval": text})
    np.testing.assert_allclose(found, np.where(A < B, A, 0.0), rtol=1e-6)


def test_a_source_with_its_own_dims() -> None:
    layer = {
        "class": "eval",
        "eval": "source(0) + tf.cast(tf.size(source(1, auto_convert=False)), 'float32')",
        "from": ["a", "frames"],
    }
    net = {**POSITIVE, "frames": {"class": "length", "from": "data"}, "output": layer}
    found = run(Network(net, extern_data=STREAMS), BATCH)["output"].values[0]
    np.testing.assert_allclose(found, A + 2)


def test_out_type_with_a_shape_of_other_axes() -> None:
    layer = {
        "class": "eval",
        "eval": "tf.argmax(source(0), axis=-1, output_type=tf.int32)",
        "out_type": {"shape": (None,), "sparse": True, "dim": 2, "dtype": "int32"},
        "from": "a",
    }
    embed = {"class": "linear", "n_out": 3, "activation": None, "from": "best"}
    network = Network({**POSITIVE, "best": layer, "output": embed}, extern_data=STREAMS)
    assert network.param_shapes()["output/W"] == (2, 3)
    np.testing.assert_array_equal(run(network, BATCH, ["best"])["best"].values[0], A.argmax(-1))


def test_out_type_with_a_shape_orders_the_axes() -> None:
    unit = {"output": {"class": "copy", "from": "data:source"}}
    first = {"class": "rec", "from": "a", "unit": unit}
    layer = {"class": "eval", "eval": "source(0)", "from": "first"}
    net = {**POSITIVE, "first": first, "output": {**layer, "out_type": {"shape": (None, 2)}}}
    network = Network(net, extern_data=STREAMS)
    assert str(network.template("output")).startswith("[B,T|")
    np.testing.assert_allclose(run(network, BATCH)["output"].values[0], A)


def test_out_type_by_a_function() -> None:
    layer = {
        "class": "eval",
        "eval": "tf.cast(source(0) > 0.5, tf.int32)",
        "out_type": lambda sources, **_: sources[0].output.copy_template(dtype="int32"),
        "from": "a",
    }
    np.testing.assert_array_equal(result(layer), A > 0.5)


def test_a_result_of_other_sizes_than_those_in_out_type() -> None:
    shape = {"shape": (None, 4, 2)}
    layer = {"class": "eval", "out_type": shape, "from": "a"}
    net = {**POSITIVE, "output": {**layer, "eval": "tf.tile(source(0), [1, 1, 4, 1])"}}
    found = run(Network(net, extern_data=STREAMS), BATCH)["output"].values[0]
    np.testing.assert_allclose(found, np.repeat(A[:, None], 4, axis=1))
    for expression in ("source(0)", "tf.tile(source(0), [1, 1, 3, 1])"):
        wrong = Network({**net, "output": {**layer, "eval": expression}}, extern_data=STREAMS)
        text = (
            r"^output \(eval\): found values of shape \(.*, [13], 2\) from .*, "
            r"needed \[B,T\|.*,4,F\|2\]; out_type adds dims of size 1 to source\(i\)"
        )
        with pytest.raises(NetworkError, match=text):
            wrong.run(BATCH)


@pytest.mark.parametrize(
    ("layer", "text"),
    [
        ({"kind": "eval"}, r"found kind 'eval', needed 'eval' and an expression in 'eval'"),
        ({"kind": "add", "eval": "source(0)"}, r"found kind 'add', needed 'eval' and an expr"),
        (
            {"kind": "add", "from": ["a", "count"], "allow_broadcast_all_sources": False},
            r"found \[B,.*, needed one that has all dims; try allow_broadcast_all_sources",
        ),
        (
            {"kind": "add", "out_type": {"shape": (None, None)}},
            r"found shape \[None, None\] in out_type, needed the dynamic dims of \[B,",
        ),
        (
            {"kind": "add", "out_type": {"feature_dim_axis": 3}},
            "found feature_dim_axis 3 in out_type, needed one of 3 axes",
        ),
        ({"kind": "add", "out_type": {"shape": 1}}, r"found shape 1 in out_type, needed a list"),
        (
            {"kind": "add", "out_type": lambda sources, **_: sources[0].output.copy_temp()},
            "found no 'copy_temp' of .*; did you mean 'copy_template'.* in out_type",
        ),
        (
            {"kind": "add", "out_type": lambda **_: {"dim": 2}},
            r"found \{'dim': 2\} from out_type, needed what copy_template of one returns",
        ),
    ],
)
def test_mistakes(layer: dict[str, Any], text: str) -> None:
    other = {"class": "rec", "unit": "lstm", "n_out": 2, "from": "data:other"}
    net = {**POSITIVE, "count": other, "output": {"class": "combine", "from": "a", **layer}}
    with pytest.raises(NetworkError, match=r"output \(combine\): " + text):
        Network(net, extern_data={**STREAMS, "other": {"dim": 2}})


def _of_labels(source: Any, **_: Any) -> Any:
    """Return for each sequence the sum of the frames' scores of its labels."""

    scores, labels = (source(i, as_data=True, auto_convert=False) for i in (0, 1))
    frames = tf.sequence_mask(scores.get_sequence_lengths(), dtype=tf.float32)
    sums = tf.reduce_sum(scores.get_placeholder_as_batch_major() * frames[:, :, None], axis=1)
    words = tf.sequence_mask(labels.get_sequence_lengths(), dtype=tf.float32)
    chosen = tf.gather(sums, labels.get_placeholder_as_batch_major(), batch_dims=1)
    return tf.reduce_sum(chosen * words, axis=1)


def test_sources_of_a_function_need_not_go_together() -> None:
    """As scores, labels and frames do not of which a loss by sequence is made."""
    streams = {"data": {"dim": 4}, "labels": {"dim": 3, "sparse": True}, "more": {"dim": 2}}
    opts = {"class": "eval", "eval": _of_labels, "from": ["data", "data:labels", "data:more"]}
    net = {"output": {**opts, "out_type": {"shape": (), "time_dim_axis": None}}}
    x, lengths = dense([4, 2], 4)
    labels = np.array([[0, 2, 1], [1, 1, 0]], np.int32)
    batch = {"data": (x, lengths), "labels": (labels, [3, 1]), "more": dense([2, 1], 2)}
    found = run(Network(net, extern_data=streams), batch)["output"].values
    needed = [x[0, :4, labels[0]].sum(), x[1, :2, 1].sum()]
    np.testing.assert_allclose(found, needed, rtol=1e-5)
    text = r"output \(eval\): found feature dims 2 and 4, needed equal ones or 1"
    for wrong in ({"out_type": {"dim": 4}}, {"eval": "source(0) + source(2)"}):
        with pytest.raises(NetworkError, match=text if "out_type" in wrong else "feature dims"):
            run(Network({"output": {**net["output"], **wrong}}, extern_data=streams), batch)
