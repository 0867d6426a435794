"""Automata of words that are made in the graph are those of the kernels, state by state."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorflow as tf
from both_forms import assert_equal

from cupy_kernels.check import ArgumentError
from cupy_kernels.fsa import Hmm, Transitions, fsa_best_path, fsa_full_sum, lexicon_automaton
from returnn_lite import native
from returnn_lite.native import fsa_tf, lexicon_tf

VOCAB = ["a", "b", "c", "d", "silent", "negative", "dear", "absent"]
LEXICON = {
    "a": [([1, 2], 0.4), ([2], 1.1), ([3, 1, 1], 0.1)],
    "b": [([1], 0.0)],
    "c": [([3, 2], 0.25), ([3], float("inf")), ([2], 0.5)],
    "d": [([1, 2, 3, 1], -0.3)],
    "silent": [([1], 0.0), ([], 0.0)],
    "negative": [([2, -1], 0.0)],
    "dear": [([2], 1e6)],
    "not of the vocabulary": [([0] * 20, 0.0)] * 7,
}
HMMS: list[dict[str, Any]] = [
    {"states": 1, "silence": None},
    {"states": 2, "silence": None},
    {"states": 1, "silence": 0},
    {"states": 3, "silence": 4},
]
TIME, BATCH, LABELS = 12, 4, 15


def _make(rng: np.random.Generator, hmm: dict[str, Any], *, even: bool) -> Any:
    """Return what makes automata; even: of costs that make many paths equally good."""
    speech, pause = rng.integers(0, 3, (2, 2)) * 0.5 if even else rng.random((2, 2))
    return native.hmm_automaton(**hmm, speech=speech, pause=pause, lexicon=LEXICON, vocab=VOCAB)


def _batch(rng: np.random.Generator, *, even: bool) -> list[Any]:
    """Return scores, frames, words with anything on padding, and their counts."""
    scores = rng.standard_normal((TIME, BATCH, LABELS), np.float32)
    frames, counts = (rng.integers(0, n + 1, BATCH, dtype=np.int32) for n in (TIME, 3))
    words = rng.integers(0, 4, (BATCH, 3), dtype=np.int32)
    words[np.arange(3) >= counts[:, None]] = rng.choice([-3, 6, 99])
    return [np.round(scores) if even else scores, frames, words, counts]


def _pure(make: Any) -> Any:
    """Return sum and best path in TensorFlow's own operations, as a function of a batch."""

    def function(scores: Any, frames: Any, *labels: Any) -> Any:
        with native.tensorflow_only():
            loss = native.fsa_full_sum(scores, frames, make, labels)
            return loss, *native.fsa_best_path(scores, frames, make, labels)

    return function


def _assert_same(found: Any, batch: list[Any], make: Any) -> None:
    scores, frames, *labels = map(tf.constant, batch)
    needed = native.fsa_full_sum(scores, frames, make, labels)
    np.testing.assert_allclose(found[0], needed, rtol=1e-5, atol=1e-6)
    path = native.fsa_best_path(scores, frames, make, labels)
    for ours, theirs in zip(found[1:], path, strict=True):
        assert (ours.dtype, ours.shape) == (theirs.dtype, theirs.shape)
        np.testing.assert_array_equal(ours, theirs)


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("hmm", HMMS)
def test_sums_are_equal_and_best_paths_bit_for_bit(hmm: dict[str, Any], seed: int) -> None:
    """Where paths are equally good, and where there are none, too."""
    rng, even = np.random.default_rng(seed), seed % 2 == 0
    make, batch = _make(rng, hmm, even=even), _batch(rng, even=even)
    _assert_same(_pure(make)(*map(tf.constant, batch)), batch, make)


@pytest.mark.parametrize("hmm", HMMS)
def test_edges_are_those_of_the_kernels(hmm: dict[str, Any]) -> None:
    """All that there are, with their costs to the bit, in the order of ties."""
    rng = np.random.default_rng(5)
    costs = {"speech": Transitions(0.1, 0.7), "pause": Transitions(0.2, 1.1)}
    topology = Hmm(**hmm, **costs)
    table = lexicon_tf.Words.of(VOCAB, LEXICON, topology)
    for _ in range(5):
        *_, words, counts = _batch(rng, even=False)
        graph = lexicon_tf.words_graph(tf.constant(words), tf.constant(counts), table, topology)
        lines = [[VOCAB[k] for k in row[:n]] for row, n in zip(words, counts, strict=True)]
        automaton = lexicon_automaton(lines, LEXICON, topology)
        wanted = fsa_tf.Graph.of(automaton)
        first = graph.first_state.numpy()
        sizes = np.diff(automaton.state_offsets)
        for b, (begin, size) in enumerate(zip(first, sizes, strict=True)):
            assert _edges(graph, b) == _edges(wanted, b)
            states = slice(*automaton.state_offsets[b : b + 2])
            for name in ("start", "final"):
                row = getattr(graph, name).numpy()[begin : begin + graph.states // graph.batch]
                np.testing.assert_array_equal(row[:size], getattr(wanted, name)[states])
                assert np.isinf(row[size:]).all()


def _edges(graph: fsa_tf.Graph, sequence: int) -> dict[int, list[tuple[int, int, float]]]:
    """Return the edges into each state of a sequence that do not cost inf, in their order."""
    found: dict[int, list[tuple[int, int, float]]] = {}
    first = int(graph.first_state[sequence])
    columns = (graph.source, graph.target, graph.label, graph.cost, graph.of_edges)
    for source, target, label, cost, of in zip(*map(np.asarray, columns), strict=True):
        if of == sequence and cost < np.inf:
            edge = (int(source) - first, int(label), float(cost))
            found.setdefault(int(target) - first, []).append(edge)
    return found


def test_the_gradients_are_equal() -> None:
    rng = np.random.default_rng(1)
    make, (scores, frames, *labels) = _make(rng, HMMS[3], even=False), _batch(rng, even=False)
    frames, labels = np.full_like(frames, TIME), [tf.constant(x) for x in labels]
    for compiled in (False, True):
        assert_equal(
            lambda x: native.fsa_full_sum(x, frames, make, labels), [scores], compiled=compiled
        )


@pytest.mark.parametrize("hmm", HMMS[1:3])
def test_xla_compiles_them(hmm: dict[str, Any]) -> None:
    rng = np.random.default_rng(2)
    make = _make(rng, hmm, even=True)
    compiled = tf.function(_pure(make), autograph=False, jit_compile=True)
    for _ in range(3):
        batch = _batch(rng, even=True)
        _assert_same(compiled(*map(tf.constant, batch)), batch, make)


def test_they_are_exported(tmp_path: Path) -> None:
    """Also of no words, and of an empty batch."""
    rng = np.random.default_rng(3)
    make, module = _make(rng, HMMS[3], even=True), tf.Module()
    sizes = [[None, None, LABELS], [None], [None, None], [None]]
    dtypes = [tf.float32, tf.int32, tf.int32, tf.int32]
    specs = [tf.TensorSpec(*of) for of in zip(sizes, dtypes, strict=True)]
    module.compute = tf.function(_pure(make), input_signature=specs, autograph=False)
    tf.saved_model.save(module, str(tmp_path))
    compute = tf.saved_model.load(str(tmp_path)).compute
    full = _batch(rng, even=True)
    no_words = [full[0], full[1], full[2][:, :0], np.zeros_like(full[3])]
    for batch in (full, no_words, [full[0][:, :0], *(x[:0] for x in full[1:])]):
        _assert_same(compute(*map(tf.constant, batch)), batch, make)


def test_tied_states() -> None:
    hmm = Hmm(2, silence=0, tying=np.array([[7, 7], [4, 5], [6, 5], [1, 2]]))
    vocab, scores = VOCAB[:4], np.random.default_rng(4).standard_normal((9, 1, 8), np.float32)
    table, frames = lexicon_tf.Words.of(vocab, LEXICON, hmm), np.array([9], np.int32)
    graph = lexicon_tf.words_graph(tf.constant([[0, 2]]), tf.constant([2]), table, hmm)
    automaton = lexicon_automaton([["a", "c"]], LEXICON, hmm)
    found = fsa_tf.fsa_full_sum(tf.constant(scores), frames, graph)
    np.testing.assert_allclose(found, fsa_full_sum(scores, frames, automaton)[0], rtol=1e-5)
    path = fsa_tf.fsa_best_path(tf.constant(scores), frames, graph)
    for ours, theirs in zip(path, fsa_best_path(scores, frames, automaton), strict=True):
        np.testing.assert_array_equal(ours, theirs)
    with pytest.raises(ArgumentError, match=r"Hmm \(tying\): found phone -1, needed 0 to 3"):
        lexicon_tf.Words.of(VOCAB, LEXICON, hmm)


NONE = [4, 5, 6, 7, len(VOCAB), -1]


def _with(word: int, counts: list[int]) -> list[Any]:
    """Return a batch of long sequences, in which a word is the second of the second one."""
    scores, *_ = _batch(np.random.default_rng(6), even=False)
    words = np.arange(BATCH * 3, dtype=np.int32).reshape(BATCH, 3) % 4
    words[1, 1] = word
    return [scores, np.full(BATCH, TIME, np.int32), words, np.array(counts, np.int32)]


@pytest.mark.parametrize("word", NONE)
def test_a_word_without_pronunciations_fails_where_it_occurs(word: int) -> None:
    """As in a kernel's automaton, and not on padding."""
    make = _make(np.random.default_rng(6), HMMS[2], even=False)
    function = _pure(make)
    assert np.isfinite(function(*map(tf.constant, _with(word, [3, 1, 3, 0])))[0]).all()
    batch = _with(word, [3, 2, 3, 0])
    text = (
        "words: found one without pronunciations, needed words 0 to 7 of the vocabulary that the "
        rf"lexicon has, with one phone or more; try to add it to both\W+b.it is\W+?{word}\b"
    )
    with pytest.raises(tf.errors.InvalidArgumentError, match=text):
        function(*map(tf.constant, batch))
    with pytest.raises(ArgumentError):
        make(*batch[2:])


def test_under_xla_its_sequence_has_no_path() -> None:
    """There no operation can fail."""
    make = _make(np.random.default_rng(6), HMMS[2], even=False)
    function = tf.function(_pure(make), autograph=False, jit_compile=True)
    for word in NONE:
        found = function(*map(tf.constant, _with(word, [3, 2, 3, 0])))
        loss, alignment, _, score = (x.numpy() for x in found)
        assert np.isinf(loss).tolist() == [False, True, False, False]
        assert np.isinf(score).tolist() == [False, True, False, False]
        assert (alignment == -1).all(axis=1).tolist() == [False, True, False, False]
