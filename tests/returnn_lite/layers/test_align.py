"""Forced alignment: against the enumeration of all paths."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import pytest
from eager import Array, dense, random_parameters, run, sparse

from cupy_kernels.transducer import reference
from returnn_lite.errors import NetworkError
from returnn_lite.network import Network

STREAMS = {"data": {"dim": 3}, "labels": {"dim": 2, "sparse": True}}
ALIGN = {"class": "forced_align", "align_target": "data:labels", "from": "data"}
PAIRS = {"class": "combine", "kind": "add", "from": ["data", "shifted"]}
TRANSDUCER = {
    "shifted": {"class": "prefix_in_time", "from": "embedding"},
    "embedding": {"class": "linear", "from": "data:labels", "activation": None, "n_out": 3},
    "scores": {"class": "linear", "from": "pairs", "activation": "log_softmax", "n_out": 3},
    "pairs": PAIRS,
    "unshifted": {**PAIRS, "from": ["data", "embedding"]},
    "none": {"class": "slice", "from": "scores", "axis": "F", "slice_end": 0},
}


def collapsed(path: tuple[int, ...], topology: str) -> list[int]:
    """Return the labels of a path."""
    kept = [x for i, x in enumerate(path) if topology == "rna" or i == 0 or x != path[i - 1]]
    return [x for x in kept if x != 2]


@pytest.mark.parametrize("topology", ["ctc", "rna"])
@pytest.mark.parametrize("input_type", ["log_prob", "prob"])
def test_the_path_is_the_best_one(topology: str, input_type: str) -> None:
    layer = {**ALIGN, "topology": topology, "input_type": input_type}
    network = Network(
        {"output": layer, "scores": {"class": "copy", "from": "output/scores"}},
        extern_data=STREAMS,
        outputs=["output", "scores"],
    )
    data, labels = dense([5, 1, 4], 3), sparse([2, 2, 1], 2)
    if input_type == "prob":
        data = np.exp(data[0]), data[1]
    out = run(network, {"data": data, "labels": labels})
    paths, scores = out["output"].canonical(), out["scores"].canonical()
    logs = np.log(data[0]) if input_type == "prob" else data[0]
    for b, n in enumerate(data[1]):
        target = labels[0][b, : labels[1][b]].tolist()
        fitting = [
            p for p in itertools.product(range(3), repeat=n) if collapsed(p, topology) == target
        ]
        if not fitting:
            assert np.isneginf(scores[b])
            continue
        best = max(fitting, key=lambda p: _score(logs[b], p))
        assert paths[b, :n].tolist() == list(best)
        assert scores[b] == pytest.approx(_score(logs[b], best), rel=1e-5)


def _score(frames: Array, path: Sequence[int]) -> float:
    return float(sum(frames[t, x] for t, x in enumerate(path)))


@pytest.mark.parametrize("topology", ["ctc", "rna", "rnnt"])
@pytest.mark.parametrize("stored", [False, True])
def test_the_path_of_a_transducer(topology: str, stored: bool) -> None:
    """That which TensorFlow's own operations find, too; of all paths, see the kernels' tests."""
    net: dict[str, Any] = {
        **TRANSDUCER,
        "output": {**ALIGN, "from": "scores", "topology": topology, "input_type": "log_prob"},
        "score": {"class": "copy", "from": "output/scores"},
    }
    if stored:
        net["output"]["from"] = "again"
        net["again"] = {"class": "eval", "from": "scores", "eval": "1.0 * source(0)"}
    network = Network(net, extern_data=STREAMS, outputs=["output", "scores", "score"])
    random_parameters(network)
    labels = sparse([2, 2, 1], 2)
    out = run(network, {"data": dense([5, 1, 4], 3), "labels": labels})
    x = out["scores"].canonical()
    x = x if x.shape[1:3] == (5, 3) else x.swapaxes(1, 2)
    path, score = reference.transducer_align(
        x, np.array([5, 1, 4]), labels[0], np.array(labels[1]), blank=2, topology=topology
    )
    assert out["output"].sparse_dim.size == 3
    lengths = np.array([5, 1, 4]) + np.array(labels[1]) * (topology == "rnnt")
    inside = np.arange(path.shape[1]) < lengths[:, None]
    np.testing.assert_array_equal(out["output"].canonical(), np.where(inside, path, 0))
    np.testing.assert_array_equal(*out["output"].lengths.values(), lengths)
    np.testing.assert_allclose(out["score"].canonical(), score, rtol=1e-5)


@pytest.mark.parametrize("input_type", ["log_prob", "prob"])
def test_the_path_of_a_hidden_markov_model(input_type: str) -> None:
    hmm = {"states": 2, "speech": [0.3, 0.7], "silence": 2}
    layer = {**ALIGN, "topology": "hmm", "input_type": input_type, "hmm_opts": hmm}
    network = Network(
        {
            "output": {**layer, "tdp_scale": 0.5},
            "scores": {"class": "copy", "from": "output/scores"},
        },
        extern_data={**STREAMS, "data": {"dim": 6}},
        outputs=["output", "scores"],
    )
    data, labels = dense([6, 1, 4], 6), ([[1, 0], [0, 1], [1, 1]], [2, 2, 1])
    given = (np.exp(data[0]), data[1]) if input_type == "prob" else data
    out = run(network, {"data": given, "labels": (np.array(labels[0], np.int32), labels[1])})
    paths, scores = out["output"].canonical(), out["scores"].canonical()
    for b, n in enumerate(data[1]):
        words = [2 * p + i for p in labels[0][b][: labels[1][b]] for i in range(2)]
        every = [
            (_score(data[0][b], path) - 0.5 * cost, path)
            for before, after in itertools.product(([], [4]), repeat=2)
            for path, cost in _state_paths([*before, *words, *after], n)
        ]
        score, path = max(every, default=(-np.inf, [0]))
        assert paths[b, :n].tolist() == path
        assert scores[b] == pytest.approx(score, rel=1e-5)


def _state_paths(states: list[int], frames: int) -> Iterator[tuple[list[int], float]]:
    """Yield the state of each frame, and the cost, of the paths of a hidden Markov model."""
    for times in itertools.product(range(1, frames + 1), repeat=len(states)):
        if sum(times) == frames:
            pairs = list(zip(states, times, strict=True))
            cost = sum((n - 1) * 0.3 + 0.7 for s, n in pairs if s != 4)
            yield [s for s, n in pairs for _ in range(n)], cost


@pytest.mark.parametrize(
    ("opts", "text"),
    [
        ({"blank_included": True}, "found 2 labels of align_target .*, needed 3 labels"),
        ({"blank_idx": 0}, "found blank_idx 0, needed the last, -1"),
        ({"blank_idx": 5}, "found 2 labels .* and blank_idx 5 .*, needed"),
        ({"topology": "mono"}, "option 'topology': found 'mono', needed"),
        ({"align_target": "data"}, "found .*"),
        ({"topology": "rnnt"}, "found .* for topology 'rnnt', needed a transducer's output"),
        ({"hmm_opts": {}}, "found hmm_opts or tdp_scale, needed them for topology 'hmm' alone"),
        ({"topology": "hmm"}, "found .* for 2 phones, needed a time dim and 6 outputs"),
        (
            {"from": "unshifted", "topology": "rnnt"},
            r"found .*, needed \[batch, time, labels \+ 1, feat",
        ),
    ],
)
def test_mistakes(opts: dict[str, Any], text: str) -> None:
    layer = {**ALIGN, "topology": "ctc", "input_type": "prob", **opts}
    with pytest.raises(NetworkError, match=rf"output \(forced_align\): {text}"):
        Network({**TRANSDUCER, "output": layer}, extern_data=STREAMS)
