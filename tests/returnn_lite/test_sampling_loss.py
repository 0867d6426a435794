"""Losses over sampled classes: against numpy with the classes that were drawn, and on average."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from eager import Array, dense, frame_of, gradients, random_parameters, run, sparse
from reference import sigmoid, softmax

from returnn_lite.errors import NetworkError
from returnn_lite.losses import Given
from returnn_lite.losses.sampling import SamplingLoss
from returnn_lite.network import Network

LENGTHS = [4, 2]
CLASSES = 6
STREAMS = {
    "data": {"dim": 3},
    "classes": {"dim": CLASSES, "sparse": True, "same_dim_tags_as": {"t": "data"}},
}


def network(*, transposed: bool = False, **opts: Any) -> Network:
    layer = {"class": "softmax", "from": "data", "target": "classes", "loss": "sampling_loss"}
    layer |= {"use_transposed_weights": transposed, "loss_opts": opts}
    return Network({"output": layer}, extern_data=STREAMS, train=True)


def batch() -> dict[str, tuple[Array, list[int]]]:
    return {"data": dense(LENGTHS, 3), "classes": sparse(LENGTHS, CLASSES)}


def logits(net: Network) -> Array:
    return batch()["data"][0] @ net.get_params()["output/W"] + net.get_params()["output/b"]


def by_sequence(values: Array) -> list[float]:
    return [float(row[:n].sum()) for row, n in zip(values, LENGTHS, strict=True)]


def test_the_full_softmax_is_cross_entropy() -> None:
    net = network(use_full_softmax=True, num_sampled=100)
    random_parameters(net)
    p = np.take_along_axis(softmax(logits(net)), batch()["classes"][0][..., None], axis=-1)
    loss = run(net, batch()).losses["output"]
    np.testing.assert_allclose(loss.value, by_sequence(-np.log(p[..., 0])), rtol=1e-5)


@pytest.mark.parametrize("nce", [False, True])
@pytest.mark.parametrize("sampler", ["uniform", "log_uniform"])
def test_of_the_drawn_classes(nce: bool, sampler: str) -> None:
    net = network(num_sampled=3, sampler=sampler, nce_loss=nce, nce_log_norm_term=0.3 * nce)
    random_parameters(net)
    frame = frame_of(net, batch())
    criterion = net.scope.get("output").criterion
    assert isinstance(criterion, SamplingLoss)
    drawn, expected = criterion._draw(Given(net.scope.get("output"), frame), CLASSES)
    classes, q = drawn.numpy(), np.log(expected.numpy().astype(float))
    assert len(set(classes.tolist())) == 3
    scores, labels = logits(net) - q - 0.3 * nce, batch()["classes"][0]
    values = np.zeros(labels.shape)
    for place in np.ndindex(labels.shape):
        label, own = labels[place], scores[place]
        others = own[[c for c in classes if nce or c != label]]
        if nce:
            values[place] = -np.log(sigmoid(own[label])) - np.log(sigmoid(-others)).sum()
        else:
            values[place] = np.log(np.exp([own[label], *others]).sum()) - own[label]
    out = run(net, batch())
    np.testing.assert_allclose(out.losses["output"].value, by_sequence(values), rtol=1e-4)
    steps = [run(net, batch(), step=i).losses["output"].value for i in range(1, 4)]
    assert not all(np.allclose(other, out.losses["output"].value) for other in steps)


def test_weights_may_be_stored_either_way() -> None:
    found = []
    weights = np.random.default_rng(0).standard_normal((3, CLASSES)).astype(np.float32)
    for transposed in (True, False):
        net = network(transposed=transposed, num_sampled=4)
        bias = net.get_params()["output/b"] + 0.2
        net.set_params({"output/W": weights.T if transposed else weights, "output/b": bias})
        value, grads = gradients(net, batch())
        found.append((value, grads["output/W"].T if transposed else grads["output/W"]))
    np.testing.assert_allclose(found[0][0], found[1][0], rtol=1e-6)
    np.testing.assert_allclose(found[0][1], found[1][1], rtol=1e-5)
    assert np.any(found[0][1])


def drawn_one_by_one(shares: Array, rng: np.random.Generator) -> tuple[list[int], Array]:
    """Return the first three different classes, and how often each is expected in so many draws."""
    draws: list[int] = []
    while len(set(draws)) < 3:
        draws.append(int(rng.choice(len(shares), p=shares)))
    often = 1 - (1 - shares) ** len(draws) if len(draws) > 3 else 3 * shares
    return sorted(set(draws)), often


@pytest.mark.parametrize("sampler", ["uniform", "log_uniform"])
def test_classes_are_drawn_as_one_by_one_until_there_are_enough(sampler: str) -> None:
    ranks = np.arange(1, CLASSES + 1)
    shares = np.log1p(1 / ranks) / np.log(CLASSES + 1)
    shares = shares if sampler == "log_uniform" else np.full(CLASSES, 1 / CLASSES)
    criterion = SamplingLoss(num_sampled=3, sampler=sampler)  # type: ignore[arg-type]
    net, rng, count = network(num_sampled=3), np.random.default_rng(0), 1500
    given = Given(net.scope.get("output"), frame_of(net, batch()))
    sums = np.zeros((2, 2, CLASSES))
    for step in range(count):
        given.run.step = step
        classes, expected = criterion._draw(given, CLASSES)
        found = classes.numpy(), expected.numpy()
        for i, (drawn, often) in enumerate((found, drawn_one_by_one(shares, rng))):
            sums[i, 0, drawn] += 1
            sums[i, 1] += often
    np.testing.assert_allclose(sums[0] / count, sums[1] / count, atol=0.06)


@pytest.mark.parametrize("moved", [True, False])
def test_in_a_loop(moved: bool) -> None:
    prob = {"class": "softmax", "from": "h", "target": "classes", "loss": "sampling_loss"}
    unit = {
        "h": {"class": "linear", "activation": "tanh", "n_out": 3, "from": "data:source"},
        "output": {**prob, "dropout": 0.4, "loss_opts": {"num_sampled": 3}},
    }
    found = []
    for optimise in (moved, True):
        rec = {"class": "rec", "from": "data", "unit": unit, "optimize_move_layers_out": optimise}
        net = Network({"output": rec}, extern_data=STREAMS, train=True)
        random_parameters(net)
        (loss,) = run(net, batch()).losses.values()
        found.append(loss.value)
    np.testing.assert_allclose(found[0], found[1], rtol=1e-5)


@pytest.mark.parametrize(
    ("opts", "text"),
    [
        ({"num_sampled": 7}, "found num_sampled 7, needed at most the 6 classes"),
        ({"num_sampled": 0}, "found num_sampled 0, needed 1 or more"),
        ({"num_sampled": 2, "sampler": "unigram"}, "option 'sampler' of the loss 'sampling_loss'"),
    ],
)
def test_mistakes(opts: dict[str, Any], text: str) -> None:
    with pytest.raises(NetworkError, match=rf"output \(softmax\): {text}"):
        network(**opts)


def test_it_needs_weights() -> None:
    layer = {"class": "activation", "activation": "softmax", "from": "data", "n_out": 3}
    layer |= {"target": "labels", "loss": "sampling_loss", "loss_opts": {"num_sampled": 2}}
    labels = {"labels": {"dim": 3, "sparse": True, "same_dim_tags_as": {"t": "data"}}}
    net = Network({"output": layer}, extern_data=STREAMS | labels)
    with pytest.raises(NetworkError, match="needed a linear layer with both"):
        run(net, {"data": dense(LENGTHS, 3), "labels": sparse(LENGTHS, 3)})
