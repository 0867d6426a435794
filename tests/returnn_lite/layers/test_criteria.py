"""Losses as layers, soft alignments, and the best hypothesis of a search."""

from __future__ import annotations

from itertools import groupby, product
from typing import Any

import numpy as np
import pytest
from eager import Array, dense, gradients, random_parameters, run, sparse
from models import FEATURES, decoder_net
from reference import softmax

from returnn_lite.errors import NetworkError
from returnn_lite.network import Network

Net = dict[str, Any]

LENGTHS = [4, 1, 3]
STREAMS: Net = {
    "data": {"dim": 3},
    "classes": {"dim": 3, "sparse": True, "same_dim_tags_as": {"t": "data"}},
    "labels": {"dim": 2, "sparse": True},
}
LABELS = (np.array([[0, 1], [1, 0], [1, 1]], np.int32), [2, 1, 2])
BW: Net = {"class": "fast_bw", "align_target": "ctc", "align_target_key": "labels", "from": "data"}


def posteriors(scores: Array, labels: list[int]) -> tuple[Array, float]:
    """Return [time, labels] and -log of the sum, by enumeration of all paths; the blank is 2."""
    time, count = scores.shape
    found = np.zeros((time, count))
    total = 0.0
    for path in product(range(count), repeat=time):
        if [k for k, _ in groupby(path) if k != 2] == labels:
            p = np.exp(sum(scores[t, k] for t, k in enumerate(path)))
            total += p
            found[np.arange(time), path] += p
    return found / (total or 1.0), -np.log(total) if total else np.inf


def test_posteriors_are_those_of_all_paths() -> None:
    network = Network({"output": {**BW, "am_scale": 0.5, "min_prob": 0.5}}, extern_data=STREAMS)
    x = dense(LENGTHS, 3)
    out = run(network, {"data": x, "labels": LABELS})["output"].canonical()
    scores = 0.5 * np.maximum(x[0], np.log(0.5))
    for b, n in enumerate(LENGTHS):
        needed, _ = posteriors(scores[b, :n], LABELS[0][b, : LABELS[1][b]].tolist())
        np.testing.assert_allclose(out[b, :n], needed, atol=1e-5)


def test_a_loss_via_posteriors_has_their_gradient() -> None:
    net: Net = {
        "probs": {"class": "softmax", "from": "data", "n_out": 3},
        "bw": {**BW, "from": "probs", "input_type": "prob"},
        "output": {"class": "copy", "from": "probs", "loss": "via_layer"},
    }
    net["output"]["loss_opts"] = {"align_layer": "bw", "loss_wrt_to_act_in": "softmax"}
    ctc: Net = {"class": "softmax", "from": "data", "target": "labels", "loss": "ctc"}
    batch = {"data": dense(LENGTHS, 3), "labels": (LABELS[0], [2, 1, 1])}
    network = Network(net, extern_data=STREAMS)
    other = Network({"output": ctc}, extern_data=STREAMS)
    params = random_parameters(network)
    other.set_params({k.replace("probs", "output"): v for k, v in params.items()})
    # RETURNN divides the one by frames, the other by labels.
    (total, found), (needed, by_ctc) = gradients(network, batch), gradients(other, batch)
    assert 8 * total == pytest.approx(4 * needed, rel=1e-5)
    for key, g in by_ctc.items():
        np.testing.assert_allclose(8 * found[key.replace("output", "probs")], 4 * g, atol=1e-5)


def test_a_loss_via_combined_posteriors_is_that_combination() -> None:
    mean = "0.25 * source(0) + 0.75 * source(1)"
    combine: Net = {"class": "combine", "kind": "eval", "eval": mean, "from": ["one", "other"]}
    net: Net = {
        "probs": {"class": "softmax", "from": "data", "n_out": 3},
        "one": {**BW, "from": "probs", "input_type": "prob"},
        "other": {**BW, "from": "probs", "input_type": "prob", "am_scale": 0.5},
        "bw": {**combine, "eval_for_output_loss": True},
        "output": {"class": "copy", "from": "probs", "loss": "via_layer"},
    }
    batch, values = {"data": dense(LENGTHS, 3), "labels": LABELS}, {}
    for layer in ("one", "other", "bw"):
        net["output"]["loss_opts"] = {"align_layer": layer}
        network = Network(net, extern_data=STREAMS)
        if not values:
            params = random_parameters(network)
        network.set_params(params)
        values[layer] = run(network, batch).losses["output"].value
    needed = 0.25 * values["one"] + 0.75 * values["other"]
    np.testing.assert_allclose(values["bw"], needed, rtol=1e-5)
    for opts, text in (
        ({"kind": "add", "eval": None}, "found eval_for_output_loss for kind 'add', not 'eval'"),
        ({"from": ["one", "probs"]}, r"for probs \(softmax\), which has no loss, needed fast_bw"),
    ):
        with pytest.raises(NetworkError, match=text):
            Network({**net, "bw": {**net["bw"], **opts}}, extern_data=STREAMS)


def test_losses_by_frame_and_by_sequence() -> None:
    net: Net = {
        "probs": {"class": "softmax", "from": "data", "n_out": 3},
        "output": {"class": "loss", "from": "probs", "loss_": "ce", "target_": "classes"},
        "errors": {"class": "loss", "from": "probs", "loss_": "ce", "target_": "classes"},
        "ctc": {"class": "ctc_loss", "logits": "log", "targets": "data:labels"},
        "log": {"class": "activation", "activation": "log", "from": "probs"},
        "edits": {"class": "loss", "from": "data:classes", "loss_": "edit_distance"},
    }
    net["errors"]["use_error"] = net["edits"]["use_error"] = True
    net["ctc"]["logits_normalized"] = True
    net["edits"]["target_"] = "layer:data:classes"
    network = Network(net, extern_data=STREAMS)
    p = random_parameters(network)
    x, classes = dense(LENGTHS, 3), sparse(LENGTHS, 3)
    batch = {"data": x, "classes": classes, "labels": LABELS}
    out = run(network, batch, ["output", "errors", "ctc", "edits"])
    log_probs = np.log(softmax(x[0] @ p["probs/W"] + p["probs/b"]))
    needed = -np.take_along_axis(log_probs, classes[0][..., None], axis=-1)[..., 0]
    wrong = log_probs.argmax(axis=-1) != classes[0]
    for b, n in enumerate(LENGTHS):
        np.testing.assert_allclose(out["output"].canonical()[b, :n], needed[b, :n], rtol=1e-5)
        assert out["errors"].canonical()[b, :n].tolist() == wrong[b, :n].tolist()
        labels = LABELS[0][b, : LABELS[1][b]].tolist()
        _, loss = posteriors(log_probs[b, :n], labels)
        np.testing.assert_allclose(out["ctc"].values[b], loss, rtol=1e-4)
    assert out["edits"].values.tolist() == [0, 0, 0]


@pytest.mark.parametrize(
    ("net", "text"),
    [
        (
            {"class": "loss", "from": "data", "loss_": "cee", "target_": "classes"},
            r"output \(loss\): unknown loss 'cee'; did you mean 'ce'\?",
        ),
        (
            {"class": "loss", "from": "data", "loss_": "ce", "target_": "labels"},
            r"output \(loss\): found 3 outputs for target .*, needed 2",
        ),
        (
            {"class": "ctc_loss", "logits": "data:classes", "targets": "data:labels"},
            r"output \(ctc_loss\): found .* for target .*, needed features and a sparse target",
        ),
        ({**BW, "ctc_opts": {"blank": 1}}, r"unknown option 'blank' in ctc_opts"),
        ({**BW, "align_target": "sprint"}, r"option 'align_target': found 'sprint', needed 'ctc'"),
        (
            {
                "class": "sparse_softmax_cross_entropy_with_logits",
                "logits": "data",
                "targets": "data:labels",
            },
            r"found targets .* for logits .*, needed as many classes",
        ),
    ],
)
def test_mistakes(net: Net, text: str) -> None:
    with pytest.raises(NetworkError, match=text):
        Network({"output": net}, extern_data=STREAMS)


def test_a_loss_without_a_target() -> None:
    net = {"output": {"class": "loss", "from": "data", "loss_": "ce"}}
    with pytest.raises(NetworkError, match="missing option 'target_' for the loss 'ce'"):
        Network(net, extern_data={"data": STREAMS["data"]})


def test_the_best_hypothesis_by_score_per_label() -> None:
    net = decoder_net(labels=4, beam_size=4, max_len="5", end=3, eos=True)
    net["decided"] = {"class": "decide", "from": "output", "length_normalization": True}
    streams: Net = {"data": {"dim": FEATURES}, "classes": {"dim": 4, "sparse": True}}
    names = ["output", "decided"]
    network = Network(net, extern_data=streams, search=True, outputs=names)
    random_parameters(network, seed=3)
    out = run(network, {"data": dense(LENGTHS, FEATURES)}, names)
    beams, scores = out["output"].canonical().reshape(3, 4, -1), out["output"].scores
    assert out["output"].time_dim is not None and out["decided"].time_dim is not None
    lengths = out["output"].lengths[out["output"].time_dim.name].reshape(3, 4)
    best = (scores / lengths).argmax(axis=1)
    assert best.any()  # the first one is the best by score
    found = out["decided"].lengths[out["decided"].time_dim.name]
    assert found.tolist() == lengths[np.arange(3), best].tolist()
    for b, n in enumerate(found):
        assert out["decided"].canonical()[b, :n].tolist() == beams[b, best[b], :n].tolist()
