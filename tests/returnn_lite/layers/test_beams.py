"""What is known of hypotheses: their scores in every step, and what each of them continues."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pytest
from eager import dense, random_parameters, run
from models import FEATURES, decoder_net

from returnn_lite.errors import NetworkError
from returnn_lite.network import Network

STREAMS = {"data": {"dim": FEATURES}, "classes": {"dim": 3, "sparse": True}}


def _net(**layers: Any) -> dict[str, Any]:
    net = decoder_net(labels=3, beam_size=3, max_len="4", end=2, eos=True)
    opts = {"from": "output", "is_output_layer": True, "only_on_search": True}
    net["output"]["unit"]["scores"] = {"class": "choice_get_beam_scores", **opts}
    net["output"]["unit"]["before"] = {"class": "choice_get_src_beams", **opts}
    net["total"] = {"class": "choice_get_beam_scores", **opts}
    return net | layers


def test_scores_and_what_a_hypothesis_continues() -> None:
    names = ["output", "output/scores", "output/before", "total"]
    network = Network(_net(), extern_data=STREAMS, search=True, outputs=names)
    random_parameters(network, scale=1.0)
    out = run(network, {"data": dense([4, 2, 3], FEATURES)})
    lengths = out["output"].lengths[out["output"].time_dim.name]  # type: ignore[union-attr]
    scores, before = out["output/scores"].canonical(), out["output/before"].canonical()
    assert out["output"].scores is not None
    final = out["output"].scores.reshape(-1)
    np.testing.assert_array_equal(out["total"].values, final)
    for row, total, n in zip(scores, final, lengths, strict=True):
        assert row[n - 1] == pytest.approx(total)
        assert all(a >= b for a, b in itertools.pairwise(row[:n]))
    # All begin with the one hypothesis that there is.
    assert (before[:, 0] == 0).all()
    assert ((before >= 0) & (before < 3)).all()


def test_without_search_they_are_no_outputs() -> None:
    network = Network(_net(), extern_data=STREAMS)
    assert not {n.path for n in network.nodes()} & {"output/scores", "output/before", "total"}


@pytest.mark.parametrize("name", ["choice_get_beam_scores", "choice_get_src_beams"])
def test_they_need_a_search(name: str) -> None:
    layer = {"class": name, "from": "output"}
    text = rf"x \({name}\): found no search, needed one; try only_on_search"
    with pytest.raises(NetworkError, match=text):
        Network(_net(x=layer), extern_data=STREAMS, outputs=["x"])


@pytest.mark.parametrize(
    ("layer", "text"),
    [
        ({"class": "choice_get_beam_scores", "from": "encoder"}, "without hypotheses, needed"),
        ({"class": "choice_get_src_beams", "from": "output"}, "of no choice of this step"),
    ],
)
def test_mistakes(layer: dict[str, Any], text: str) -> None:
    network = Network(_net(x=layer), extern_data=STREAMS, search=True, outputs=["x"])
    random_parameters(network)
    with pytest.raises(NetworkError, match=text):
        run(network, {"data": dense([2, 1], FEATURES)})
