"""Losses: against numpy and tf.nn.ctc_loss, per sequence, and mistakes in them."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from eager import Array, dense, frame_of, gradients, random_parameters, run, sparse
from reference import gradients as numeric_gradients
from reference import softmax

from returnn_lite.errors import NetworkError
from returnn_lite.losses import Loss, objective
from returnn_lite.network import Network

LENGTHS = [5, 2, 3]
STREAMS = {
    "data": {"dim": 3},
    "classes": {"dim": 4, "sparse": True},
    "labels": {"dim": 4, "sparse": True, "same_dim_tags_as": {"t": "classes"}},
}
CE = {"class": "softmax", "from": "data", "target": "classes", "loss": "ce"}
EDITS = {**CE, "loss": "edit_distance"}
LABEL_MAP = {0: 0, 1: 0, 2: 1, 3: None}


def batch() -> dict[str, tuple[Array, list[int]]]:
    return {"data": dense(LENGTHS, 3), "classes": sparse(LENGTHS, 4)}


def log_probs(p: Any, data: Array) -> Array:
    return np.log(softmax(data @ p["output/W"] + p["output/b"]))


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
@pytest.mark.parametrize("train", [False, True])
def test_cross_entropy(smoothing: float, train: bool) -> None:
    net = {"output": {**CE, "loss_opts": {"label_smoothing": smoothing}}}
    network = Network(net, extern_data=STREAMS, train=train)
    params = random_parameters(network)
    p = {k: v.astype(np.float64) for k, v in params.items()}
    x, labels = batch()["data"][0].astype(np.float64), batch()["classes"][0]
    # Smoothing leaves 1 - s for the label, and shares s among the others; the best value is zero.
    s = smoothing
    entropy = -(1 - s) * np.log(1 - s) - s * np.log(s / 3) if s else 0.0

    def values() -> list[float]:
        scores = log_probs(p, x)
        targets = np.full((3, 5, 4), s / 3)
        np.put_along_axis(targets, labels[..., None], 1.0 - s, axis=-1)
        terms = -np.sum(targets * scores, axis=-1)
        return [float((t - entropy)[:n].sum()) for t, n in zip(terms, LENGTHS, strict=True)]

    loss = run(network, batch()).losses["output"]
    np.testing.assert_allclose(loss.value, values(), rtol=1e-5)
    best = log_probs(p, x).argmax(axis=-1)
    wrong = [int(np.sum((a != b)[:n])) for a, b, n in zip(best, labels, LENGTHS, strict=True)]
    assert loss.error is not None and loss.error.tolist() == wrong
    assert loss.weight.tolist() == LENGTHS
    total, found = gradients(network, batch())
    assert total == pytest.approx(sum(values()) / sum(LENGTHS), rel=1e-5)
    for key, g in numeric_gradients(lambda: sum(values()) / sum(LENGTHS), p).items():
        np.testing.assert_allclose(found[key], g, rtol=1e-3, atol=1e-5)


@pytest.mark.parametrize("activation", ["softmax", "log_softmax"])
@pytest.mark.parametrize("wrapped", ["exp", None])
def test_cross_entropy_is_exact_for_unlikely_labels(activation: str, wrapped: str | None) -> None:
    output = {**CE, "class": "linear", "activation": activation}
    net: dict[str, Any] = {"output": output}
    if wrapped is not None and activation == "log_softmax":
        target = {"target": "classes", "loss": "ce"}
        layer = {"class": "linear", "activation": activation, "n_out": 4, "from": "data"}
        net = {"scores": layer}
        net["output"] = {"class": "activation", "activation": "exp", "from": "scores", **target}
    network = Network(net, extern_data=STREAMS)
    (name,) = (n for n in network.param_shapes() if n.endswith("/W"))
    weights = np.zeros((3, 4), np.float32)
    weights[:, 0] = 300.0
    network.set_params({name: weights})
    one = {"data": (np.ones((1, 1, 3)), [1]), "classes": (np.array([[2]]), [1])}
    assert network.run(one).losses["output"].value.tolist() == pytest.approx([900.0])
    _, found = gradients(
        network, {"data": (np.ones((1, 1, 3), np.float32), [1]), "classes": one["classes"]}
    )
    np.testing.assert_allclose(found[name][0], [1.0, 0.0, -1.0, 0.0], atol=1e-6)


def test_ctc_is_that_of_tensorflow_with_the_blank_last() -> None:
    import tensorflow as tf

    net = {"output": {**CE, "loss": "ctc"}}
    network = Network(net, extern_data=STREAMS)
    params = random_parameters(network)
    targets = (np.array([[1, 1, 3], [0, 0, 0], [2, 0, 0]], np.int32), [3, 0, 1])
    found = {"data": dense(LENGTHS, 3), "classes": targets}
    x = tf.constant(found["data"][0])
    variables = {k: tf.constant(v) for k, v in params.items()}
    with tf.GradientTape() as tape:
        tape.watch(variables)
        logits = tf.transpose(x @ variables["output/W"] + variables["output/b"], [1, 0, 2])
        values = tf.nn.ctc_loss(targets[0], logits, targets[1], LENGTHS, blank_index=4)
        total = tf.reduce_sum(values) / 4
    loss = run(network, found).losses["output"]
    np.testing.assert_allclose(loss.value, values, rtol=1e-4)
    assert loss.weight.tolist() == [3, 0, 1]
    value, by_param = gradients(network, found)
    assert value == pytest.approx(float(total), rel=1e-5)
    for key, needed in tape.gradient(total, variables).items():
        np.testing.assert_allclose(by_param[key], needed, rtol=1e-3, atol=1e-5)


def test_ctc_errors_are_edits_of_the_best_path() -> None:
    net = {"output": {**CE, "loss": "ctc"}}
    network = Network(net, extern_data={**STREAMS, "data": {"dim": 5}})
    network.set_params({"output/W": 9 * np.eye(5), "output/b": np.zeros(5)})
    paths = [[1, 1, 4, 1, 2, 4], [4, 4, 4, 0, 0, 0], [3, 0, 4, 4, 4, 4]]
    frames = np.eye(5, dtype=np.float32)[paths]
    targets = (np.array([[1, 1, 2], [0, 0, 0], [3, 2, 1]], np.int32), [3, 0, 3])
    out = run(network, {"data": (frames, [6, 3, 6]), "classes": targets})
    assert out.losses["output"].error.tolist() == [0, 0, 2]  # type: ignore[union-attr]


def test_as_is_sums_the_valid_frames() -> None:
    net = {
        "output": {
            "class": "eval",
            "eval": "tf.reduce_sum(source(0) ** 2 + 1.0, axis=-1, keepdims=True)",
            "out_type": {"dim": 1},
            "from": "data",
            "loss": "as_is",
        }
    }
    network = Network(net, extern_data=STREAMS)
    x, _ = batch()["data"]
    loss = run(network, {"data": (x, LENGTHS)}).losses["output"]
    needed = [np.sum(x[b, :n] ** 2) + 3 * n for b, n in enumerate(LENGTHS)]
    np.testing.assert_allclose(loss.value, needed, rtol=1e-5)
    assert (loss.error, loss.weight.tolist()) == (None, LENGTHS)


def test_the_objective_is_the_scaled_sum_of_losses_per_label() -> None:
    import tensorflow as tf

    def loss(value: list[float], weight: list[float], scale: float) -> Loss:
        return Loss(tf.constant(value), None, tf.constant(weight), scale)

    losses = {"a": loss([4.0, 2.0], [2.0, 1.0], 1.0), "b": loss([9.0, 0.0], [0.0, 0.0], 0.5)}
    assert float(objective(losses)) == pytest.approx(2.0 + 4.5)


def test_a_loss_is_not_computed_where_its_target_is_not_given() -> None:
    network = Network({"output": CE}, extern_data=STREAMS)
    out = network.run({"data": batch()["data"]})
    assert (set(out), dict(out.losses)) == ({"output"}, {})
    with pytest.raises(NetworkError, match="batch: found no stream 'classes', needed it"):
        network.losses(frame_of(network, {"data": batch()["data"]}))


def test_lengths_of_output_and_target_must_agree() -> None:
    network = Network({"output": CE}, extern_data=STREAMS)
    found = {"data": dense([5, 3], 3), "classes": sparse([5, 2], 4)}
    with pytest.raises(NetworkError) as error:
        network.run(found)
    assert str(error.value) == (
        "output (softmax): found lengths of time:var:extern_data:classes, "
        "needed those of time:var:extern_data:data"
    )


@pytest.mark.parametrize(
    ("layer", "text"),
    [
        ({**CE, "loss": "cee"}, r"output \(softmax\): unknown loss 'cee'; did you mean 'ce'\?"),
        (
            {**CE, "loss_opts": {"label_smooting": 0.1}},
            r"unknown option 'label_smooting' of the loss 'ce'; did you mean 'label_smoothing'\?",
        ),
        ({**CE, "loss_opts": {"label_smoothing": 1}}, r"found label_smoothing 1, needed 0 or"),
        (
            {**CE, "n_out": 5},
            r"output \(softmax\): found 5 outputs for target \[B,T.*, dim 4, needed 4$",
        ),
        (
            {**CE, "loss": "ctc", "n_out": 4},
            r"found 4 outputs for target .*, dim 4, needed 5, the last one for the blank",
        ),
        ({**CE, "target": "data", "n_out": 4}, r"found 4 outputs for target \[B,T.*, needed 3"),
        (
            {**CE, "target": "data", "n_out": 3, "loss_opts": {"label_smoothing": 0.1}},
            r"output \(softmax\): found label_smoothing or focal_loss_factor for target .*, needed",
        ),
        (
            {**CE, "loss_scale": 2.0, "loss_opts": {"scale": 3.0}},
            r"found loss_scale 2.0 and the option scale 3.0, needed one of them",
        ),
        (EDITS, r"needed sparse data; try 'decide'"),
        (
            {**EDITS, "loss_opts": {"ctc_decode": True}, "n_out": 4},
            r"found 4 outputs for target .*, dim 4, needed 5, the last one for the blank",
        ),
        ({**EDITS, "loss_opts": {"label_map": {0: 0, 2: 1}}}, "needed all labels of .*, dim 4"),
        ({**EDITS, "loss_opts": {"label_map": {0: "a"}}}, "found .*, needed labels or None in it"),
        ({**CE, "loss": "search_score"}, r"found the loss 'search_score' without a search, needed"),
        (
            {**CE, "loss": "expected_loss"},
            r"output \(softmax\): missing option .*'loss' and 'loss_kind' of the loss",
        ),
        (
            {**CE, "loss": "ctc", "loss_opts": {"ctc_opts": {"blank": 0}}},
            r"unknown option 'blank' in ctc_opts; did you mean 'blank_index'",
        ),
        (
            {**CE, "loss": "via_layer"},
            r"needed one of the options error_signal_layer and align_layer",
        ),
        (
            {**CE, "loss": "via_layer", "loss_opts": {"align_layer": "data"}},
            r"output \(softmax\): found align_layer data:data .*, which has no loss, needed fast",
        ),
        (
            {**CE, "register_as_extern_data": ["x"]},
            r"output: option 'register_as_extern_data': found \['x'\], needed a string",
        ),
        ({**CE, "target": "clases"}, r"output \(softmax\): no data stream 'clases'; did you mean"),
        (
            {**CE, "loss": "ctc", "class": "linear", "activation": "tanh"},
            r"output \(linear\): found activation 'tanh', needed 'softmax' for the loss 'ctc'",
        ),
        (
            {**CE, "loss_opts": {"custom_norm_factor": 0.5, "custom_inv_norm_factor": "data"}},
            "found custom_norm_factor and custom_inv_norm_factor of the loss 'ce', needed one",
        ),
        (
            {**CE, "loss": "ctc", "loss_opts": {"use_viterbi": True, "ctc_opts": {"a": 1}}},
            "unknown option 'a' in ctc_opts",
        ),
        (
            {
                **CE,
                "loss": "ctc",
                "loss_opts": {"use_viterbi": True, "ctc_opts": {"blank_index": 0}},
            },
            "found ctc_opts with use_viterbi, needed none",
        ),
        (
            {**CE, "loss_opts": {"safe_log_opts": {"epsilon": 0.1}}},
            "unknown option 'epsilon' in safe_log_opts; did you mean 'eps'",
        ),
    ],
)
def test_mistakes(layer: dict[str, Any], text: str) -> None:
    with pytest.raises(NetworkError, match=text):
        network = Network({"output": layer}, extern_data=STREAMS)
        run(network, batch())


def test_ctc_errors_in_evaluation_are_of_a_beam_search() -> None:
    # The best path is all blanks, but the label's paths together are more probable.
    probs = np.array([[0.4, 0.0, 0.6], [0.4, 0.0, 0.6]], np.float32)
    streams = {"data": {"dim": 3}, "classes": {"dim": 2, "sparse": True}}
    net: dict[str, Any] = {"output": {"class": "copy", "from": "data", "target": "classes"}}
    net["output"] |= {"loss": "ctc", "loss_opts": {"beam_width": 4}}
    batch = {
        "data": (probs[None], [2]),
        "classes": (np.array([[0]], np.int32), [1]),
    }
    network = Network(net, extern_data=streams)
    found = {}
    for train in (True, False):
        loss = run(network, batch, train=train).losses["output"]
        assert loss.error is not None
        found[train] = loss.error.tolist()
        assert loss.value.tolist() == pytest.approx([-np.log(0.4 * 0.4 + 2 * 0.4 * 0.6)])
    assert found == {True: [1], False: [0]}


@pytest.mark.parametrize("log_space", [False, True])
def test_labels_of_ctc_are_searched_and_mapped_before_they_are_compared(log_space: bool) -> None:
    more = {"activation": None} if log_space else {}
    opts: Any = {"ctc_decode": True, "label_map": LABEL_MAP, "output_in_log_space": log_space}
    streams = {**STREAMS, "data": {"dim": 5}}
    net = Network({"output": {**EDITS, **more, "loss_opts": opts}}, extern_data=streams)
    net.set_params({"output/W": 9.0 * np.eye(5, dtype=np.float32), "output/b": np.zeros(5, "f")})
    # The blank is 4: of these, the labels 0 0 2 and 3 1 3 are found, and mapped to 0 0 1 and 0.
    frames = np.array([[0, 0, 4, 0, 2], [3, 1, 4, 4, 3]])
    labels = np.array([[1, 3, 2], [2, 3, 3]], np.int32)  # mapped to 0 1, and those of two to 1
    data = {"data": (np.eye(5, dtype=np.float32)[frames], [5, 5]), "classes": (labels, [3, 2])}
    np.testing.assert_array_equal(run(net, data).losses["output"].error, [1.0, 1.0])


def test_ctc_leaves_out_what_has_no_path() -> None:
    net = {"output": {**CE, "loss": "ctc"}}
    targets = (np.array([[1, 1, 3], [0, 0, 0], [2, 0, 0]], np.int32), [3, 3, 1])
    found = {"data": dense(LENGTHS, 3), "classes": targets}
    values, by_param = [], []
    for skip in ({}, {"ctc_opts": {"ignore_longer_outputs_than_inputs": True}}):
        network = Network({"output": {**net["output"], "loss_opts": skip}}, extern_data=STREAMS)
        random_parameters(network)
        values.append(run(network, found).losses["output"].value)
        by_param.append(gradients(network, found)[1])
    assert np.isinf(values[0][1]) and values[1][1] == 0
    np.testing.assert_array_equal(values[0][[0, 2]], values[1][[0, 2]])
    assert all(np.isfinite(g).all() for g in by_param[1].values())


def test_cross_entropy_of_sequences_as_a_whole_is_divided_by_their_number() -> None:
    net: dict[str, Any] = {
        "last": {"class": "get_last_hidden_state", "from": "lstm", "key": "h", "n_out": 4},
        "lstm": {"class": "rec", "unit": "lstm", "n_out": 4, "from": "data"},
        "count": {"class": "length", "from": "data"},
        "label": {"class": "reinterpret_data", "from": "count", "set_sparse_dim": 6},
        "output": {**CE, "from": "last", "target": "label"},
    }
    network = Network(net, extern_data=STREAMS)
    random_parameters(network)
    out = run(network, {"data": dense(LENGTHS, 3)}, ["output"])
    probs, loss = out["output"].canonical(), out.losses["output"]
    needed = [-np.log(p[n]) for p, n in zip(probs, LENGTHS, strict=True)]
    np.testing.assert_allclose(loss.value, needed, rtol=1e-4)
    assert loss.weight.tolist() == [1, 1, 1]


def test_losses_that_are_only_for_some_modes() -> None:
    net = {
        "output": {**CE, "only_on_eval": True},
        "other": {**CE, "loss_only_on_non_search": True},
        "third": {**CE, "only_on_search": True},
    }
    network = Network(net, extern_data=STREAMS)
    assert set(run(network, batch()).losses) == {"output", "other"}
    assert set(run(network, batch(), train=True).losses) == {"other"}
    assert "third" not in network.param_shapes()
    network = Network(net, extern_data=STREAMS, search=True)
    assert [n.name for n in network.outputs] == ["output"]
    assert network.loss_nodes == []


def test_a_loss_is_multiplied_by_its_own_norm_factor() -> None:
    network = Network(
        {"output": {**CE, "loss_opts": {"custom_norm_factor": 2.0}}}, extern_data=STREAMS
    )
    random_parameters(network)
    value = run(network, batch()).losses["output"]
    assert value.norm_factor == pytest.approx(2.0)
    total, _ = gradients(network, batch())
    assert total == pytest.approx(2.0 * value.summed, rel=1e-5)


def test_binary_cross_entropy_of_one_number_for_each_frame_takes_labels() -> None:
    net: dict[str, Any] = {
        "one": {"class": "linear", "activation": None, "n_out": 1, "from": "data"},
        "output": {"class": "squeeze", "axis": "F", "from": "one", "loss": "bin_ce"},
    }
    streams = {**STREAMS, "classes": {"dim": 2, "sparse": True}}
    network = Network(net, extern_data=streams)
    random_parameters(network)
    labels = sparse(LENGTHS, 2)
    out = run(network, {"data": dense(LENGTHS, 3), "classes": labels}, ["output"])
    x = out["output"].canonical()
    terms = np.where(labels[0], np.log1p(np.exp(-x)), np.log1p(np.exp(x)))
    needed = [row[:n].sum() for row, n in zip(terms, LENGTHS, strict=True)]
    np.testing.assert_allclose(out.losses["output"].value, needed, rtol=1e-5)


def test_a_target_may_have_the_first_word_of_streams() -> None:
    found = []
    for target in ("classes", "data:classes"):
        network = Network({"output": {**CE, "target": target}}, extern_data=STREAMS)
        random_parameters(network)
        found.append(run(network, batch()).losses["output"].summed)
    assert found[0] == found[1]
    net = {"output": {**CE, "target": "data:classes", "n_out": 4}}
    assert Network(net, extern_data=STREAMS, search=True).loss_nodes == []


def test_a_label_that_is_the_blank_is_an_error_of_ours() -> None:
    opts = {"ctc_opts": {"blank_index": 0}}
    net = {"output": {**CE, "loss": "ctc", "loss_opts": opts}}
    found = {"data": dense(LENGTHS, 3), "classes": (np.array([[2, 0]] * 3), [1, 2, 1])}
    with pytest.raises(NetworkError, match=r"labels\[1, 1\]\): found 0, needed 0 to 4 without the"):
        Network(net, extern_data=STREAMS).run(found)


def test_a_target_in_a_loop_may_depend_on_the_step_before() -> None:
    unit: dict[str, Any] = {
        "s": {"class": "linear", "n_out": 4, "from": ["prev:s", "data:source"]},
        "mean": {"class": "eval", "eval": "0.5 * source(0)", "from": "prev:s"},
        "output": {"class": "copy", "from": "s", "loss": "mse", "target": "layer:mean"},
    }
    net = {"output": {"class": "rec", "from": "data", "unit": unit}}
    network = Network(net, extern_data=STREAMS)
    random_parameters(network)
    out = network.run({"data": dense(LENGTHS, 3)})
    y = out["output"].canonical()
    before = np.pad(y[:, :-1], [[0, 0], [1, 0], [0, 0]])
    terms = np.mean(np.square(y - 0.5 * before), axis=-1)
    needed = [row[:n].sum() for row, n in zip(terms, LENGTHS, strict=True)]
    np.testing.assert_allclose(out.losses["output/output"].value, needed, rtol=1e-5)
