"""Search in every topology: equal to the enumeration of all sequences, and it ends."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
from eager import dense, random_parameters, run
from models import (
    ENCODER,
    FEATURES,
    Net,
    transducer_net,
    two_choices_net,
    two_choices_streams,
)
from searched import Choices, Searched, frames_net

from recipes.networks import hard_attention, segmental
from returnn_lite.errors import NetworkError
from returnn_lite.network import Network

LABELS = 3
SIZES: dict[str, int] = {"labels": LABELS, "embed": 2, "units": 3, "beam_size": 200}
SCORES: Net = {"class": "linear", "activation": "log_softmax"}
CHOICE: Net = {"class": "choice", "input_type": "log_prob", "beam_size": 200}
Sequences = Callable[[int], Iterator[tuple[tuple[int, ...], ...]]]


def sentences(others: list[int], end: int, limit: int) -> Iterator[tuple[int, ...]]:
    """Yield what ends with a label, or has as many labels as allowed without it."""
    for n in range(limit):
        yield from ((*s, end) for s in itertools.product(others, repeat=n))
    yield from itertools.product(others, repeat=limit)


# -- topologies: a network, its choices with their targets, and all values that these may have


def _attention(frames: int = 2) -> tuple[Net, Choices, Sequences]:
    unit: Net = {
        "e": {"class": "linear", "activation": None, "n_out": 2, "from": "prev:output"},
        "s": {"class": "rec", "unit": "nativelstm2", "n_out": 3, "from": ["e", "prev:c"]},
        "q": {"class": "linear", "activation": None, "n_out": 4, "from": "s"},
        "add": {"class": "combine", "kind": "add", "from": ["base:encoder", "q"]},
        "tanh": {"class": "activation", "activation": "tanh", "from": "add"},
        "energy": {"class": "linear", "activation": None, "n_out": 1, "from": "tanh"},
        "weights": {"class": "softmax_over_spatial", "from": "energy"},
        "c0": {"class": "generic_attention", "weights": "weights", "base": "base:encoder"},
        "c": {"class": "merge_dims", "axes": "static", "from": "c0"},
        "p": {**SCORES, "from": ["s", "c", "e"], "n_out": LABELS},
        "output": {**CHOICE, "from": "p", "target": "classes", "initial_output": 0},
        "end": {"class": "compare", "from": "output", "value": 0},
    }
    loop: Net = {"class": "rec", "from": [], "target": "classes", "unit": unit}
    net = {**ENCODER, "output": {**loop, "max_seq_len": frames + 1, "include_eos": True}}
    return (
        net,
        {"output": ("classes", 3)},
        lambda _: ((s,) for s in sentences([1, 2], 0, frames + 1)),
    )


def _loop_in_loop() -> tuple[Net, Choices, Sequences]:
    """A loop over the encoder's frames for each hypothesis, which sees what that was before."""
    net, choices, sequences = _attention()
    tanh: Net = {"class": "linear", "activation": "tanh", "n_out": 2}
    cell: Net = {"class": "rec", "unit": "nativelstm2", "n_out": 2}
    inner: Net = {
        "h": {**tanh, "from": ["data:source", "prev:h", "base:e"], "initial_output": "base:start"},
        "cell": {**cell, "from": ["prev:h"], "initial_state": {"c": "base:start", "h": "zeros"}},
        "early": {**tanh, "from": ["data:source", "base:prev:last"]},
        "output": {"class": "copy", "from": ["h", "cell", "early"]},
    }
    net["output"]["unit"] |= {
        "start": {**tanh, "from": "s"},
        "inner": {"class": "rec", "from": "base:encoder", "unit": inner},
        "mean": {"class": "reduce", "mode": "mean", "axis": "T", "from": "inner"},
        "last": {"class": "get_last_hidden_state", "key": "h", "from": "inner/cell", "n_out": 2},
    }
    net["output"]["unit"]["p"]["from"] = ["s", "mean", "last", "e"]
    return net, choices, sequences


def _rna() -> tuple[Net, Choices, Sequences]:
    net = transducer_net(labels=2, beam_size=200)
    every: Sequences = lambda n: ((s,) for s in itertools.product(range(3), repeat=n))  # noqa: E731
    return net, {"output": ("alignment", 3)}, every


def _rnnt() -> tuple[Net, Choices, Sequences]:
    """Labels take no frame, and the blank, label 2, goes on to the next one."""
    unit: Net = {
        "blank": {"class": "compare", "from": "output", "value": 2},
        "t": {
            **{"class": "eval", "from": ["prev:t", "blank"], "initial_output": 0},
            **{"eval": "source(0) + tf.cast(source(1), tf.int32)", "out_type": {"dtype": "int32"}},
        },
        "frames": {"class": "length", "from": "base:encoder"},
        "at": {
            **{"class": "eval", "from": ["prev:t", "frames"]},
            "eval": "tf.minimum(source(0), source(1) - 1)",
        },
        "frame": {"class": "gather", "from": "base:encoder", "position": "at", "axis": "T"},
        "is_label": {
            **{"class": "compare", "kind": "not_equal", "from": "output", "value": 2},
            "initial_output": True,
        },
        "slow": {
            **{"class": "masked_computation", "mask": "prev:is_label", "from": "prev:output"},
            "unit": {"class": "rec", "unit": "nativelstm2", "n_out": 3},
        },
        "p": {**SCORES, "from": ["slow", "frame"], "n_out": 3},
        "output": {**CHOICE, "from": "p", "target": "alignment", "initial_output": 0},
        "end": {"class": "compare", "kind": "greater_equal", "from": ["t", "frames"]},
    }
    loop: Net = {"class": "rec", "from": [], "target": "alignment", "unit": unit}
    net = {**ENCODER, "output": {**loop, "max_seq_len": 4, "include_eos": True}}

    def paths(frames: int) -> Iterator[tuple[tuple[int, ...], ...]]:
        for n in range(5):
            for path in itertools.product(range(3), repeat=n):
                blanks = path.count(2)
                if (blanks == frames and path[-1] == 2) or (n == 4 and blanks < frames):
                    yield (path,)

    return net, {"output": ("alignment", 3)}, paths


def _hard_attention() -> tuple[Net, Choices, Sequences]:
    net = hard_attention.hard_attention(ENCODER, window=2, **SIZES)
    net["output"]["max_seq_len"] = 2

    def pairs(_: int) -> Iterator[tuple[tuple[int, ...], ...]]:
        for labels in sentences([1, 2], 0, 2):
            for steps in itertools.product(range(2), repeat=len(labels)):
                yield labels, steps

    return net, {"output": ("classes", 3), "step": ("forward", 2)}, pairs


def _segmental() -> tuple[Net, Choices, Sequences]:
    net = segmental.segmental(ENCODER, longest=2, **SIZES)

    def pairs(frames: int) -> Iterator[tuple[tuple[int, ...], ...]]:
        for n in range(1, frames + 1):
            for lengths in itertools.product(range(2), repeat=n):
                if sum(lengths) + n == frames:
                    yield from ((s, lengths) for s in itertools.product(range(3), repeat=n))

    return net, {"output": ("classes", 3), "length": ("duration", 2)}, pairs


TOPOLOGIES = {
    "attention": _attention,
    "loop_in_loop": _loop_in_loop,
    "rna": _rna,
    "rnnt": _rnnt,
    "hard_attention": _hard_attention,
    "segmental": _segmental,
}


def searched(name: str, **how: Any) -> tuple[Searched, Sequences]:
    net, choices, sequences = TOPOLOGIES[name]()
    return Searched(net, choices, **how), sequences


@pytest.mark.parametrize("name", TOPOLOGIES)
def test_a_beam_as_large_as_the_space_is_the_enumeration(name: str) -> None:
    model, sequences = searched(name)
    data, lengths = dense([3, 1, 2], FEATURES)
    for b, found in enumerate(model.hypotheses(data, lengths)):
        everything = list(sequences(lengths[b]))
        needed = model.log_probs(data[b, : lengths[b]], everything)
        assert np.logaddexp.reduce(needed) == pytest.approx(0.0, abs=1e-4)
        assert {*found} == {*everything}
        for sequence, score in zip(everything, needed, strict=True):
            assert found[sequence] == pytest.approx(score, abs=1e-4)


@pytest.mark.parametrize("beam_size", [1, 3, 50])
@pytest.mark.parametrize("name", TOPOLOGIES)
def test_scores_are_the_teacher_forced_ones_and_those_of_each_choice(
    name: str, beam_size: int
) -> None:
    model, _ = searched(name, beam_size=beam_size)
    data, lengths = dense([3, 1, 2], FEATURES, seed=beam_size)
    for b, found in enumerate(model.hypotheses(data, lengths)):
        assert 1 <= len(found) <= beam_size
        needed = model.log_probs(data[b, : lengths[b]], list(found))
        np.testing.assert_allclose(list(found.values()), needed, atol=1e-4)


@pytest.mark.parametrize("beam_size", [1, 20])
@pytest.mark.parametrize("value", ["inf", "nan", "zero"])
@pytest.mark.parametrize("name", TOPOLOGIES)
def test_it_ends_whatever_the_input(name: str, value: str, beam_size: int) -> None:
    model, _ = searched(name, beam_size=beam_size)
    number = {"inf": np.inf, "nan": np.nan, "zero": 0.0}[value]
    data = np.full((2, 2, FEATURES), number, np.float32)
    out = model.run(data, [2, 1])
    time = out.time_dim
    assert time is not None and out.lengths[time.name].max() <= 4


@pytest.mark.parametrize("lengths", [[1], [0], [0, 2]])
@pytest.mark.parametrize("name", TOPOLOGIES)
def test_one_frame_or_none(name: str, lengths: list[int]) -> None:
    model, _ = searched(name, beam_size=2)
    data = np.ones((len(lengths), max(lengths), FEATURES), np.float32)
    out = model.run(data, lengths)
    assert out.time_dim is not None and out.scores is not None
    counts = out.lengths[out.time_dim.name]
    alone = model.run(data[:1, : lengths[0]], lengths[:1])
    np.testing.assert_allclose(out.scores[0], alone.scores[0], atol=1e-4)  # type: ignore[index]
    np.testing.assert_array_equal(counts[:2], alone.lengths[out.time_dim.name])


# -- one variable fixed, the other searched


@pytest.mark.parametrize("name", ["hard_attention", "segmental"])
def test_a_forced_alignment_is_the_best_of_all(name: str) -> None:
    model, _ = searched(name)
    if name == "segmental":
        net = segmental.forced_alignment(model.net, longest=2)
    else:
        net = hard_attention.forced_alignment(model.net)
    data, lengths = dense([4, 3], FEATURES)
    labels = np.array([[1, 2, 0], [2, 1, 0]], np.int32)
    aligned = Searched(net, model.choices)
    found = aligned.hypotheses(data, lengths, classes=(labels, [3, 2]))
    for b, n in enumerate([3, 2]):
        fixed = tuple(labels[b, :n].tolist())
        every = [(fixed, x) for x in itertools.product(range(2), repeat=n)]
        if name == "segmental":
            every = [s for s in every if sum(s[1]) + n == lengths[b]]
        needed = model.log_probs(data[b, : lengths[b]], every)
        assert {*found[b]} == {*every}
        np.testing.assert_allclose([found[b][s] for s in every], needed, atol=1e-4)
        assert next(iter(found[b])) == every[int(np.argmax(needed))]


# -- what is complete


def test_states_of_a_complete_sequence_stay_with_their_hypotheses() -> None:
    """Also where the first choice of a step has fewer hypotheses than the last one."""
    net = two_choices_net(beams=(2, 6))
    net["output"]["unit"]["s"] = {"class": "rec", "unit": "lstm", "n_out": 2, "from": "ez"}
    net["output"]["unit"]["h"]["from"] = ["prev:h", "data:source", "prev:s"]
    net["last"] = {"class": "get_last_hidden_state", "key": "h", "n_out": 2, "from": "output/s"}
    how: Net = {"extern_data": two_choices_streams(), "search": True, "outputs": ["last"]}
    network = Network(net, **how)
    random_parameters(network, scale=1.0)
    data, _ = dense([5, 2], FEATURES)
    found = run(network, {"data": (data, [5, 2])})["last"].canonical()[6:]
    alone = run(network, {"data": (data[1:, :2], [2])})["last"].canonical()
    assert len(np.unique(alone, axis=0)) > 2
    np.testing.assert_allclose(found, alone, atol=1e-6)


# -- a search in the loop of another


def _nested(source: str = "base:scores", **more: Net) -> Network:
    """Return a decoder that searches for `inner` besides, which has the same target."""
    net, unit = _attention()[0], _attention()[0]["output"]["unit"]
    inner = frames_net(LABELS, beam_size=2).scope.layers["output"]
    unit["inner"] = {**inner, "from": source}
    unit["inner"]["unit"]["output"]["target"] = "classes"
    net["scores"] = {**SCORES, "from": "encoder", "n_out": LABELS}
    net["output"]["unit"] = unit | more
    streams = {"data": {"dim": FEATURES}, "classes": {"dim": LABELS, "sparse": True}}
    network = Network(net, extern_data=streams, search=True, outputs=["output", "output/x"])
    random_parameters(network)
    return network


def test_a_search_in_the_loop_of_another_needs_a_decision() -> None:
    batch = {"data": dense([3, 2], FEATURES)}
    x: Net = {"class": "length", "is_output_layer": True}
    decided = {"best": {"class": "decide", "from": "inner"}, "x": {**x, "from": "best"}}
    # What both have as a target need not be there.
    out = run(_nested(**decided), batch, with_losses=False)
    assert out["output/x"].canonical().reshape(2, -1)[:, 0].tolist() == [3, 2]
    text = "found beam .*, needed those of one search; try 'decide'"
    with pytest.raises(NetworkError, match=text):
        both = {"class": "combine", "kind": "add", "from": ["inner", "output"]}
        run(_nested(x={**both, "is_output_layer": True}), batch, with_losses=False)
    now: Net = {"class": "eval", "from": ["base:scores", ":i"]}
    now["eval"] = "source(0) - tf.cast(source(1), tf.float32)"
    with pytest.raises(
        NetworkError, match=r"found beam .* of another search in the steps of output"
    ):
        run(_nested("now", **decided, now=now), batch, with_losses=False)


@pytest.mark.parametrize("hyps", ["over", "seen", "first"])
def test_a_search_over_the_hypotheses_of_another_needs_a_decision(hyps: str) -> None:
    net = _rna()[0]
    net["e"] = {"class": "linear", "activation": None, "n_out": 3, "from": "output"}
    net["last"] = {"class": "reduce", "mode": "mean", "axis": "T", "from": "e"}
    p: Net = {"class": "softmax", "n_out": 3, "from": ["data:source", "prev:p"]}
    if hyps == "seen":
        p["from"] = ["data:source", "base:last"]
    if hyps == "first":
        p["initial_output"] = "base:last"
    choice = {"class": "choice", "from": "p", "target": "alignment", "beam_size": 2}
    unit = {"p": p, "output": choice}
    net["loop"] = {"class": "rec", "from": "e" if hyps == "over" else "data", "unit": unit}
    streams = {"data": {"dim": FEATURES}, "alignment": {"dim": 3, "sparse": True}}
    batch = {"data": dense([5, 2], FEATURES)}
    text = r"^loop \(rec\): found hypotheses of beam 'output/output', beam size \d+ in a search"
    with pytest.raises(NetworkError, match=rf"{text}, needed none; try 'decide' before"):
        Network(net, extern_data=streams, search=True, outputs=["loop"]).run(batch)
    net["best"] = {"class": "decide", "from": "output"}
    net["e"]["from"] = "best"
    out = Network(net, extern_data=streams, search=True, outputs=["loop"]).run(batch)["loop"]
    assert out.canonical().shape[0] == 2 * 2


@pytest.mark.parametrize("decided", [False, True])
def test_a_loop_over_hypotheses(decided: bool) -> None:
    net, unit = _rna()[0], {}
    unit["output"] = {"class": "linear", "n_out": 2, "from": ["data:source", "prev:output"]}
    net["best"] = {"class": "decide", "from": "output"}
    net["e"] = {"class": "linear", "activation": None, "n_out": 2}
    net["e"]["from"] = "best" if decided else "output"
    net["loop"] = {"class": "rec", "from": "e", "unit": unit}
    streams = {"data": {"dim": FEATURES}, "alignment": {"dim": 3, "sparse": True}}
    network = Network(net, extern_data=streams, search=True, outputs=["loop", "output"])
    p = random_parameters(network)
    out = run(network, {"data": dense([3, 2], FEATURES)}, ["loop", "e"], with_losses=False)
    found = out["loop"].canonical()
    assert found.shape == ((2 if decided else 400), 3, 2)
    h, e = np.zeros((len(found), 2)), out["e"].canonical()
    for t in range(3):
        h = np.concatenate([e[:, t], h], axis=1) @ p["loop/rec/output/W"] + p["loop/rec/output/b"]
        mask = np.repeat([True, t < 2], len(found) // 2)
        np.testing.assert_allclose(found[:, t], h * mask[:, None], atol=1e-4)


# -- hypotheses with equal labels


def collapsed(path: tuple[int, ...], blank: int, *, repetitions: bool) -> tuple[int, ...]:
    kept = [x for i, x in enumerate(path) if not (repetitions and i and x == path[i - 1])]
    return tuple(x for x in kept if x != blank)


@pytest.mark.parametrize("topology", ["rna", "ctc"])
@pytest.mark.parametrize("merge", ["max", "sum"])
def test_recombined_hypotheses_are_label_sequences(topology: str, merge: str) -> None:
    scores = np.log(np.random.default_rng(0).dirichlet([1.0] * 3, size=(2, 4))).astype(np.float32)
    lengths = [4, 2]
    opts = {"recombine": merge, "topology": topology, "blank_idx": 2, "beam_size": 100}
    out = run(frames_net(3, **opts), {"data": (scores, lengths)})["output"]
    assert out.scores is not None and out.beam_size is not None
    for b, length in enumerate(lengths):
        needed: dict[Any, float] = {}
        for path in itertools.product(range(3), repeat=length):
            # In CTC what follows depends on the last label, too.
            key = (
                collapsed(path, 2, repetitions=topology == "ctc"),
                path[-1] * (topology == "ctc"),
            )
            score = float(sum(scores[b, i, x] for i, x in enumerate(path)))
            add = np.logaddexp if merge == "sum" else max
            needed[key] = float(add(needed.get(key, -np.inf), score))
        rows = out.canonical()[b * out.beam_size : (b + 1) * out.beam_size, :length]
        found = {}
        for row, score in zip(rows.tolist(), out.scores[b], strict=True):
            if np.isfinite(score):
                key = collapsed(tuple(row), 2, repetitions=topology == "ctc")
                found[key, row[-1] * (topology == "ctc")] = float(score)
        assert found == pytest.approx(needed, abs=1e-4)


def test_recombination_leaves_room_for_other_labels() -> None:
    scores = np.log([[[0.4, 0.05, 0.55]] * 5]).astype(np.float32)
    texts = {}
    for recombine in (None, "max"):
        network = frames_net(3, recombine=recombine, blank_idx=2, beam_size=6)
        out = run(network, {"data": (scores, [5])})["output"]
        rows = [tuple(r) for r in out.canonical()[:, :5].tolist()]
        texts[recombine] = {collapsed(r, 2, repetitions=False) for r in rows}
    assert len(texts["max"]) == 6 > len(texts[None])
