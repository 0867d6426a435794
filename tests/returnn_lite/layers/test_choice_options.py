"""Options of choices: how hypotheses are ranked, sampled, and kept."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pytest
from eager import Array, dense, gradients, random_parameters, run, sparse
from models import FEATURES, Net, decoder_net, two_choices_net, two_choices_streams
from searched import Searched, frames_net

from returnn_lite.errors import NetworkError
from returnn_lite.network import Network
from returnn_lite.output import Outputs

LIMIT = 4


def decoder(*, beam_size: int = 60, **opts: Any) -> Searched:
    """Return a decoder of 3 labels, 2 being the end, of up to 4 labels."""
    net = decoder_net(labels=3, beam_size=beam_size, max_len=str(LIMIT), end=2, eos=True)
    net["output"]["unit"]["output"] |= opts
    return Searched(net, {"output": ("classes", 3)})


DATA, LENGTHS = dense([3, 2], FEATURES)


@pytest.mark.parametrize("exponent", [1.0, 0.3])
def test_by_length_the_best_per_label_is_first_and_scores_are_log_probabilities(
    exponent: float,
) -> None:
    model = decoder(length_normalization=True, length_normalization_exponent=exponent)
    for b, found in enumerate(model.hypotheses(DATA, LENGTHS)):
        needed = model.log_probs(DATA[b, : LENGTHS[b]], list(found))
        np.testing.assert_allclose(list(found.values()), needed, atol=1e-4)
        ranks = [s / len(labels) ** exponent for (labels,), s in found.items()]
        assert ranks == sorted(ranks, reverse=True) != sorted(found.values(), reverse=True)
        assert len(found) == sum(2**n for n in range(LIMIT)) + 2**LIMIT


def test_the_end_counts_as_a_label_whether_it_is_kept_or_not() -> None:
    found = {}
    for eos in (True, False):
        net = decoder_net(labels=3, beam_size=40, max_len=str(LIMIT), end=2, eos=eos)
        net["output"]["unit"]["output"]["length_normalization"] = True
        model = Searched(net, {"output": ("classes", 3)})
        out = model.run(DATA, LENGTHS)
        assert out.time_dim is not None
        lengths = out.lengths[out.time_dim.name]
        rows = [r[:n].tolist() for r, n in zip(out.canonical(), lengths, strict=True)]
        found[eos] = [[x for x in r if x != 2] for r in rows]
    assert found[True] == found[False]


def test_in_a_loop_of_known_length_it_changes_nothing() -> None:
    scores = np.random.default_rng(0).standard_normal((2, 4, 3)).astype(np.float32)
    a, b = (
        run(frames_net(3, beam_size=5, length_normalization=n), {"data": (scores, [4, 2])})
        for n in (True, False)
    )
    np.testing.assert_array_equal(a["output"].canonical(), b["output"].canonical())
    np.testing.assert_array_equal(a["output"].scores, b["output"].scores)


@pytest.mark.parametrize("how", [{"prob_scale": 0.5}, {"base_beam_score_scale": 0.5}])
def test_scores_are_scaled(how: dict[str, float]) -> None:
    scores = np.log(np.random.default_rng(0).dirichlet([1.0] * 3, size=(1, 3))).astype(np.float32)
    out = run(frames_net(3, beam_size=27, **how), {"data": (scores, [3])})["output"]
    assert out.scores is not None
    needed = {}
    for path in itertools.product(range(3), repeat=3):
        total = 0.0
        for t, label in enumerate(path):
            total = total * how.get("base_beam_score_scale", 1.0)
            total += scores[0, t, label] * how.get("prob_scale", 1.0)
        needed[path] = total
    found = {tuple(r): s for r, s in zip(out.canonical().tolist(), out.scores[0], strict=True)}
    assert found == pytest.approx(needed, abs=1e-5)


def test_logits_are_normalised() -> None:
    logits = np.random.default_rng(0).standard_normal((2, 3, 4)).astype(np.float32)
    log_probs = logits - np.logaddexp.reduce(logits, axis=-1, keepdims=True)
    a = run(frames_net(4, beam_size=5, input_type="logits"), {"data": (logits, [3, 2])})["output"]
    b = run(frames_net(4, beam_size=5), {"data": (log_probs, [3, 2])})["output"]
    np.testing.assert_array_equal(a.canonical(), b.canonical())
    np.testing.assert_allclose(a.scores, b.scores, atol=1e-5)


# -- cheating


@pytest.mark.parametrize("beam_size", [1, 2, 5])
@pytest.mark.parametrize("cheating", [True, "exclusive"])
def test_the_target_is_among_the_hypotheses(cheating: bool | str, beam_size: int) -> None:
    model = decoder(beam_size=beam_size, cheating=cheating)
    truth = [(0, 1, 1, 2), (1, 2)]
    classes = np.array([[0, 1, 1, 2], [1, 2, 0, 0]], np.int32), [4, 2]
    found = model.hypotheses(DATA, LENGTHS, classes=classes)
    plain = decoder(beam_size=beam_size).hypotheses(DATA, LENGTHS)
    assert any((labels,) not in hyps for labels, hyps in zip(truth, plain, strict=True))
    for b, hyps in enumerate(found):
        assert (truth[b],) in hyps and len(hyps) <= beam_size
        needed = model.log_probs(DATA[b, : LENGTHS[b]], list(hyps))
        np.testing.assert_allclose(list(hyps.values()), needed, atol=1e-4)
        assert list(hyps.values()) == sorted(hyps.values(), reverse=True)


def test_cheating_needs_the_target() -> None:
    with pytest.raises(NetworkError, match="found no data stream 'none', needed it in the hyp"):
        frames_net(3, beam_size=2, cheating=True)


@pytest.mark.parametrize("cheating", ["y", "z"])
def test_all_choices_of_a_loop_are_cheating_or_none(cheating: str) -> None:
    net, other = two_choices_net(beams=(2, 3)), {"y": "z", "z": "y"}[cheating]
    net["output"]["unit"][cheating]["cheating"] = True
    text = rf"^output/{other} \(choice\): found no cheating, which output/{cheating} has, needed it"
    with pytest.raises(NetworkError, match=text):
        Network(net, extern_data=two_choices_streams(), search=True)
    Network(net, extern_data=two_choices_streams())
    net["output"]["unit"][other]["search"] = False
    Network(net, extern_data=two_choices_streams(), search=True)


# -- samples


def frequencies(rows: Array, classes: int) -> Array:
    return np.bincount(rows.reshape(-1), minlength=classes) / rows.size


PROBS = np.array([0.6, 0.3, 0.1], np.float32)


def test_with_gumbel_noise_one_hypothesis_is_a_sample() -> None:
    scores = np.tile(np.log(PROBS), (50, 60, 1))
    out = run(frames_net(3, beam_size=1, random_sample_scale=1.0), {"data": (scores, [60] * 50)})
    labels = out["output"].canonical()
    np.testing.assert_allclose(frequencies(labels, 3), PROBS, atol=0.03)
    assert len({tuple(r) for r in labels.tolist()}) == 50
    # Scores are without the noise.
    needed = np.log(PROBS)[labels].sum(axis=1)
    np.testing.assert_allclose(out["output"].scores[:, 0], needed, rtol=1e-4)  # type: ignore[index]
    again = run(frames_net(3, beam_size=1, random_sample_scale=1.0), {"data": (scores, [60] * 50)})
    np.testing.assert_array_equal(again["output"].canonical(), labels)


STREAMS = {"data": {"dim": 3}, "classes": {"dim": 3, "sparse": True}}
STREAMS["classes"]["same_dim_tags_as"] = {"t": "data"}


def sampled(how: Any, *, moved: bool = True, probs: Array = PROBS) -> Array:
    """Return labels [batch, time] where the input is probabilities, and the target all 2."""
    unit: Net = {
        "output": {
            **{"class": "choice", "from": "data:source", "target": "classes", "beam_size": 1},
            "scheduled_sampling": how,
        }
    }
    rec = {"class": "rec", "from": "data", "unit": unit, "optimize_move_layers_out": moved}
    network = Network({"output": rec}, extern_data=STREAMS, train=True)
    lengths = [30] * 40
    batch = {"data": (np.tile(probs, (40, 30, 1)), lengths)}
    batch["classes"] = (np.full((40, 30), 2, np.int32), lengths)
    found: Array = run(network, batch)["output"].canonical()
    return found


@pytest.mark.parametrize("gold", [None, 0.0, 0.4, 1.0])
def test_scheduled_sampling_mixes_samples_and_the_target(gold: float | None) -> None:
    how: Any = True if gold is None else {"gold_mixin_prob": gold}
    labels = sampled(how)
    needed = (1.0 - (gold or 0.0)) * PROBS + np.array([0.0, 0.0, gold or 0.0])
    np.testing.assert_allclose(frequencies(labels, 3), needed, atol=0.04)
    # By sequence and step, and the same whether it is in the loop or not.
    assert gold == 1.0 or len({tuple(r) for r in labels.T.tolist()}) == 30
    np.testing.assert_array_equal(sampled(how, moved=False), labels)


def test_scheduled_sampling_may_be_off() -> None:
    assert (sampled({"enable": False, "gold_mixin_prob": 0.4}) == 2).all()
    assert (sampled({"enable": True}) != 2).any()


def test_a_sample_feeds_back_and_lets_no_gradient_through() -> None:
    unit: Net = {
        "e": {"class": "linear", "activation": None, "n_out": 2, "from": "prev:output"},
        "s": {"class": "rec", "unit": "lstm", "n_out": 3, "from": ["e", "data:source"]},
        "p": {"class": "softmax", "n_out": 3, "from": "s", "loss": "ce", "target": "classes"},
        "output": {"class": "choice", "from": "p", "target": "classes", "beam_size": 1},
    }
    unit["output"]["scheduled_sampling"] = True
    network = Network(
        {"output": {"class": "rec", "from": "data", "unit": unit}}, extern_data=STREAMS, train=True
    )
    random_parameters(network)
    batch = {"data": dense([4, 2], 3), "classes": sparse([4, 2], 3)}
    loss, found = gradients(network, batch)
    assert np.isfinite(loss) and np.abs(found["output/rec/e/W"]).max() > 0
    labels = run(network, batch, ["output", "output/p"])
    assert (labels["output"].canonical() != batch["classes"][0]).any()


# -- given, and as they are


def test_what_is_searched_for_is_the_others() -> None:
    """With every choice fixed, a search gives the target and its score."""
    model = decoder(beam_size=3, search=False)
    model.search.scope.get("output")
    net = model.net
    net["output"]["size_target"] = "classes"
    fixed = Searched(net, model.choices)
    classes = np.array([[0, 1, 2], [1, 2, 0]], np.int32), [3, 2]
    found = fixed.hypotheses(DATA, LENGTHS, classes=classes)
    for b, labels in enumerate([(0, 1, 2), (1, 2)]):
        (needed,) = fixed.log_probs(DATA[b, : LENGTHS[b]], [(labels,)])
        assert found[b] == {(labels,): pytest.approx(needed, abs=1e-4)}


AFTER = np.array([[-1.0, -9.0], [-5.0, -2.0], [-1.0, -3.0]])
FRAMES = np.log(np.random.default_rng(0).dirichlet([1.0] * 3, (2, 3))).astype(np.float32)


def given_after(cheating: bool, **opts: Any) -> Outputs:
    """Search for `output`, of 3 values; what comes after it in a step is the target, by AFTER."""
    choice: Net = {"class": "choice", "input_type": "log_prob", "beam_size": 6}
    searched: Net = {**choice, "target": "own", "from": "data:source", "cheating": cheating}
    unit: Net = {
        "output": searched,
        "q": {
            **{
                "class": "eval",
                "from": "output",
                "eval": f"tf.gather({AFTER.tolist()}, source(0, auto_convert=False))",
            },
            "out_type": {"dim": 2, "shape": (2,), "dtype": "float32", "sparse": False},
        },
        "b": {**choice, "target": "classes", "from": "q", "search": False, **opts},
        "copy": {"class": "copy", "from": "b", "is_output_layer": True},
    }
    net: Net = {
        "output": {"class": "rec", "from": "data", "unit": unit},
        "best": {"class": "decide", "from": "output"},
    }
    like: Net = {"sparse": True, "same_dim_tags_as": {"t": "data"}}
    streams: Net = {"data": {"dim": 3}, "classes": {"dim": 2, **like}, "own": {"dim": 3, **like}}
    network = Network(net, extern_data=streams, search=True, outputs=["output", "best"])
    batch: dict[str, Any] = {"data": (FRAMES, [3, 1])}
    batch["classes"] = np.array([[0, 1, 0], [1, 0, 0]], np.int32), [3, 1]
    batch["own"] = np.array([[1, 0, 1], [2, 0, 0]], np.int32), [3, 1]
    return run(network, batch, ["output", "best", "output/copy"])


@pytest.mark.parametrize("cheating", [False, True])
@pytest.mark.parametrize("scale", [1.0, 0.0])
def test_after_a_fixed_choice_the_best_is_first(scale: float, cheating: bool) -> None:
    found = given_after(cheating, base_beam_score_scale=scale)
    out, classes = found["output"], np.array([[0, 1, 0], [1, 0, 0]])
    assert out.scores is not None
    for b, (n, count) in enumerate([(3, 6), (1, 3)]):
        rows = out.canonical()[6 * b : 6 * b + count, :n].astype(int)
        needed = np.zeros(count)
        for t in range(n):
            of_b = AFTER[rows[:, t], classes[b, t]]
            needed = scale * (needed + FRAMES[b, t, rows[:, t]]) + of_b
        np.testing.assert_allclose(out.scores[b, :count], needed, atol=1e-4)
        assert out.scores[b].tolist() == sorted(out.scores[b], reverse=True)
        assert (out.scores[b, count:] == -np.inf).all()
        np.testing.assert_array_equal(found["best"].canonical()[b, :n], rows[0])
        fixed = found["output/copy"].canonical()[6 * b : 6 * b + count, :n]
        np.testing.assert_array_equal(fixed, np.tile(classes[b, :n], (count, 1)))
        assert not cheating or [[1, 0, 1], [2]][b] in rows.tolist()


def test_a_fixed_choice_needs_a_loop_as_long_as_its_target() -> None:
    model, classes = decoder(search=False), (np.array([[0, 1], [1, 2]], np.int32), [2, 2])
    text = r"found a sequence in the steps of output \(rec\), which 'end' ends, .* try size_target"
    with pytest.raises(NetworkError, match=text):
        model.run(DATA, LENGTHS, classes=classes)


def test_a_fixed_choice_needs_the_classes_of_its_source() -> None:
    net, streams = two_choices_net(beams=(2, 3)), two_choices_streams()
    net["output"]["unit"]["z"]["search"] = False
    streams["true_z"]["dim"] = 5
    with pytest.raises(
        NetworkError, match=r"output/z \(choice\): found target .*, needed 3 classes"
    ):
        Network(net, extern_data=streams, search=True)
    net["output"]["unit"]["z"]["add_to_beam_scores"] = False
    Network(net, extern_data=streams, search=True)


def test_numbers_are_what_they_are() -> None:
    """A regression has no hypotheses: the input in a search, and the target in training."""
    unit: Net = {
        "x": {"class": "linear", "activation": "tanh", "n_out": 3, "from": "prev:output"},
        "output": {
            **{"class": "choice", "from": "x", "target": "classes", "beam_size": 1},
            **{"input_type": "regression", "initial_output": 1.0},
        },
    }
    streams = {"data": {"dim": 2}, "classes": {"dim": 3}}
    net = {"output": {"class": "rec", "from": "data", "unit": unit}}
    batch: dict[str, Any] = {"data": dense([3, 2], 2), "classes": dense([3, 2], 3, seed=1)}
    forced = Network(net, extern_data=streams)
    needed = batch["classes"][0] * (np.arange(3)[None] < np.array([[3], [2]]))[..., None]
    np.testing.assert_allclose(run(forced, batch)["output"].canonical(), needed)
    search = Network(net, extern_data={"data": {"dim": 2}}, search=True)
    params = random_parameters(search)
    out, x = run(search, {"data": batch["data"]})["output"], np.ones((2, 3))
    assert out.scores is None
    for t in range(3):
        x = np.tanh(x @ params["output/rec/x/W"] + params["output/rec/x/b"])
        alive = t < np.array([3, 2])
        np.testing.assert_allclose(out.canonical()[alive, t], x[alive], atol=1e-5)


MISTAKES: dict[str, tuple[Net, str]] = {
    "sampling": ({"scheduled_sampling": {"gold": 1}}, "found 'gold' in scheduled_sampling; try"),
    "regression": ({"input_type": "regression"}, "found input_type 'regression', needed beam_size"),
    "type": ({"input_type": "probs"}, "option 'input_type': found 'probs', needed 'prob' or"),
    "sources": ({"from": ["data:source"] * 2}, "found 2 layers in 'from', needed one; try one"),
    "merge": ({"recombine": "mean"}, "option 'recombine': found 'mean', needed 'max' or 'sum'"),
    "beam": ({"beam_size": 0}, "found beam_size 0, needed at least 1"),
    "gold": (
        {"scheduled_sampling": {"gold_mixin_prob": 1.5}},
        "found gold_mixin_prob 1.5, needed 0 to 1",
    ),
    "blank": (
        {"recombine": "max", "blank_idx": 3},
        r"found blank_idx 3, needed one of the labels of \[B,F\|3\]",
    ),
    "uncounted": ({"add_to_beam_scores": False}, "found add_to_beam_scores False, needed search F"),
    "merged": (
        {"cheating": True, "recombine": "max"},
        "found cheating and recombine, needed one of them",
    ),
    "given": (
        {"custom_score_combine": max, "search": False},
        "found custom_score_combine with search False, needed a search",
    ),
    "scaled": (
        {"custom_score_combine": max, "prob_scale": 0.5},
        "found prob_scale with custom_score_combine, needed the factor in the function",
    ),
    "base": (
        {"custom_score_combine": max, "base_beam_score_scale": 0.5},
        "found base_beam_score_scale with custom_score_combine, needed the factor",
    ),
}


@pytest.mark.parametrize("name", MISTAKES)
def test_mistakes(name: str) -> None:
    opts, text = MISTAKES[name]
    with pytest.raises(NetworkError, match=rf"output/output \(choice\): {text}"):
        frames_net(3, **{"beam_size": 2, **opts})


@pytest.mark.parametrize(
    ("beam_size", "text"),
    [(3, "needed a multiple of 2"), (8, "needed at most 6, for 2 hypotheses before and 3 labels")],
)
def test_extensions_are_kept_separately_in_multiples(beam_size: int, text: str) -> None:
    choice: Net = {"class": "choice", "target": "none"}
    unit: Net = {
        "x": {"class": "combine", "kind": "add", "from": ["data:source", "data:source"]},
        "y": {**choice, "from": "x", "beam_size": 2},
        "output": {**choice, "from": "data:source", "beam_size": beam_size, "keep_beams": True},
        "z": {"class": "copy", "from": "y", "is_output_layer": True},
    }
    net = {"output": {"class": "rec", "from": "data", "unit": unit}}
    network = Network(net, extern_data={"data": {"dim": 3}}, search=True)
    with pytest.raises(NetworkError, match=f"found keep_beams and beam_size {beam_size}, {text}"):
        run(network, {"data": dense([2], 3)})


def test_a_search_needs_a_network_that_searches() -> None:
    choice = {"class": "choice", "from": "data:source", "target": "classes", "beam_size": 2}
    unit = {"output": {**choice, "search": True}}
    with pytest.raises(NetworkError, match="found search True in a network without search; try N"):
        Network({"output": {"class": "rec", "from": "data", "unit": unit}}, extern_data=STREAMS)
