"""Forced alignment: against the enumeration of all paths."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pytest
from eager import Array, dense, run, sparse

from returnn_lite.errors import NetworkError
from returnn_lite.network import Network

STREAMS = {"data": {"dim": 3}, "labels": {"dim": 2, "sparse": True}}
ALIGN = {"class": "forced_align", "align_target": "data:labels", "from": "data"}


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


def _score(frames: Array, path: tuple[int, ...]) -> float:
    return float(sum(frames[t, x] for t, x in enumerate(path)))


@pytest.mark.parametrize(
    ("opts", "text"),
    [
        ({"blank_included": True}, "found 2 labels of align_target .*, needed 3 labels"),
        ({"blank_idx": 0}, "found blank_idx 0, needed the last, -1"),
        ({"blank_idx": 5}, "found 2 labels .* and blank_idx 5 .*, needed"),
        ({"topology": "hmm"}, "option 'topology': found 'hmm', needed"),
        ({"align_target": "data"}, "found .*"),
    ],
)
def test_mistakes(opts: dict[str, Any], text: str) -> None:
    layer = {**ALIGN, "topology": "ctc", "input_type": "prob", **opts}
    with pytest.raises(NetworkError, match=rf"output \(forced_align\): {text}"):
        Network({"output": layer}, extern_data=STREAMS)
