"""Training criteria of sequences: their values by hand, and that a step of training helps."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from eager import dense, gradients, random_parameters, run
from models import FEATURES, decoder_net
from test_bleu import bleu

from recipes.networks import sequence_training as training
from returnn_lite.network import Network

Net = dict[str, Any]
LABELS = (np.array([[1, 0, 2], [2, 0, 0], [0, 0, 2]], np.int32), [3, 1, 3])
BATCH = {"data": dense([3, 2, 4], FEATURES), "classes": LABELS}
STREAMS = {"data": {"dim": FEATURES}, "classes": {"dim": 3, "sparse": True}}


def decoder(beam_size: int = 40) -> Net:
    net = decoder_net(labels=3, beam_size=beam_size, max_len="3", end=2, eos=True)
    return net


def network(net: Net, **how: Any) -> Network:
    found = Network(net, extern_data=STREAMS, train=True, **how)
    random_parameters(found)
    return found


def n_best(net: Net) -> list[list[tuple[list[int], float]]]:
    """Return labels and scores of all hypotheses, by sequence."""
    found = run(network(net, search=True), BATCH, ["output"], with_losses=False)["output"]
    assert found.scores is not None and found.time_dim is not None
    lengths, size = found.lengths[found.time_dim.name], found.scores.shape[1]
    labels = [r[:n].tolist() for r, n in zip(found.canonical(), lengths, strict=True)]
    rows = [labels[i : i + size] for i in range(0, len(labels), size)]
    return [
        [(x, s) for x, s in zip(r, scores, strict=True) if np.isfinite(s)]
        for r, scores in zip(rows, found.scores.tolist(), strict=True)
    ]


def truth(b: int) -> list[int]:
    found: list[int] = LABELS[0][b, : LABELS[1][b]].tolist()
    return found


def improves(model: Network, loss: str) -> None:
    """Assert that a small step against the gradient makes a loss less."""
    before = run(model, BATCH).losses[loss].value.sum()
    _, found = gradients(model, BATCH)
    assert max(np.abs(g).max() for g in found.values()) > 1e-4
    model.set_params({k: v - 0.02 * found[k] for k, v in model.get_params().items()})
    assert run(model, BATCH).losses[loss].value.sum() < before


@pytest.mark.parametrize("beam_size", [2, 40])
def test_the_score_of_a_search_is_that_of_its_hypotheses(beam_size: int) -> None:
    """A beam with more room than there are hypotheses gives no infinite loss."""
    net = decoder(beam_size)
    net["score"] = {"class": "copy", "from": "output", "loss": "search_score"}
    model = network(net, search=True)
    needed = [-sum(s for _, s in row) for row in n_best(net)]
    np.testing.assert_allclose(run(model, BATCH).losses["score"].value, needed, rtol=1e-5)
    improves(model, "score")


def test_mutual_information_is_that_of_the_list() -> None:
    for beam_size in (2, 40):
        net = training.mutual_information(decoder(beam_size))
        model = network(net, search=True)
        found = run(model, BATCH).losses["mmi"].value
        for b, hyps in enumerate(n_best(net)):
            assert sum(labels == truth(b) for labels, _ in hyps) == 1
            scores = np.array([s for _, s in hyps])
            true = next(s for labels, s in hyps if labels == truth(b))
            assert found[b] == pytest.approx(np.logaddexp.reduce(scores) - true, abs=1e-4)
        improves(model, "mmi")


@pytest.mark.parametrize("name", ["minimum_word_errors", "maximum_bleu"])
def test_risk_is_the_expectation_over_all_hypotheses(name: str) -> None:
    net = getattr(training, name)(decoder())
    net["risk"]["loss_opts"] |= {"subtract_average_loss": False, "divide_beam_size": False}
    model = network(net, search=True)
    found = run(model, BATCH).losses["risk"].value
    for b, hyps in enumerate(n_best(net)):
        weights = np.exp([s for _, s in hyps])
        weights /= weights.sum()
        errors = [_errors(name, labels, truth(b)) for labels, _ in hyps]
        assert found[b] == pytest.approx(float(weights @ np.array(errors)), abs=1e-4)
    improves(model, "risk")


def _errors(name: str, labels: list[int], reference: list[int]) -> float:
    if name == "maximum_bleu":
        return 1.0 - bleu(labels, reference, 4)
    row = list(range(len(reference) + 1))
    for i, x in enumerate(labels, 1):
        new = [i]
        for j, y in enumerate(reference, 1):
            new.append(min(row[j] + 1, new[-1] + 1, row[j - 1] + (x != y)))
        row = new
    return row[-1]


def test_scheduled_sampling_is_between_the_target_and_samples() -> None:
    many = {
        "data": tuple(np.tile(x, (20, *[1] * (np.ndim(x) - 1))) for x in BATCH["data"]),
        "classes": tuple(np.tile(x, (20, *[1] * (np.ndim(x) - 1))) for x in LABELS),
    }
    labels, lengths = many["classes"]
    mask = np.arange(3)[None] < lengths[:, None]
    right = {}
    for gold in (0.0, 0.5, 1.0):
        model = network(training.scheduled_sampling(decoder(), gold=gold))
        found = run(model, many, ["output"])["output"].canonical()
        right[gold] = (found == labels)[mask].mean()
    assert right[1.0] == 1.0 > right[0.5] > right[0.0] > 0.05
    model = network(training.scheduled_sampling(decoder(), gold=0.5))
    improves(model, "output/p")


def test_optimal_completions_are_learnt_from_samples() -> None:
    net = training.optimal_completions(decoder(), probs="p")
    model = network(net)
    out = run(model, BATCH, ["output", "output/p", "output/ocd"])
    p, samples = out["output/p"].canonical(), out["output"].canonical()
    for b, n in enumerate(LABELS[1]):
        for t in range(n):
            prefix = samples[b, :t].tolist()
            ends = [min(_completed([*prefix, x], truth(b))) for x in range(3)]
            best = [x for x in range(3) if ends[x] == min(ends)]
            needed = -np.mean([np.log(p[b, t, x]) for x in best])
            assert out["output/ocd"].canonical()[b, t] == pytest.approx(needed, abs=1e-4)
    improves(model, "output/ocd")


def _completed(labels: list[int], reference: list[int]) -> list[float]:
    """Return the errors of labels against every beginning of the reference."""
    return [_errors("", labels, reference[:n]) for n in range(len(reference) + 1)]
