"""Beam search: equal to the enumeration of all sequences, and to the teacher-forced model."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from eager import Array, dense, random_parameters, run
from models import (
    FEATURES,
    decoder_net,
    transducer_net,
    transducer_streams,
    two_choices_net,
    two_choices_streams,
)

from recipes.networks.lm import lstm_lm, step_lm
from recipes.networks.transducer import shallow_fusion
from returnn_lite.network import Network
from returnn_lite.output import Output

Hyps = list[dict[tuple[Any, ...], float]]


def hypotheses(out: Output, rows: int) -> Hyps:
    """Return labels and scores of the finite hypotheses of every sequence."""
    assert out.scores is not None and out.time_dim is not None and out.beam_size is not None
    values, lengths = out.canonical(), out.lengths[out.time_dim.name]
    assert values.shape[0] == rows * out.beam_size == len(lengths)
    found: Hyps = []
    for b in range(rows):
        entries = [
            (tuple(values[i, : lengths[i]].tolist()), float(out.scores[b, i % out.beam_size]))
            for i in range(b * out.beam_size, (b + 1) * out.beam_size)
            if np.isfinite(out.scores[b, i % out.beam_size])
        ]
        assert [s for _, s in entries] == sorted((s for _, s in entries), reverse=True)
        assert len(dict(entries)) == len(entries), "a hypothesis occurs twice"
        found.append(dict(entries))
    return found


def padded(sequences: Sequence[tuple[int, ...]]) -> tuple[Array, list[int]]:
    """Return labels [batch, time], behind the end -1, and lengths."""
    lengths = [len(s) for s in sequences]
    values = np.full((len(sequences), max([*lengths, 1])), -1, np.int32)
    for row, labels in zip(values, sequences, strict=True):
        row[: len(labels)] = labels
    return values, lengths


def assert_same(found: dict[Any, float], needed: dict[Any, float], tol: float = 1e-4) -> None:
    assert set(found) == set(needed)
    for key, score in needed.items():
        assert found[key] == pytest.approx(score, abs=tol), key


class Transducer:
    """The transducer, teacher-forced and in search, with the same parameters."""

    def __init__(self, labels: int, beam_size: int, seed: int = 0):
        net = transducer_net(labels=labels, beam_size=beam_size)
        streams = transducer_streams(labels)
        self.labels = labels
        self.forced = Network(net, extern_data=streams)
        self.search = Network(
            net, extern_data={"data": streams["data"]}, search=True, outputs=["output", "labels"]
        )
        self.search.set_params(random_parameters(self.forced, seed=seed, scale=1.0))

    def log_probs(self, data: Array, alignments: Sequence[tuple[int, ...]]) -> list[float]:
        """Return the teacher-forced log-probabilities of alignments of one sequence."""
        values, lengths = padded(alignments)
        many = np.repeat(data[None, : max(lengths)], len(alignments), axis=0)
        out = run(self.forced, {"data": (many, lengths), "alignment": (values, lengths)})
        return [-float(x) for x in out.losses["output/output_prob"].value]


@pytest.mark.parametrize(("labels", "lengths"), [(2, [4, 2, 1]), (3, [3, 3])])
def test_a_beam_as_large_as_the_space_is_the_enumeration(labels: int, lengths: list[int]) -> None:
    model = Transducer(labels, beam_size=(labels + 1) ** max(lengths))
    data, _ = dense(lengths, FEATURES)
    found = hypotheses(run(model.search, {"data": (data, lengths)})["output"], len(lengths))
    for b, length in enumerate(lengths):
        everything = list(itertools.product(range(labels + 1), repeat=length))
        scores = model.log_probs(data[b], everything)
        assert np.logaddexp.reduce(scores) == pytest.approx(0.0, abs=1e-4)
        assert_same(found[b], dict(zip(everything, scores, strict=True)))


@pytest.mark.parametrize("beam_size", [1, 2, 7])
def test_every_score_is_the_teacher_forced_one(beam_size: int) -> None:
    model = Transducer(3, beam_size, seed=beam_size)
    data, lengths = dense([6, 1, 4], FEATURES, seed=beam_size)
    found = hypotheses(run(model.search, {"data": (data, lengths)})["output"], 3)
    for b, length in enumerate(lengths):
        assert len(found[b]) == min(beam_size, 4**length)
        scores = model.log_probs(data[b], list(found[b]))
        assert_same(found[b], dict(zip(found[b], scores, strict=True)))


def test_a_sequence_alone_is_found_as_in_a_batch() -> None:
    model = Transducer(3, beam_size=3)
    data, lengths = dense([2, 5, 3], FEATURES)
    data[0, 2:], data[2, 3:] = np.nan, 1e30
    together = hypotheses(run(model.search, {"data": (data, lengths)})["output"], 3)
    for b, length in enumerate(lengths):
        alone = run(model.search, {"data": (data[b : b + 1, :length], [length])})["output"]
        assert_same(hypotheses(alone, 1)[0], together[b])


def test_labels_are_the_output_without_blanks() -> None:
    model = Transducer(3, beam_size=3)
    out = run(model.search, {"data": dense([6, 1, 4], FEATURES)})
    alignments, labels = out["output"], out["labels"]
    np.testing.assert_array_equal(labels.scores, alignments.scores)
    frames = alignments.lengths[alignments.time_dim.name]  # type: ignore[union-attr]
    counts = labels.lengths[labels.time_dim.name]  # type: ignore[union-attr]
    for i, row in enumerate(alignments.canonical()):
        needed = [x for x in row[: frames[i]] if x != model.labels]
        assert labels.canonical()[i, : counts[i]].tolist() == needed


def test_the_compiled_search_is_the_eager_one() -> None:
    model = Transducer(3, beam_size=3)
    batch = {"data": dense([6, 1, 4], FEATURES)}
    compiled, eager = model.search.run(batch), run(model.search, batch)
    for name in ("output", "labels"):
        np.testing.assert_array_equal(compiled[name].canonical(), eager[name].canonical())
        np.testing.assert_allclose(compiled[name].scores, eager[name].scores, rtol=1e-5)


@pytest.mark.parametrize("lengths", [[1], [0, 2], [0]])
def test_one_frame_or_none(lengths: list[int]) -> None:
    model = Transducer(2, beam_size=9)
    data = np.ones((len(lengths), max(lengths), FEATURES), np.float32)
    found = hypotheses(run(model.search, {"data": (data, lengths)})["output"], len(lengths))
    assert [len(f) for f in found] == [3**n for n in lengths]
    assert [f.get(()) for f in found] == [0.0 if n == 0 else None for n in lengths]


# -- until a label ends it


class Decoder:
    """A label-synchronous decoder, teacher-forced and in search."""

    def __init__(self, beam_size: int, *, end: int, eos: bool):
        net = decoder_net(
            labels=3, beam_size=beam_size, max_len="max_len_from('base:encoder')", end=end, eos=eos
        )
        streams = {"data": {"dim": FEATURES}, "classes": {"dim": 3, "sparse": True}}
        self.forced = Network(net, extern_data=streams)
        self.search = Network(net, extern_data=streams, search=True, outputs=["output"])
        self.search.set_params(random_parameters(self.forced, scale=1.0))

    def log_probs(self, data: Array, labels: Sequence[tuple[int, ...]]) -> list[float]:
        many = np.repeat(data[None], len(labels), axis=0)
        out = run(
            self.forced, {"data": (many, [len(data)] * len(labels)), "classes": padded(labels)}
        )
        return [-float(x) for x in out.losses["output/p"].value]


def sentences(labels: int, end: int, limit: int) -> list[tuple[int, ...]]:
    """Return all label sequences that end with `end`, or have `limit` labels and no `end`."""
    others = [x for x in range(labels) if x != end]
    found = [(*s, end) for n in range(limit) for s in itertools.product(others, repeat=n)]
    return [*found, *itertools.product(others, repeat=limit)]


@pytest.mark.parametrize(("end", "eos"), [(0, False), (2, False), (2, True)])
def test_an_open_search_is_the_enumeration_of_sentences(end: int, eos: bool) -> None:
    model = Decoder(beam_size=30, end=end, eos=eos)
    data, lengths = dense([3, 1, 2], FEATURES)
    found = hypotheses(run(model.search, {"data": (data, lengths)})["output"], 3)
    for b, limit in enumerate(lengths):
        everything = sentences(3, end, limit)
        scores = model.log_probs(data[b, :limit], everything)
        needed = {
            (s if eos else tuple(x for x in s if x != end)): score
            for s, score in zip(everything, scores, strict=True)
        }
        # Without the end label, a sentence of `limit` labels is not told from one that ended there.
        assert_same(found[b], needed)


@pytest.mark.parametrize("beam_size", [1, 2])
def test_scores_of_an_open_search_are_the_teacher_forced_ones(beam_size: int) -> None:
    model = Decoder(beam_size, end=2, eos=True)
    data, lengths = dense([5, 2, 4], FEATURES, seed=3)
    together = hypotheses(run(model.search, {"data": (data, lengths)})["output"], 3)
    for b, limit in enumerate(lengths):
        assert len(together[b]) == beam_size
        scores = model.log_probs(data[b, :limit], list(together[b]))
        assert_same(together[b], dict(zip(together[b], scores, strict=True)))
        alone = run(model.search, {"data": (data[b : b + 1, :limit], [limit])})["output"]
        assert_same(hypotheses(alone, 1)[0], together[b])


# -- two variables


@pytest.mark.parametrize("beams", [(300, 300), (1, 1), (2, 3), (4, 2)])
def test_two_choices_in_a_step(beams: tuple[int, int]) -> None:
    streams, net = two_choices_streams(), two_choices_net(beams=beams)
    forced = Network(net, extern_data=streams)
    search = Network(net, extern_data=streams, search=True, outputs=["output/y", "output/z"])
    search.set_params(random_parameters(forced, scale=1.0))
    data, lengths = dense([3, 2], FEATURES)
    out = run(search, {"data": (data, lengths)})
    rows = out["output/y"].canonical(), out["output/z"].canonical()
    for b, length in enumerate(lengths):
        finite = np.isfinite(out["output/z"].scores[b])  # type: ignore[index]
        assert finite.sum() == min(beams[1], 6**length)
        pick = np.arange(b * beams[1], (b + 1) * beams[1])[finite]
        y, z = (r[pick, :length] for r in rows)
        assert len({(*a, *c) for a, c in zip(y, z, strict=True)}) == finite.sum()
        sizes = [length] * len(pick)
        many = np.repeat(data[b : b + 1, :length], len(pick), axis=0)
        batch = {"data": (many, sizes), "true_y": (y, sizes), "true_z": (z, sizes)}
        losses = run(forced, batch).losses
        needed = -losses["output/loss_y"].value - losses["output/loss_z"].value
        scores = out["output/z"].scores[b][finite]  # type: ignore[index]
        np.testing.assert_allclose(scores, needed, atol=1e-4)


# -- fusion


def test_fusion_adds_the_language_model_by_its_scale(tmp_path: Path) -> None:
    labels, scale = 3, 0.6
    model = Transducer(labels, beam_size=1)
    sizes = {"labels": labels, "embed": 2, "units": 3, "layers": 1}
    streams = {
        "data": {"dim": labels, "sparse": True},
        "delayed": {"dim": labels, "sparse": True, "same_dim_tags_as": {"t": "data"}},
    }
    lm = Network(lstm_lm(**sizes, dropout=0.0), extern_data=streams)
    random_parameters(lm, seed=5, scale=1.0)
    lm.save(tmp_path / "lm")
    fusion = shallow_fusion(step_lm(**sizes))
    fusion["lm"]["unit"]["load_on_init"] = str(tmp_path / "lm")
    fused = Network(
        transducer_net(labels=labels, beam_size=300, fusion=fusion),
        extern_data=transducer_streams(labels),
        search=True,
        outputs=["output"],
        config={"lm_scale": scale},
    )
    model.forced.save(tmp_path / "transducer")
    fused.load(tmp_path / "transducer")
    data, lengths = dense([4, 3], FEATURES)
    found = hypotheses(run(fused, {"data": (data, lengths)})["output"], 2)
    for b, length in enumerate(lengths):
        everything = list(itertools.product(range(labels + 1), repeat=length))
        texts = [tuple(x for x in a if x != labels) for a in everything]
        values, counts = padded(texts)
        values = np.maximum(values, 0)
        delayed = np.concatenate([np.zeros_like(values[:, :1]), values[:, :-1]], axis=1)
        lm_loss = run(lm, {"data": (values, counts), "delayed": (delayed, counts)}).losses["output"]
        scores = np.array(model.log_probs(data[b], everything)) - scale * lm_loss.value
        assert_same(found[b], dict(zip(everything, scores.tolist(), strict=True)))


# -- scores that are given


def searched(scores: Array, lengths: list[int], beam_size: int) -> Output:
    """Search where every frame of the input is the log-probability of its labels."""
    unit = {
        "output": {
            "class": "choice",
            "from": "data:source",
            "input_type": "log_prob",
            "target": "classes",
            "beam_size": beam_size,
        }
    }
    network = Network(
        {"output": {"class": "rec", "from": "data", "unit": unit}},
        extern_data={"data": {"dim": scores.shape[-1]}},
        search=True,
    )
    return run(network, {"data": (scores, lengths)})["output"]


def test_equal_scores_give_different_hypotheses() -> None:
    out = searched(np.zeros((2, 3, 4), np.float32), [3, 2], beam_size=9)
    assert [len(h) for h in hypotheses(out, 2)] == [9, 9]


@pytest.mark.parametrize("value", [-np.inf, np.nan])
def test_a_search_ends_where_scores_are_not_finite(value: float) -> None:
    scores = np.zeros((2, 3, 4), np.float32)
    scores[0, 1] = value
    out = searched(scores, [3, 3], beam_size=2)
    assert not np.isfinite(out.scores[0]).any()  # type: ignore[index]
    assert np.isfinite(out.scores[1]).all()  # type: ignore[index]


def test_a_label_without_probability_is_in_no_hypothesis() -> None:
    with np.errstate(divide="ignore"):
        scores = np.log(np.array([[[0.0, 1.0, 0.0], [0.5, 0.0, 0.5]]], np.float32))
    (found,) = hypotheses(searched(scores, [2], beam_size=9), 1)
    assert_same(found, {(1, 0): np.log(0.5), (1, 2): np.log(0.5)})


@pytest.mark.parametrize(
    ("options", "beam_size"),
    [({}, 9), ({}, 2), ({"keep_beams": True}, 2), ({"recombine": "max"}, 9)],
)
def test_a_choice_among_all_frames_of_a_sequence(options: dict[str, Any], beam_size: int) -> None:
    """Two steps choose a frame each, of those before the end of the sequence alone."""
    frames = {"class": "reinterpret_data", "set_axes": {"F": "T"}, "from": "base:p"}
    choice = {"class": "choice", "from": "frames", "target": "none", "beam_size": beam_size}
    unit = {"frames": frames, "end": {"class": "compare", "from": ":i", "value": 1}}
    unit["output"] = choice | options | {"initial_output": 0, "length_normalization": False}
    net = {
        "x": {"class": "reduce", "mode": "max", "axis": "F", "from": "data"},
        "p": {"class": "softmax_over_spatial", "from": "x"},
        "output": {"class": "rec", "from": [], "unit": unit, "max_seq_len": 3, "include_eos": True},
    }
    network = Network(net, extern_data={"data": {"dim": 3}}, search=True)
    lengths = [3, 1, 2]
    out = run(network, {"data": dense(lengths, 3)}, ["output", "p"])
    for row, (found, length) in enumerate(zip(hypotheses(out["output"], 3), lengths, strict=True)):
        logs = np.log(out["p"].canonical()[row, :length])
        every = {w: sum(logs[list(w)]) for w in itertools.product(range(length), repeat=2)}
        assert all(every[w] == pytest.approx(score, rel=1e-4) for w, score in found.items())
        if options:
            continue
        best = sorted(every.values(), reverse=True)[:beam_size]
        np.testing.assert_allclose(list(found.values()), best, rtol=1e-4)
