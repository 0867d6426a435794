"""Sampled classes as layers, with a loss that the network writes, give what sampling_loss gives."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from eager import dense, gradients, random_parameters, run, sparse

from returnn_lite.errors import NetworkError
from returnn_lite.network import Network

LENGTHS = [4, 2, 3]
STREAMS = {
    "data": {"dim": 3},
    "words": {"dim": 12, "sparse": True, "same_dim_tags_as": {"t": "data"}},
}
BATCH = {"data": dense(LENGTHS, 3), "words": sparse(LENGTHS, 12)}
# The loss draws by this name.
SAMPLER = "output/sampling"
OUTPUT = {"class": "softmax", "from": "data", "n_out": 12, "use_transposed_weights": True}


def _loss(self: Any, source: Any) -> Any:
    import tensorflow as tf

    scores = source(0, auto_convert=False)
    true = tf.one_hot(tf.zeros([tf.shape(scores)[0]], tf.int32), 6)
    return tf.nn.softmax_cross_entropy_with_logits(true, scores)


def _nce(self: Any, source: Any) -> Any:
    import tensorflow as tf

    scores = source(0, auto_convert=False)
    true = tf.one_hot(tf.zeros([tf.shape(scores)[0]], tf.int32), 6)
    return tf.reduce_sum(tf.nn.sigmoid_cross_entropy_with_logits(true, scores), axis=1)


def layers(**opts: Any) -> dict[str, Any]:
    logits = {"class": "sampled_logits", "sampler": SAMPLER, "labels": "data:words"}
    return {
        SAMPLER: {"class": "sampling", "num_sampled": 5, "from": "data:words"},
        "logits": {**logits, "reuse_params": "output", "n_out": 6, "from": "data", **opts},
        "output": OUTPUT,
    }


@pytest.mark.parametrize("nce", [False, True])
def test_the_loss_is_sampling_loss(nce: bool) -> None:
    opts = {"nce_log_norm_term": 0.5} if nce else {}
    loss = {"loss": "sampling_loss", "loss_opts": {"num_sampled": 5, "nce_loss": nce, **opts}}
    whole = {"output": {**OUTPUT, **loss, "target": "words"}}
    one = Network(whole, extern_data=STREAMS, train=True)
    out_type = {"shape": (), "time_dim_axis": None, "feature_dim_axis": None, "dim": None}
    by_hand = {"class": "eval", "eval": _nce if nce else _loss, "from": "logits", "loss": "as_is"}
    by_hand |= {"out_type": {**out_type, "batch_dim_axis": 0}}
    net = {**layers(nce=nce, **opts), "by_hand": by_hand}
    other = Network(net, extern_data=STREAMS, train=True, outputs=["by_hand"])
    assert other.param_shapes() == {"output/W": (12, 3), "output/b": (12,)}
    other.set_params(random_parameters(one))
    for step in (0, 3):
        needed = run(one, BATCH, step=step).losses["output"]
        found = run(other, BATCH, step=step).losses["by_hand"]
        assert found.summed == pytest.approx(needed.summed, rel=1e-5)
        assert found.norm_factor == pytest.approx(needed.norm_factor)
    (a, first), (b, second) = (gradients(n, BATCH) for n in (one, other))
    assert a == pytest.approx(b, rel=1e-5)
    for name, gradient in first.items():
        np.testing.assert_allclose(second[name], gradient, rtol=1e-4, atol=1e-6)


def test_samples_are_different_classes_of_the_labels() -> None:
    network = Network(layers(), extern_data=STREAMS, train=True, outputs=["logits", SAMPLER])
    out = run(network, BATCH, with_losses=False)
    classes = out[SAMPLER].values.tolist()
    assert len(set(classes)) == 5 and set(classes) <= set(range(12))
    assert out["logits"].values.shape == (sum(LENGTHS), 6)
    again = run(network, BATCH, step=1, with_losses=False)[SAMPLER].values.tolist()
    assert again != classes


@pytest.mark.parametrize(
    ("change", "text"),
    [
        ({SAMPLER: {"num_sampled": 13}}, "found num_sampled 13, needed 1 to the 12 classes"),
        ({SAMPLER: {"from": "data"}}, "found source .*, needed labels"),
        ({"logits": {"sampler": "output"}}, "found sampler 'output', which is no layer 'sampling'"),
        ({"logits": {"n_out": 5}}, "found n_out 5, needed that of"),
        ({"logits": {"labels": "output"}}, "found source .* and labels .*, needed the same frames"),
        ({"logits": {"from": "data:words"}}, "found source .*, needed the same frames"),
    ],
)
def test_mistakes(change: dict[str, Any], text: str) -> None:
    net = layers()
    for name, opts in change.items():
        net[name] = {**net[name], **opts}
    with pytest.raises(NetworkError, match=text):
        Network(net, extern_data=STREAMS, outputs=["logits"])
