"""Sentence BLEU against its definition with counters."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
import tensorflow as tf
from eager import run

from returnn_lite.errors import NetworkError
from returnn_lite.losses.bleu import sentence_bleu
from returnn_lite.network import Network


def bleu(labels: list[int], reference: list[int], max_order: int) -> float:
    logs = []
    for n in range(1, max_order + 1):
        own, other = (
            Counter(tuple(x[i : i + n]) for i in range(len(x) - n + 1)) for x in (labels, reference)
        )
        matches, total = sum((own & other).values()), sum(own.values())
        with np.errstate(divide="ignore"):
            logs.append(np.log((matches + (n > 1)) / max(total + (n > 1), 1)))
    brevity = min(1.0 - len(reference) / max(len(labels), 1), 0.0)
    return float(np.exp(np.mean(logs) + brevity))


@pytest.mark.parametrize("max_order", [1, 2, 4])
def test_it_is_that_of_counters(max_order: int) -> None:
    rng = np.random.default_rng(0)
    lengths, others = rng.integers(0, 8, 50), rng.integers(1, 8, 50)
    labels, references = rng.integers(0, 3, (50, 8)), rng.integers(0, 3, (50, 8))
    labels[0], references[0], lengths[0], others[0] = 1, 1, 6, 6
    given = [tf.constant(x, tf.int32) for x in (labels, lengths, references, others)]
    found = sentence_bleu(*given, max_order=max_order).numpy()
    needed = [
        bleu(a[:n].tolist(), b[:m].tolist(), max_order)
        for a, n, b, m in zip(labels, lengths, references, others, strict=True)
    ]
    np.testing.assert_allclose(found, needed, atol=1e-5)
    assert found[0] == pytest.approx(1.0) and 0.0 < np.mean(found) < 0.9


@pytest.mark.parametrize("labels", [[], [1], [1, 2]])
@pytest.mark.parametrize("reference", [[1], [2, 1], [1, 2, 0]])
def test_sequences_shorter_than_the_longest_n_gram(labels: list[int], reference: list[int]) -> None:
    rows = ([labels], [len(labels)], [reference], [len(reference)])
    found = sentence_bleu(*(tf.constant(x, tf.int32) for x in rows)).numpy()
    np.testing.assert_allclose(found, [bleu(labels, reference, 4)], atol=1e-6)


STREAMS = {"data": {"dim": 4, "sparse": True}, "other": {"dim": 4, "sparse": True}}


def test_it_is_an_error_without_a_value() -> None:
    net = {"output": {"class": "copy", "from": "data", "loss": "bleu", "target": "other"}}
    a, b = np.array([[1, 2, 3]], np.int32), np.array([[1, 2, 0]], np.int32)
    loss = run(Network(net, extern_data=STREAMS), {"data": (a, [3]), "other": (b, [3])}).losses
    assert loss["output"].value.tolist() == [0.0] and loss["output"].error is not None
    assert loss["output"].error[0] == pytest.approx(1.0 - bleu([1, 2, 3], [1, 2, 0], 4), abs=1e-5)


def test_mistakes() -> None:
    net = {"output": {"class": "copy", "from": "data", "loss": "bleu", "target": "other"}}
    with pytest.raises(NetworkError, match=r"output \(copy\): found .*, needed labels"):
        Network(net, extern_data={**STREAMS, "other": {"dim": 4}})
    net["output"]["loss_opts"] = {"max_order": 0}  # type: ignore[assignment]
    with pytest.raises(NetworkError, match="found max_order 0, needed 1 or more"):
        Network(net, extern_data=STREAMS)
