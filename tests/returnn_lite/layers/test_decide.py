"""From the hypotheses of a search to one of them, or to all side by side."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from eager import dense, random_parameters, run
from models import FEATURES, Net, decoder_net

from returnn_lite.dim import SpatialDim
from returnn_lite.errors import NetworkError
from returnn_lite.network import Network

STREAMS = {"data": {"dim": FEATURES}, "classes": {"dim": 3, "sparse": True}}
BATCH = {"data": dense([4, 2, 3], FEATURES)}
SIZE = 5


def decoder(**more: Net) -> Net:
    net = decoder_net(
        labels=3, beam_size=SIZE, max_len="max_len_from('base:encoder')", end=2, eos=True
    )
    of_beam: Net = {"from": "output", "only_on_search": True}
    net["output"]["unit"] |= {
        "scores": {"class": "choice_get_beam_scores", **of_beam},
        "beams": {"class": "choice_get_src_beams", **of_beam},
    }
    return net | more


def searched(net: Net, *fetch: str) -> Any:
    network = Network(net, extern_data=STREAMS, search=True, outputs=["output", *fetch])
    random_parameters(network, scale=1.0)
    return run(network, BATCH)


def beamed(**opts: Any) -> Net:
    named = {"scores": "output/scores", "beams": "output/beams", "beam_size": SIZE}
    return {"class": "get_beamed_layer", "from": "output", **named, **opts}


@pytest.mark.parametrize("rank", [None, 0, 2, SIZE - 1])
def test_a_hypothesis_by_its_rank_and_as_vectors(rank: int | None) -> None:
    net = decoder(one=beamed(beam_idx=rank), hot=beamed(beam_idx=rank, one_hot=True))
    net["best"] = {"class": "decide", "from": "output"}
    net["embed"] = {"class": "linear", "activation": None, "n_out": 2, "from": "hot"}
    out = searched(net, "one", "hot", "best", "embed")
    every, one, hot = out["output"], out["one"], out["hot"]
    counts = every.lengths[every.time_dim.name].reshape(-1, SIZE)[:, rank or 0]
    np.testing.assert_array_equal(one.lengths[one.time_dim.name], counts)
    rows = every.canonical()[(rank or 0) :: SIZE, : counts.max()]
    np.testing.assert_array_equal(one.canonical(), rows)
    valid = np.arange(counts.max())[None] < counts[:, None]
    np.testing.assert_array_equal(hot.canonical().argmax(-1)[valid], rows[valid])
    assert hot.canonical().sum() == valid.sum() and hot.scores is None
    assert out["embed"].canonical().shape == (3, counts.max(), 2)
    if not rank:
        np.testing.assert_array_equal(out["best"].canonical(), one.canonical())


def test_the_tutorials_cascade_runs() -> None:
    """Speech is recognised and what is found translated, in one network."""
    net = decoder(hot=beamed(one_hot=True, only_on_search=True))
    second = decoder_net(labels=4, beam_size=2, max_len="3", end=3, eos=True)
    second["output"]["unit"]["s"]["from"] = ["embed", "base:mt_last"]
    net["mt"] = {"class": "rec", "unit": "nativelstm2", "n_out": 3, "from": "hot"}
    net["mt_last"] = {"class": "get_last_hidden_state", "key": "h", "n_out": 3, "from": "mt"}
    net["mt_output"] = second["output"]
    out = searched(net, "mt_output")["mt_output"]
    assert out.scores.shape == (3, 2) and np.isfinite(out.scores).all()


SCORE = {"class": "choice_get_beam_scores", "from": "output"}


def test_hypotheses_are_a_dim_of_their_own() -> None:
    net = decoder(score=SCORE)
    beam = SpatialDim("beam", 5)
    net["split"] = {"class": "split_batch_beam", "beam_dim": beam, "from": "score"}
    net["total"] = {"class": "reduce", "mode": "logsumexp", "axis": beam, "from": "split"}
    out = searched(net, "split", "total")
    np.testing.assert_array_equal(out["split"].canonical(), out["output"].scores)
    needed = np.logaddexp.reduce(out["output"].scores, axis=1)
    np.testing.assert_allclose(out["total"].canonical(), needed, rtol=1e-5)
    assert out["split"].scores is None


MISTAKES = {
    "beams": (beamed(scores="encoder"), "found scores 'encoder', which is copy, needed choice_get"),
    "size": (beamed(beam_size=4), "found beam_size 4, needed that of the search, 5"),
    "rank": (beamed(beam_idx=5), "found beam_idx 5, needed less than 5"),
    "none": (beamed() | {"from": "encoder"}, "found a source without hypotheses"),
    "labels": (beamed() | {"from": "output/p"}, r"found source .*, needed labels \[batch, time\]"),
    "time": (
        {"class": "split_batch_beam", "from": "output"},
        "found source .*, needed one without",
    ),
    "beam": (
        {"class": "split_batch_beam", "beam_dim": SpatialDim("four", 4), "from": "score"},
        r"found beam_dim \[4\] for .*, needed \[5\]",
    ),
    "raw": (
        {"class": "decide_keep_beam", "from": "output"},
        "found class 'decide_keep_beam', which needs hypotheses as they were in each step",
    ),
    "decided": (
        {"class": "split_batch_beam", "from": "encoder"},
        "found a source without hypotheses, needed what a search found",
    ),
}


@pytest.mark.parametrize("name", MISTAKES)
def test_mistakes(name: str) -> None:
    layer, text = MISTAKES[name]
    with pytest.raises(NetworkError, match=rf"^x \({layer['class']}\): {text}"):
        searched(decoder(x=layer, score=SCORE), "x")


def test_in_a_loop_hypotheses_stay_in_the_batch() -> None:
    net = decoder()
    net["output"]["unit"]["x"] = {"class": "split_batch_beam", "from": "scores"}
    with pytest.raises(NetworkError, match="found it in the unit of a rec layer; move it out"):
        searched(net, "output/x")
