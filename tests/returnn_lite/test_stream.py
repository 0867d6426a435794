"""Chunks give what whole sequences give, wherever they are cut."""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np
import pytest
from eager import Array, dense, random_parameters, run
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from models import (
    FEATURES,
    Net,
    transducer_net,
    transducer_streams,
    two_choices_net,
    two_choices_streams,
)

from returnn_lite.errors import NetworkError
from returnn_lite.network import Network
from returnn_lite.stream import SoFar, Stream

LENGTHS = [7, 4, 6]
DATA, _ = dense(LENGTHS, FEATURES)


def cut(sizes: list[list[int]]) -> list[dict[str, Any]]:
    """Return batches with so many frames of each sequence, and the rest in a last one."""
    done, batches = np.zeros(len(LENGTHS), int), []
    for wanted in [*sizes, LENGTHS]:
        counts = np.minimum(wanted, LENGTHS - done)
        values = np.full((len(LENGTHS), max(counts.max(), 1), FEATURES), 7.0, np.float32)
        for row, x, at, n in zip(values, DATA, done, counts, strict=True):
            row[:n] = x[at : at + n]
        batches.append({"data": (values[:, : counts.max()], counts.tolist())})
        done += counts
    return batches


def recurrent() -> Net:
    lstm: Net = {"class": "rec", "n_out": 3}
    unit: Net = {
        "h": {"class": "linear", "activation": "tanh", "n_out": 2, "from": ["x", "prev:h"]},
        "x": {"class": "rec", "unit": "gru", "n_out": 2, "from": "data:source"},
        "output": {"class": "combine", "kind": "add", "from": ["h", "prev:x"]},
    }
    return {
        "fw": {**lstm, "unit": "nativelstm2", "from": "data"},
        "ff": {"class": "linear", "activation": "relu", "n_out": 4, "from": "fw"},
        "gru": {**lstm, "unit": "layernormvariantslstm", "from": "ff"},
        "output": {"class": "rec", "from": "gru", "unit": unit},
    }


def ctc() -> Net:
    choice: Net = {"class": "choice", "from": "data:source", "target": "none", "beam_size": 4}
    choice |= {"recombine": "sum", "topology": "ctc", "blank_idx": 2}
    return {
        "fw": {"class": "rec", "unit": "nativelstm2", "n_out": 3, "from": "data"},
        "p": {"class": "softmax", "n_out": 3, "from": "fw"},
        "output": {"class": "rec", "from": "p", "unit": {"output": choice}},
    }


def nested() -> Net:
    """Return a loop in a subnetwork, whose output comes after a layer without hypotheses."""
    inner = two_choices_net(beams=(3, 4))
    inner["output"]["unit"]["h"]["from"] = ["prev:h", "data:source", "prev:ez", "prev:e"]
    inner["output"]["unit"]["e"] = {"class": "linear", "n_out": 2, "from": "data:source"}
    return {
        "sub": {"class": "subnetwork", "from": "data", "subnetwork": inner},
        "norm": {"class": "batch_norm", "from": "data", "update_sample_only_in_training": True},
        "frame": {"class": "linear", "activation": None, "n_out": 1, "from": "norm"},
        "label": {"class": "cast", "dtype": "float32", "from": "sub"},
        "output": {
            **{"class": "eval", "eval": "source(0) + source(1)", "from": ["frame", "label"]},
        },
    }


def rescored() -> Net:
    """Return a loop and a unit over the hypotheses of a search."""
    net, lstm = transducer_net(labels=3, beam_size=4), {"class": "rec", "unit": "lstm", "n_out": 3}
    sources = ["data:source", "prev:output", "prev:s"]
    unit: Net = {
        "s": {**lstm, "from": ["data:source", "prev:output"]},
        "output": {"class": "linear", "activation": "tanh", "n_out": 2, "from": sources},
    }
    return {
        "encoder": {**lstm, "from": "data"},
        "search": {**net["output"], "from": "encoder"},
        "embed": {"class": "linear", "activation": None, "n_out": 2, "from": "search"},
        "lstm": {**lstm, "from": "embed"},
        "loop": {"class": "rec", "from": ["embed", "lstm"], "unit": unit},
        "output": {"class": "copy", "from": ["loop", "lstm"]},
    }


NETS: dict[str, tuple[Net, Net, bool]] = {
    "recurrent": (recurrent(), {"data": {"dim": FEATURES}}, False),
    "transducer": (transducer_net(labels=3, beam_size=4), transducer_streams(3), True),
    "two_choices": (two_choices_net(beams=(3, 4)), two_choices_streams(), True),
    "rescored": (rescored(), transducer_streams(3), True),
    "ctc": (ctc(), {"data": {"dim": FEATURES}}, True),
    "nested": (nested(), two_choices_streams(), True),
}


@cache
def built(name: str) -> tuple[Network, Stream]:
    net, streams, search = NETS[name]
    how: Net = {"extern_data": streams, "search": search, "outputs": ["output"]}
    whole, stream = Network(net, **how), Stream(net, **how)
    stream.network.set_params(random_parameters(whole, scale=1.0))
    return whole, stream


def models(name: str) -> tuple[Network, Stream]:
    whole, stream = built(name)
    stream.reset()
    return whole, stream


def compare(found: SoFar, whole: Network, data: Array, lengths: list[int]) -> None:
    needed = run(whole, {"data": (data, lengths)})["output"]
    assert needed.time_dim is not None
    np.testing.assert_array_equal(found.lengths, needed.lengths[needed.time_dim.name])
    np.testing.assert_allclose(found.values, needed.canonical(), atol=1e-5)
    if needed.scores is not None:
        np.testing.assert_allclose(found.scores, needed.scores, atol=1e-4)


CUTS = [[[7, 7, 7]], [[3, 3, 3], [3, 3, 3]], [[1, 1, 1]] * 6, [[2, 0, 5], [0, 3, 1], [4, 1, 0]]]


@pytest.mark.parametrize("cuts", CUTS)
@pytest.mark.parametrize("name", NETS)
def test_chunks_are_the_whole(name: str, cuts: list[list[int]]) -> None:
    whole, stream = models(name)
    done = np.zeros(3, int)
    for i, batch in enumerate(cut(cuts)):
        found = stream.push(batch)["output"]
        done += batch["data"][1]
        if i == 1:
            # At any time, it is what is known of the frames so far.
            compare(found, whole, DATA[:, : max(done.max(), 1)], done.tolist())
    compare(found, whole, DATA, LENGTHS)
    stream.reset()
    compare(stream.push({"data": (DATA, LENGTHS)})["output"], whole, DATA, LENGTHS)


@settings(
    max_examples=5,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(cuts=st.lists(st.lists(st.integers(0, 4), min_size=3, max_size=3), max_size=4))
def test_wherever_they_are_cut(cuts: list[list[int]]) -> None:
    whole, stream = models("transducer")
    for batch in cut(cuts):
        found = stream.push(batch)["output"]
    compare(found, whole, DATA, LENGTHS)


def _with(**layers: Net) -> Net:
    return {"output": {"class": "copy", "from": list(layers)}, **layers}


LSTM: Net = {"class": "rec", "unit": "lstm", "n_out": 2, "from": "data"}
SELF: Net = {"class": "self_attention", "num_heads": 1, "total_key_dim": 2, "n_out": 2}
SELF |= {"attention_left_only": True, "from": "data:source"}


def _loop(**unit: Net) -> Net:
    return {
        "e": {"class": "linear", "n_out": 2, "from": "data"},
        "output": {"class": "rec", "from": "data", "unit": unit},
    }


CHOICE: Net = {"class": "choice", "from": "data:source", "target": "none", "beam_size": 2}
LINEAR: Net = {"class": "linear", "n_out": 2, "from": "data"}
POSITIONS: Net = {"class": "relative_positional_encoding", "n_out": 2, "from": "data:source"}
SPLIT: Net = {"class": "split_dims", "axis": "T", "dims": (-1, 2), "from": "data"}


def add(scores_in: Any, scores_base: Any, **_: Any) -> Any:
    return scores_in + scores_base


MISTAKES: dict[str, tuple[Net, str]] = {
    "backwards": (_with(bw={**LSTM, "direction": -1}), r"bw \(rec\): found direction -1, needed 1"),
    "windows": (
        _with(c={"class": "conv", "filter_size": [3], "n_out": 2, "padding": "same"}),
        r"c \(conv\): found conv, needed layers of single frames or recurrent ones",
    ),
    "index": (
        _loop(output={"class": "eval", "from": ":i", "eval": "source(0)"}),
        "found ':i', needed none in a stream: chunks begin at any step",
    ),
    "attention": (
        _loop(output={"class": "reduce", "mode": "mean", "axis": "T", "from": "base:e"}),
        "found whole sequences of e, needed single frames",
    ),
    "dropout": (
        _with(d={**LINEAR, "dropout": 0.5, "dropout_on_forward": True}),
        r"d \(linear\): found dropout_on_forward, needed none in a stream",
    ),
    "moments": (
        _with(n={"class": "batch_norm", "from": "data", "force_sample": True}),
        r"n \(batch_norm\): found batch_norm with the moments of a batch, needed running ones",
    ),
    "moments of output": (
        _with(n={**LINEAR, "batch_norm": True}),
        r"n \(linear\): found batch_norm with the moments of a batch, needed running ones",
    ),
    "split": (
        _with(s=SPLIT),
        r"s \(split_dims\): found split_dims, needed layers of single frames",
    ),
    "positions": (
        _loop(output=POSITIONS),
        "found relative_positional_encoding, needed layers that",
    ),
    "sample": (
        _loop(output={**CHOICE, "random_sample_scale": 1.0}),
        "found random_sample_scale, needed a plain search in a stream",
    ),
    "scores": (
        _loop(output={**CHOICE, "custom_score_combine": add}),
        "found custom_score_combine, needed a plain search in a stream",
    ),
}


@pytest.mark.parametrize("name", MISTAKES)
def test_what_does_not_stream_is_an_error(name: str) -> None:
    net, text = MISTAKES[name]
    with pytest.raises(NetworkError, match=text):
        Stream(net, extern_data={"data": {"dim": FEATURES}}, search="choice" in str(net))


def test_training_does_not_stream() -> None:
    with pytest.raises(NetworkError, match=r"^stream: found train True, needed False"):
        Stream(recurrent(), extern_data={"data": {"dim": FEATURES}}, train=True)


def test_samples_do_not_stream() -> None:
    net = _loop(output={**CHOICE, "scheduled_sampling": True})
    streams = {"data": {"dim": FEATURES}, "none": {"dim": FEATURES, "sparse": True}}
    with pytest.raises(NetworkError, match="found scheduled_sampling, needed a plain search"):
        Stream(net, extern_data=streams)


def test_a_state_that_grows_does_not_stream() -> None:
    stream = Stream(_loop(output=SELF), extern_data={"data": {"dim": FEATURES}})
    with pytest.raises(NetworkError, match=r"found a state that grows with the steps, needed one"):
        stream.push({"data": (DATA, LENGTHS)})


def test_other_sequences_need_a_reset() -> None:
    _, stream = models("recurrent")
    stream.push({"data": (DATA, LENGTHS)})
    with pytest.raises(NetworkError, match="found 2 sequences, needed 3 as in the chunk before"):
        stream.push({"data": (DATA[:2], LENGTHS[:2])})
    stream.reset()
    assert stream.push({"data": (DATA[:2], LENGTHS[:2])})["output"].values.shape[:2] == (2, 7)
    plain = Stream({"output": LINEAR}, extern_data={"data": {"dim": FEATURES}})
    plain.push({"data": (DATA, LENGTHS)})
    with pytest.raises(NetworkError, match="found 2 sequences, needed 3 as in the chunk before"):
        plain.push({"data": (DATA[:2], LENGTHS[:2])})
