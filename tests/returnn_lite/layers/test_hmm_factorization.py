"""A sum over frames of labels' probabilities: against numpy, in a loop, moved out, and searched."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from eager import Array, dense, random_parameters, run, sparse
from reference import check, softmax

from returnn_lite.errors import NetworkError
from returnn_lite.network import Network

LENGTHS = [4, 2]
STREAMS = {
    "data": {"dim": 3},
    "words": {"dim": 4, "sparse": True},
    "labels": {"dim": 5, "sparse": True, "same_dim_tags_as": {"t": "words"}},
}
LINEAR = {"class": "linear", "activation": None, "n_out": 3}
WORDS = sparse([3, 1], 4)


def decoder(*, moved: bool = True, heads: int = 1, search: bool = False, **opts: Any) -> Network:
    unit: dict[str, Any] = {
        "embed": {**LINEAR, "from": "prev:output" if search else "data:source"},
        "state": {**LINEAR, "activation": "tanh", "from": "embed"},
        "energy": {**LINEAR, "n_out": heads, "from": "in"},
        "in": {"class": "combine", "kind": "add", "from": ["base:data", "state"]},
        "weights": {"class": "softmax_over_spatial", "from": "energy"},
        "p": {
            "class": "hmm_factorization",
            "attention_weights": "weights",
            "base_encoder_transformed": "base:data",
            "prev_state": "state",
            "prev_outputs": "embed",
            "n_out": 5,
            "transpose_and_average_att_weights": heads > 1,
            "target": "labels",
            "loss": "ce",
            **opts,
        },
        "output": {"class": "copy", "from": "p"},
    }
    if search:
        unit["output"] = {"class": "choice", "from": "p", "beam_size": 3, "target": "labels"}
    rec = {"class": "rec", "from": "data:words", "unit": unit}
    rec["optimize_move_layers_out"] = moved
    return Network({"output": rec}, extern_data=STREAMS, search=search)


@pytest.mark.parametrize("moved", [True, False])
@pytest.mark.parametrize(
    "opts", [{}, {"heads": 2}, {"top_k": 2}, {"top_k": 3, "threshold": 0.3}], ids=str
)
def test_its_formula(opts: dict[str, Any], moved: bool) -> None:
    network = decoder(moved=moved, **opts)
    prefix = "output/rec/"

    def formula(p: Any, data: Array) -> list[Array]:
        result = []
        for x, n, words, steps in zip(data, LENGTHS, *WORDS, strict=True):
            rows = []
            for word in words[:steps]:
                o = p[f"{prefix}embed/W"][word] + p[f"{prefix}embed/b"]
                s = np.tanh(o @ p[f"{prefix}state/W"] + p[f"{prefix}state/b"])
                energy = (x[:n] + s) @ p[f"{prefix}energy/W"] + p[f"{prefix}energy/b"]
                weights = softmax(energy.T).mean(axis=0)
                logits = (x[:n] + o + s) @ p[f"{prefix}p/dense/kernel"]
                best = np.argsort(-weights)[: opts.get("top_k", n)]
                logits[weights <= opts.get("threshold", -1.0)] = 0.0
                rows.append(weights[best] @ softmax(logits[best]))
            result.append(np.array(rows))
        return result

    check(network, {"data": dense(LENGTHS, 3), "words": WORDS}, formula)


@pytest.mark.parametrize("opts", [{}, {"top_k": 2}])
def test_a_search_finds_what_training_scores(opts: dict[str, Any]) -> None:
    searched = decoder(search=True, **opts)
    params = random_parameters(searched, scale=2.0)
    found = run(searched, {"data": dense(LENGTHS, 3), "words": WORDS}).search
    assert found is not None
    net = decoder(**opts).scope.layers
    net["output"]["unit"]["embed"]["from"] = "prev:label"
    net["output"]["unit"]["label"] = {"class": "copy", "from": "data:labels", "initial_output": 0}
    forced = Network(net, extern_data=STREAMS)
    forced.set_params(params)
    for i in range(3):
        labels = found.labels[:, i]
        batch = {"data": dense(LENGTHS, 3), "words": WORDS, "labels": (labels, WORDS[1])}
        scores = -run(forced, batch).losses["output/p"].value
        np.testing.assert_allclose(found.scores[:, i], scores, rtol=1e-4)


@pytest.mark.parametrize(
    ("opts", "text"),
    [
        ({"top_k": 0}, "found top_k 0, needed 1 or more"),
        (
            {"base_encoder_transformed": "state"},
            "found base_encoder_transformed .*, needed as many",
        ),
        ({"prev_state": "energy"}, "found base_encoder_transformed .*, needed as many features"),
        ({"attention_weights": "state"}, "found attention_weights .*, needed the dim 'time"),
        ({"heads": 2, "transpose_and_average_att_weights": False}, "; try transpose_and_average"),
    ],
)
def test_mistakes(opts: dict[str, Any], text: str) -> None:
    with pytest.raises(NetworkError, match=rf"output/p \(hmm_factorization\): .*{text}"):
        decoder(**opts)
