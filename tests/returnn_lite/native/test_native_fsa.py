"""Automata: kernels and TensorFlow's own operations give the same, and what is defined."""

from __future__ import annotations

import contextlib
import itertools
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorflow as tf
from both_forms import assert_equal, values

from cupy_kernels.backend import host
from cupy_kernels.check import ArgumentError
from cupy_kernels.fsa import Automaton, Hmm, ctc_automaton, reference
from returnn_lite import native
from returnn_lite.native import hmm_tf

FRAMES = np.array([8, 5, 2], np.int32)
LABELS = np.array([[1, 2, 2], [3, 0, 0], [1, 2, 3]], np.int32)
COUNTS = np.array([3, 1, 3], np.int32)  # the last does not fit into its frames
LOG_PROBS = np.random.default_rng(16).standard_normal((8, 3, 5), np.float32)


def _ctc() -> Automaton:
    return ctc_automaton(LABELS, COUNTS, blank=4)


def _made_in_the_graph(function: Any) -> Any:
    labels = (tf.constant(LABELS), tf.constant(COUNTS))
    return lambda x: function(x, FRAMES, lambda *a: ctc_automaton(*a, blank=4), labels)


def _best_path(scores: Any, frames: Any, automaton: Automaton, *, pure: bool) -> list[Any]:
    with native.tensorflow_only() if pure else contextlib.nullcontext():
        found = native.fsa_best_path(tf.constant(scores), tf.constant(frames), automaton)
    return [x.numpy() for x in found]


def test_sums() -> None:
    automaton = _ctc()
    found = assert_equal(lambda x: native.fsa_full_sum(x, FRAMES, automaton), [LOG_PROBS])
    assert np.isinf(found[0]).tolist() == [False, False, True]
    made = values(_made_in_the_graph(native.fsa_full_sum), [LOG_PROBS])
    for a, b in zip(made, found, strict=True):
        np.testing.assert_array_equal(a, b)


def test_costs_and_several_edges() -> None:
    edges = [(0, 1, 0, 0.5), (0, 1, 0, 0.1), (1, 1, 1), (1, 0, 2, float("inf")), (1, 2, 2)]
    automaton = Automaton.of([edges], [{0: 0.3, 1: 0.0}], [{2: 0.2, 1: 1.0}])
    frames, log_probs = np.array([4], np.int32), LOG_PROBS[:4, :1, :3].copy()
    assert_equal(lambda x: native.fsa_full_sum(x, frames, automaton), [log_probs])


def test_the_best_path_of_ctc_s_automata_is_that_of_ctc() -> None:
    labels = (tf.constant(LABELS), tf.constant(COUNTS))
    options: dict[str, Any] = {"blank": 4, "label_repetition": True}
    path, score = native.ctc_best_path(tf.constant(LOG_PROBS), FRAMES, *labels, **options)
    found = _best_path(LOG_PROBS, FRAMES, _ctc(), pure=False)
    inside = (np.arange(8) < FRAMES[:, None]) & np.isfinite(score)[:, None]
    np.testing.assert_array_equal(found[0], np.where(inside, path, -1))
    np.testing.assert_array_equal(found[2], score)
    made = _made_in_the_graph(native.fsa_best_path)(tf.constant(LOG_PROBS))
    for a, b in zip(made, found, strict=True):
        np.testing.assert_array_equal(a, b)


def test_the_best_path_is_the_best_of_all() -> None:
    costs = {(0, 1, 0): 0.5, (0, 1, 2): 0.0, (1, 1, 1): 0.25, (1, 0, 2): 0.0, (1, 2, 2): 0.0}
    start, final = {0: 0.3, 1: 0.0}, {2: 0.2, 1: 1.0}
    automaton = Automaton.of([[(*e, cost) for e, cost in costs.items()]], [start], [final])
    scores = LOG_PROBS[:4, :1, :3].copy()
    every = {
        tuple(label for _, _, label in way): sum(scores[t, 0, e[2]] for t, e in enumerate(way))
        - sum(costs[e] for e in way)
        - start[way[0][0]]
        - final[way[-1][1]]
        for way in itertools.product(costs, repeat=4)
        if all(a[1] == b[0] for a, b in itertools.pairwise(way))
        and way[0][0] in start
        and way[-1][1] in final
    }
    best = max(every, key=lambda labels: every[labels])
    for pure in (False, True):
        path, _, score = _best_path(scores, np.array([4], np.int32), automaton, pure=pure)
        assert path[0].tolist() == list(best)
        np.testing.assert_allclose(score, [every[best]], rtol=1e-6)


def _random_automaton(rng: np.random.Generator, batch: int, labels: int) -> Automaton:
    """Return one with loops, parallel edges, unreached states, and costs that are inf."""

    def cost(never: float) -> float:
        return float("inf") if rng.random() < never else float(rng.integers(0, 2))

    edges, starts, finals = [], [], []
    for _ in range(batch):
        states = range(int(rng.integers(1, 6)))
        ends = rng.integers(0, len(states), (int(rng.integers(0, 20)), 2)).tolist()
        edges.append([(a, b, int(rng.integers(labels)), cost(0.1)) for a, b in ends])
        starts.append({**{s: cost(0.5) for s in states}, 0: 0.0})
        finals.append({s: cost(0.5) for s in states})
    return Automaton.of(edges, starts, finals)


@pytest.mark.parametrize("seed", range(20))
def test_both_forms_find_the_same_best_path_bit_for_bit(seed: int) -> None:
    """Where paths are equally good, and where scores are none, too."""
    rng = np.random.default_rng(seed)
    time, batch, labels = 6, 3, 4
    automaton = _random_automaton(rng, batch, labels)
    values = np.array([0.1, 0.2, 0.4, np.nan, np.inf, -np.inf], np.float32)
    never = 0.02 * (seed % 3)
    shares = [0.3, 0.3, 0.4 - 3 * never, *[never] * 3]
    scores = rng.choice(values, (time, batch, labels), p=shares)
    frames = rng.integers(0, time + 1, batch, dtype=np.int32)
    found = _best_path(scores, frames, automaton, pure=False)
    other = _best_path(scores, frames, automaton, pure=True)
    wanted = reference.fsa_best_path(scores, frames, automaton)
    for ours, theirs, slow in zip(found, other, wanted, strict=True):
        assert (ours.dtype, ours.shape) == (theirs.dtype, theirs.shape)
        np.testing.assert_array_equal(ours, theirs)
        np.testing.assert_array_equal(ours, slow.astype(ours.dtype))


def test_no_frames_have_a_path_of_none() -> None:
    scores, frames = LOG_PROBS[:0], np.zeros(3, np.int32)
    found, other = (_best_path(scores, frames, _ctc(), pure=pure) for pure in (False, True))
    for a, b in zip(found, other, strict=True):
        assert (a.dtype, a.shape) == (b.dtype, b.shape)
        np.testing.assert_array_equal(a, b)
    assert found[0].shape == (3, 0)
    assert_equal(lambda x: native.fsa_full_sum(x, frames, _ctc()), [scores])


def test_xla_compiles_tensorflows_forms() -> None:
    automaton, frames = _ctc(), tf.constant(FRAMES)
    assert_equal(lambda x: native.fsa_full_sum(x, frames, automaton), [LOG_PROBS], compiled=True)
    with native.tensorflow_only():
        compiled = tf.function(native.fsa_best_path, autograph=False, jit_compile=True)
        found = compiled(tf.constant(LOG_PROBS), frames, automaton)
    for a, b in zip(found, _best_path(LOG_PROBS, FRAMES, automaton, pure=False), strict=True):
        np.testing.assert_array_equal(a, b)


COSTS: dict[str, Any] = {"speech": (0.3, 0.7), "pause": (0.2, 1.1)}
MAKERS = {  # and how many frames a sequence without labels has
    "ctc": (native.ctc_automaton(blank=4), 3),
    "rna": (native.rna_automaton(blank=0), 3),
    "phones": (native.hmm_automaton(states=1, silence=None, **COSTS), 0),
    "phones of three states": (native.hmm_automaton(states=3, silence=None, **COSTS), 0),
    "phones and silence": (native.hmm_automaton(states=1, silence=0, **COSTS), 3),
    "silence of two states": (native.hmm_automaton(states=2, silence=4, **COSTS), 3),
}


@pytest.mark.parametrize("name", MAKERS)
def test_automata_of_labels_are_made_in_the_graph_too(name: str, tmp_path: Path) -> None:
    """So they can be exported; a sequence without phones is one of silence, or of no frame."""
    make, empty = MAKERS[name]
    labels = [np.array([[1, 2, 2], [3, 9, 9], [9, 9, 9]], np.int32), np.array([3, 1, 0], np.int32)]
    frames = np.array([10, 4, empty], np.int32)
    scores = np.random.default_rng(3).standard_normal((10, 3, 15), np.float32)

    def loss(x: Any) -> Any:
        return native.fsa_full_sum(x, frames, make, list(map(tf.constant, labels)))

    def best(x: Any, *labels: Any) -> Any:
        return native.fsa_best_path(x, tf.constant(frames), make, labels)

    [value, *_] = assert_equal(loss, [scores])
    assert np.isfinite(value).all()

    def exported(*tensors: Any) -> Any:
        with native.tensorflow_only():
            return best(*tensors)

    module = tf.Module()
    specs = [
        tf.TensorSpec([None, None, 15]),
        *[tf.TensorSpec([None] * n, tf.int32) for n in (2, 1)],
    ]
    module.best = tf.function(exported, input_signature=specs, autograph=False)
    tf.saved_model.save(module, str(tmp_path))
    loaded = tf.saved_model.load(str(tmp_path))
    for x in (scores, np.round(scores)):  # also of equally good paths
        arrays = [tf.constant(x), *map(tf.constant, labels)]
        for a, b in zip(loaded.best(*arrays), best(*arrays), strict=True):
            assert (a.dtype, a.shape) == (b.dtype, b.shape)
            np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize("name", ["fsa_full_sum", "fsa_best_path"])
def test_what_is_made_of_arrays_cannot_be_exported(name: str) -> None:
    text = f"{name}: found an automaton that is made when the graph runs, needed one that is there"
    with native.tensorflow_only(), pytest.raises(ValueError, match=text):
        _made_in_the_graph(getattr(native, name))(tf.constant(LOG_PROBS))


def test_what_is_made_of_arrays_needs_no_compiler(monkeypatch: pytest.MonkeyPatch) -> None:
    """Then the kernels' references compute it."""
    functions = [_made_in_the_graph(f) for f in (native.fsa_full_sum, native.fsa_best_path)]
    wanted = [f(tf.constant(LOG_PROBS)) for f in functions]
    monkeypatch.setattr(host, "library", lambda source: None)
    np.testing.assert_allclose(functions[0](tf.constant(LOG_PROBS)), wanted[0], rtol=1e-5)
    for a, b in zip(functions[1](tf.constant(LOG_PROBS)), wanted[1], strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-6)


def test_tied_states_are_not_made_in_the_graph() -> None:
    tied = Hmm(1, tying=np.arange(5)[:, None])
    with pytest.raises(ValueError, match="found an Hmm with tying, needed one without it where a"):
        hmm_tf.hmm_graph(tf.constant(LABELS), tf.constant(COUNTS), tied)


@pytest.mark.parametrize("silence", [None, 0])
def test_costs_may_be_whole_numbers(silence: int | None) -> None:
    make = native.hmm_automaton(states=1, silence=silence, speech=(1, 2), pause=(0, 1))
    labels = [tf.constant(LABELS), tf.constant(COUNTS)]
    assert_equal(lambda x: native.fsa_full_sum(x, FRAMES, make, labels), [LOG_PROBS])


@pytest.mark.parametrize("word", [-1, 2])
def test_a_word_out_of_the_vocabulary_is_named(word: int) -> None:
    """One below 0 is none from the end."""
    costs: dict[str, Any] = {"speech": (0, 0), "pause": (0, 0)}
    words: dict[str, Any] = {"lexicon": {"a": [([1], 0.0)]}, "vocab": ["a", "a"]}
    make = native.hmm_automaton(states=1, silence=None, **costs, **words)
    counts = np.array([1], np.int32)
    make(np.array([[0, word]], np.int32), counts)  # on padding there may be anything
    text = rf"lexicon_automaton \(words\[0, 1\]\): found {word}, needed 0 to 1 \(the vocab"
    with pytest.raises(ArgumentError, match=text):
        make(np.array([[0, word]], np.int32), counts + 1)


@pytest.mark.parametrize(
    ("given", "lacking"), [({"lexicon": {}}, "vocab"), ({"vocab": ["a"]}, "lexicon")]
)
def test_a_lexicon_and_a_vocabulary_belong_together(given: Any, lacking: str) -> None:
    text = rf"hmm_automaton: found a \w+ without a {lacking}, needed both.*; try {lacking}="
    with pytest.raises(ValueError, match=text):
        native.hmm_automaton(states=1, silence=None, speech=(0, 0), pause=(0, 0), **given)


def test_wrong_lengths_are_named() -> None:
    text = r"fsa_best_path \(lengths\[0\]\): found 9, needed 0 to 8"
    with pytest.raises(ArgumentError, match=text):
        _best_path(LOG_PROBS, FRAMES + 1, _ctc(), pure=False)
