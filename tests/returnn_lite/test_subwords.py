"""Words that come as parts: their scores are those of the words, however they are cut."""

from __future__ import annotations

import functools
from pathlib import Path
from typing import Any

import hypothesis.strategies as st
import numpy as np
import pytest
from hypothesis import given, settings
from test_ngram import Table, text_of

from returnn_lite import arpa
from returnn_lite.errors import NetworkError
from returnn_lite.ngram import Array
from returnn_lite.subwords import State, Subwords

WORDS = ["abab", "ba", "a", "bbb", "abba"]
PARTS = ["a", "b", "ab", "ba", "bb"]
LABELS = ("", *PARTS, *(f"{x}@@" for x in PARTS), *WORDS, "</s>", "ä", "@@", " ")


@pytest.fixture(scope="module", params=[1, 2, 3])
def subwords(request: pytest.FixtureRequest, tmp_path_factory: Any) -> Subwords:
    order, rng = request.param, np.random.default_rng(0)
    table: Table = {}
    for word in ["<unk>", "<s>", "</s>", "ä", *WORDS]:
        table[(word,)] = -float(rng.uniform(0.1, 3)), -float(rng.uniform(0, 1))
    for n in range(2, order + 1):
        for gram in [x for x in table if len(x) == n - 1 and x[-1] != "</s>"]:
            for word in rng.choice(["</s>", "<unk>", *WORDS], 3, replace=False):
                table[(*gram, str(word))] = -float(rng.uniform(0.1, 3)), -float(rng.uniform(0, 1))
    path = tmp_path_factory.mktemp("lm") / "lm"
    path.write_text(text_of(table, order))
    return Subwords(arpa.read(path), LABELS, "@@")


@functools.cache
def compiled(subwords: Subwords) -> Any:
    """Return a function of a state and a label that gives all there is to know behind it."""
    import tensorflow as tf

    def after(before: State, label: Any) -> Any:
        score, state = subwords.after(before, label)
        return score, state, subwords.following(state)

    return tf.function(after)


def scores(subwords: Subwords, labels: list[str]) -> tuple[list[float], Array]:
    """Return the changes of the score by labels, and then those by each that may follow."""
    import tensorflow as tf

    zero = tf.zeros([1], tf.int64)
    state = State(tf.constant(subwords.begin())[None], zero, tf.zeros([1]))
    found, following = [], subwords.following(state)
    for label in labels:
        at = tf.constant([subwords.labels.index(label)])
        score, state, following = compiled(subwords)(state, at)
        found.append(float(score[0]))
    return found, following[0].numpy()


def cut(word: str, at: list[bool]) -> list[str]:
    """Return a word as labels, cut behind letters where `at` says so, if these are labels."""
    parts = [""]
    for i, letter in enumerate(word):
        parts[-1] += letter
        if at[i % len(at)] and i + 1 < len(word):
            parts.append("")
    labels = [*(f"{x}@@" for x in parts[:-1]), parts[-1]]
    return labels if all(x in LABELS for x in labels) else [word]


@settings(max_examples=15, deadline=None)
@given(
    words=st.lists(st.sampled_from([*WORDS, "ä"]), max_size=5),
    at=st.lists(st.booleans(), min_size=1),
)
def test_the_score_of_a_sentence_does_not_depend_on_how_words_are_cut(
    subwords: Subwords, words: list[str], at: list[bool]
) -> None:
    labels = [part for word in words for part in cut(word, at)]
    found, _ = scores(subwords, [*labels, "</s>"])
    assert sum(found) == pytest.approx(subwords.model.score_words([*words, "</s>"]), abs=1e-4)


@settings(max_examples=15, deadline=None)
@given(labels=st.lists(st.sampled_from(LABELS), max_size=8))
def test_what_may_follow_has_the_scores_of_the_words_with_it(
    subwords: Subwords, labels: list[str]
) -> None:
    model = subwords.model
    text = "".join(x + " " for x in labels).replace("@@ ", "")
    found, following = scores(subwords, labels)
    total = model.score_words(text.split())
    assert sum(found) == pytest.approx(total, abs=1e-4)
    *before, last = text.split(" ")
    so_far = model.score_words([x for x in before if x])
    base = so_far + (model.score_words([*filter(None, before), last + "@@"]) - so_far) * bool(last)
    needed = [model.score_words([*filter(None, before), last + x]) - base for x in LABELS]
    np.testing.assert_allclose(following, needed, atol=1e-4)


def test_without_a_merge_symbol_each_label_is_a_word(subwords: Subwords) -> None:
    model = subwords.model
    found, _ = scores(Subwords(model, LABELS, ""), ["a", "ab@@", "ba"])
    assert sum(found) == pytest.approx(model.score_words(["a", "<unk>", "ba"]), abs=1e-4)


def test_mistakes(subwords: Subwords) -> None:
    model = subwords.model
    text = "found label 1, 'a b', with a blank, needed words or parts of one"
    with pytest.raises(NetworkError, match=text):
        Subwords(model, ("a", "a b"), "@@")
    with pytest.raises(NetworkError, match="found bpe_merge_symbol '@ ', needed one without"):
        Subwords(model, ("a",), "@ ")


def test_all_is_as_good_in_a_graph(subwords: Subwords, tmp_path: Path) -> None:
    """The tables are no part of the graph, and an export has them."""
    import tensorflow as tf

    @tf.function(input_signature=[tf.TensorSpec([None], tf.int32)])
    def module(label: Any) -> Any:
        count = tf.shape(label)[0]
        context = tf.zeros([count, 1], tf.int64) + subwords.begin()
        state = State(context, tf.zeros([count], tf.int64), tf.zeros([count]))
        score, state = subwords.after(state, label)
        return score, subwords.following(state)

    labels = tf.range(len(LABELS))
    size = module.get_concrete_function().graph.as_graph_def().ByteSize()
    assert size < 100_000
    exported = tf.Module()
    exported.run = module
    tf.saved_model.save(exported, str(tmp_path / "saved"))
    again = tf.saved_model.load(str(tmp_path / "saved")).run(labels)
    for x, y in zip(again, module(labels), strict=True):
        np.testing.assert_array_equal(x, y)
    needed = [scores(subwords, [x])[0][0] for x in LABELS]
    np.testing.assert_allclose(again[0], needed, atol=1e-5)
