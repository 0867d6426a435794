"""Scores that a function of the config makes, with RETURNN's arguments."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import tensorflow as tf
from eager import dense, random_parameters, run
from models import FEATURES, Net, decoder_net

from returnn_lite.errors import NetworkError
from returnn_lite.network import Network
from returnn_lite.output import Output

STREAMS = {"data": {"dim": FEATURES}, "classes": {"dim": 4, "sparse": True}}


def searched(**opts: Any) -> Output:
    net = decoder_net(labels=4, beam_size=3, max_len="4", end=3, eos=True)
    unit: Net = net["output"]["unit"]
    unit["output"] |= opts
    network = Network(net, extern_data=STREAMS, search=True)
    random_parameters(network)
    return run(network, {"data": dense([4, 2], FEATURES)})["output"]


def same(a: Output, b: Output) -> bool:
    return np.array_equal(a.canonical(), b.canonical())


def test_the_sum_is_what_there_is_without_it() -> None:
    plain = searched()
    for sources in (["s", "prev:output"], {"a": "s"}, None):
        seen: list[Any] = []

        def add(*, seen: list[Any] = seen, **how: Any) -> Any:
            seen.append(how)
            return how["scores_in"] + how["scores_base"]

        found = searched(custom_score_combine=add, explicit_search_sources=sources)
        assert same(found, plain)
        np.testing.assert_allclose(found.scores, plain.scores, atol=1e-6)
        how = seen[0]
        assert how["scores_in"].shape == (2, 3, 4) and how["scores_base"].shape == (2, 3, 1)
        assert how["end_flags"].shape == (2, 3) and how["end_flags"].dtype == tf.bool
        assert (how["base_beam_in"], how["scores_beam_in"]) == (3, 3)
        assert int(how["batch_dim"]) == 2 and [int(h["t"]) for h in seen] == [*range(len(seen))]
        layer = how["layer"]
        assert layer.output.dim == 4 and layer.name == "output/output"
        views = layer.explicit_search_sources
        if isinstance(sources, dict):
            assert views["a"].output.placeholder.shape == (6, 4) and views["a"].output.dim == 4
        elif sources:
            assert views[1].output.placeholder.shape == (6,) and views[1].output.beam_size == 3


def test_what_it_forbids_is_not_found() -> None:
    def without_label_one(scores_in: Any, scores_base: Any, **_: Any) -> Any:
        return scores_in + scores_base + tf.constant([0.0, -np.inf, 0.0, 0.0])

    assert (searched().canonical() == 1).any()
    assert not (searched(custom_score_combine=without_label_one).canonical() == 1).any()


def test_a_function_is_needed_and_its_scores_have_a_shape() -> None:
    with pytest.raises(NetworkError, match=r"option 'custom_score_combine': found 3, needed a fun"):
        searched(custom_score_combine=3)
    with pytest.raises(NetworkError, match=r"output/output \(choice\): found .* of custom_score_c"):
        searched(custom_score_combine=lambda scores_base, **_: tf.concat([scores_base] * 2, 2))
    with pytest.raises(NetworkError, match=r"explicit_search_sources 's', needed a list or dict"):
        searched(explicit_search_sources="s")
    with pytest.raises(NetworkError, match=r"no layer 'ss'; did you mean 's'"):
        searched(explicit_search_sources=["ss"])
