"""Sums over the paths of hidden Markov models, against enumeration of all paths."""

from __future__ import annotations

import json
from collections.abc import Iterator
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from eager import Array, dense, gradients, random_parameters, run, sparse

from returnn_lite import native
from returnn_lite.errors import NetworkError
from returnn_lite.network import Network

LENGTHS = [6, 5, 3]
LABELS = (np.array([[0, 1], [2, 0], [1, 1]], np.int32), [2, 1, 2])
STREAMS = {"data": {"dim": 6}, "labels": {"dim": 3, "sparse": True, "vocab": ["a", "b", "c"]}}
COSTS = {"speech": [0.3, 0.7], "pause": [0.1, 0.4]}
HMM: dict[str, Any] = {"states": 2, **COSTS}


def paths(states: list[tuple[int, list[float]]], frames: int) -> Iterator[tuple[list[int], float]]:
    """Yield the outputs by frame, and the cost, of all paths through states with their costs."""
    for times in product(range(1, frames + 1), repeat=len(states)):
        if sum(times) == frames:
            outputs = [k for (k, _), n in zip(states, times, strict=True) for _ in range(n)]
            loops = zip(states, times, strict=True)
            yield outputs, sum((n - 1) * loop + forward for (_, (loop, forward)), n in loops)


def total(scores: Array, lines: list[list[tuple[int, list[float]]]]) -> tuple[float, Array]:
    """Return -log of the sum over the paths of alternative lines of states, and posteriors."""
    found, sums = np.zeros_like(scores), 0.0
    for states in lines:
        for outputs, cost in paths(states, len(scores)):
            p = np.exp(scores[np.arange(len(scores)), outputs].sum() - cost)
            sums += p
            found[np.arange(len(scores)), outputs] += p
    return (-np.log(sums), found / sums) if sums else (np.inf, found)


def lines(phones: list[int], scale: float, silence: int | None) -> list[Any]:
    """Return the lines of states of phones, of which one is silence, that may stand at the ends."""
    speech, pause = ([scale * c for c in COSTS[k]] for k in ("speech", "pause"))
    middle = [(2 * p + i, speech) for p in phones for i in range(2)]
    ends: list[Any] = [[]] if silence is None else [[], [(2 * silence, pause)]]
    return [before + middle + after for before, after in product(ends, ends)]


def sequences() -> list[tuple[int, list[int]]]:
    return [(n, LABELS[0][b, : LABELS[1][b]].tolist()) for b, n in enumerate(LENGTHS)]


@pytest.mark.parametrize("silence", [None, 2])
def test_posteriors(silence: int | None) -> None:
    layer = {"class": "fast_bw", "align_target": "hmm", "align_target_key": "labels"}
    layer |= {"hmm_opts": {**HMM, "silence": silence}, "tdp_scale": 0.5, "from": "data"}
    network = Network({"output": layer}, extern_data=STREAMS)
    x = dense(LENGTHS, 6)
    out = run(network, {"data": x, "labels": LABELS})["output"].canonical()
    for b, (n, phones) in enumerate(sequences()):
        _, needed = total(x[0][b, :n].astype(np.float64), lines(phones, 0.5, silence))
        np.testing.assert_allclose(out[b, :n], needed, atol=1e-5)


def test_automata_of_rasr() -> None:
    needed = (
        r"output .*: found automata of the decoder RASR \(sprint_opts\), needed those of this pr"
    )
    layer = {"class": "fast_bw", "align_target_key": "labels", "from": "data"}
    layer |= {"align_target": "hmm", "sprint_opts": {}}
    with pytest.raises(NetworkError, match=needed + ".*; try align_target 'hmm' with hmm_opts"):
        Network({"output": layer}, extern_data=STREAMS)
    layer = {"class": "softmax", "from": "data", "n_out": 6, "target": "labels", "loss": "fast_bw"}
    with pytest.raises(NetworkError, match=needed + ".*; try hmm_opts"):
        Network({"output": {**layer, "loss_opts": {"sprint_opts": {}}}}, extern_data=STREAMS)


def test_the_gradient_of_the_loss_is_softmax_minus_posteriors() -> None:
    net = {
        "output": {
            "class": "softmax",
            "from": "data",
            "n_out": 6,
            "target": "labels",
            "loss": "fast_bw",
            "loss_opts": {"hmm_opts": {**HMM, "silence": 2}},
        }
    }
    network = Network(net, extern_data=STREAMS)
    p, batch = random_parameters(network), {"data": dense(LENGTHS, 6), "labels": LABELS}
    losses = run(network, batch).losses["output"]
    values, by_bias = [], np.zeros(6)
    for (n, phones), x in zip(sequences(), batch["data"][0], strict=True):
        logits = x[:n].astype(np.float64) @ p["output/W"] + p["output/b"]
        scores = logits - np.log(np.exp(logits).sum(axis=1, keepdims=True))
        value, posteriors = total(scores, lines(phones, 1.0, 2))
        possible = np.isfinite(value)
        values.append(value if possible else 0.0)
        by_bias += possible * (np.exp(scores) - posteriors).sum(axis=0)
    assert values[2] == 0.0  # four states do not fit into three frames
    np.testing.assert_allclose(losses.value, values, rtol=1e-5)
    _, found = gradients(network, batch)
    np.testing.assert_allclose(found["output/b"], by_bias / sum(LABELS[1]), atol=1e-5)


def lexicon(folder: Path) -> str:
    path = folder / "lexicon.json"
    path.write_text(json.dumps({"a": [[0, 1], [1]], "b": [[1]], "c": [[0]]}))
    return str(path)


def test_words_of_a_lexicon(tmp_path: Path) -> None:
    opts = {"states": 1, "silence": 5, **COSTS, "lexicon": lexicon(tmp_path)}
    layer = {"class": "fast_bw", "align_target": "hmm", "align_target_key": "labels"}
    layer |= {"hmm_opts": opts, "from": "data"}
    network = Network({"output": layer}, extern_data=STREAMS)
    x = dense(LENGTHS, 6)
    out = run(network, {"data": x, "labels": LABELS})["output"].canonical()
    speech, pause = COSTS["speech"], COSTS["pause"]
    places: list[Any] = [[], [(5, pause)]]
    words: list[list[list[int]]] = [[[0, 1], [1]], [[1]], [[0]]]
    for b, (n, labels) in enumerate(sequences()):
        found = []
        for spoken in product(*(words[k] for k in labels)):
            for silences in product(places, repeat=len(labels) + 1):
                line = list(silences[0])
                for word, after in zip(spoken, silences[1:], strict=True):
                    line += [(phone, speech) for phone in word] + after
                found.append(line)
        _, needed = total(x[0][b, :n].astype(np.float64), found)
        np.testing.assert_allclose(out[b, :n], needed, atol=1e-5)


@pytest.mark.parametrize(
    ("opts", "text"),
    [
        ({"state": 2}, r"unknown option 'state' in hmm_opts; did you mean 'states'\?"),
        ({"speech": [1.0]}, r"needed one state or more, and costs \[loop, forward\]"),
        ({"states": 3}, r"for 3 phones, needed a time dim and 9 outputs, one for each of 3 states"),
        ({"lexicon": "none.json"}, r"none.json: found no lexicon .*, needed JSON"),
        ({"silence": "sil"}, r"option 'silence': found 'sil', needed a whole number or None"),
    ],
)
def test_wrong_options(opts: dict[str, Any], text: str) -> None:
    loss = {"loss": "fast_bw", "loss_opts": {"hmm_opts": opts}, "target": "labels"}
    bw = {"align_target": "hmm", "align_target_key": "labels", "hmm_opts": opts}
    for layer in ({"class": "softmax", "n_out": 6, **loss}, {"class": "fast_bw", **bw}):
        with pytest.raises(NetworkError, match=r"output .*" + text):
            Network({"output": {**layer, "from": "data"}}, extern_data=STREAMS)


def test_options_of_models_are_not_those_of_ctc() -> None:
    layer = {"class": "fast_bw", "align_target": "ctc", "align_target_key": "labels"}
    with pytest.raises(NetworkError, match="found hmm_opts, needed them for 'hmm' alone"):
        Network({"output": {**layer, "hmm_opts": {}, "from": "data"}}, extern_data=STREAMS)


def test_paths_of_ctc_have_no_costs_to_scale() -> None:
    layer = {"class": "fast_bw", "align_target": "ctc", "align_target_key": "labels"}
    data = {"data": dense([6, 5], 6), "labels": sparse([2, 1], 5)}
    streams = {"data": {"dim": 6}, "labels": {"dim": 5, "sparse": True}}
    nets = [{"output": {**layer, "tdp_scale": x, "from": "data"}} for x in (1.0, 0.5)]
    found = [run(Network(net, extern_data=streams), data)["output"].canonical() for net in nets]
    np.testing.assert_array_equal(*found)


@pytest.mark.parametrize("words", [False, True])
@pytest.mark.parametrize("silence", [None, 2])
def test_tensorflow_alone_has_the_same(silence: int | None, words: bool, tmp_path: Path) -> None:
    """Losses, posteriors and best paths."""
    opts = {**HMM, "silence": silence, "lexicon": lexicon(tmp_path) if words else None}
    align = {"topology": "hmm", "align_target": "data:labels"}
    bw = {"align_target": "hmm", "align_target_key": "labels"}
    of = {"from": "output", "input_type": "prob", "hmm_opts": opts, "is_output_layer": True}
    loss = {"loss": "fast_bw", "loss_opts": {"hmm_opts": opts}, "target": "labels"}
    net = {
        "output": {"class": "softmax", "n_out": 6, "from": "data", **loss},
        "posteriors": {"class": "fast_bw", **bw, **of},
        "path": {"class": "forced_align", **align, **of},
    }
    network = Network(net, extern_data=STREAMS)
    random_parameters(network)
    batch = {"data": dense(LENGTHS, 6), "labels": LABELS}
    needed = run(network, batch)
    with native.tensorflow_only():
        found = run(network, batch)
    np.testing.assert_allclose(found.losses["output"].value, needed.losses["output"].value, 1e-5)
    for name in ("posteriors", "path"):
        ours, theirs = (of[name].canonical() for of in (found, needed))
        np.testing.assert_allclose(ours, theirs, rtol=1e-5, atol=1e-6)
