"""Models of n-grams: sums of probabilities, and back-off against dicts of n-grams."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import hypothesis.strategies as st
import numpy as np
import pytest
from hypothesis import given, settings

from returnn_lite import arpa, ngram

Table = dict[tuple[str, ...], tuple[float, float]]
WORDS = ["<unk>", "</s>", "a", "b", "c"]


def normalised(order: int, seed: int) -> Table:
    """Return log10 of probabilities that sum to one behind every context, and back-off weights."""
    rng = np.random.default_rng(seed)
    table: Table = {("<s>",): (-99.0, 0.0)}
    for word, p in zip(WORDS, rng.dirichlet(np.ones(len(WORDS))), strict=True):
        table[(word,)] = math.log10(p), 0.0
    contexts = [x for x in table if x != ("</s>",)]
    for _ in range(1, order):
        made = []
        for context in contexts:
            if rng.random() < 0.3:
                continue
            seen = [w for w in WORDS if rng.random() < 0.5] or ["a"]
            mass = float(rng.uniform(0.2, 0.8)) if len(seen) < len(WORDS) else 1.0
            rest = sum(10 ** log10(table, context[1:], w) for w in WORDS if w not in seen)
            weight = math.log10((1 - mass) / rest) if mass < 1 else 0.0
            table[context] = table[context][0], weight
            for w, p in zip(seen, mass * rng.dirichlet(np.ones(len(seen))), strict=True):
                table[(*context, w)] = math.log10(p), 0.0
                made += [(*context, w)] if w != "</s>" else []
        contexts = made
    return table


def log10(table: Table, context: tuple[str, ...], word: str) -> float:
    """Return log10 of the probability of a word behind others, from the definition."""
    if (*context, word) in table:
        return table[(*context, word)][0]
    return table.get(context, (0.0, 0.0))[1] + log10(table, context[1:], word)


def text_of(table: Table, order: int) -> str:
    """Return an ARPA file."""
    parts = [[x for x in table if len(x) == n] for n in range(1, order + 1)]
    lines = ["\\data\\", *(f"ngram {n}={len(x)}" for n, x in enumerate(parts, 1))]
    for n, grams in enumerate(parts, 1):
        lines += ["", f"\\{n}-grams:"]
        for gram in grams:
            p, weight = table[gram]
            lines.append(f"{p:.9g}\t{' '.join(gram)}" + (f"\t{weight:.9g}" if n < order else ""))
    return "\n".join([*lines, "", "\\end\\", ""])


def test_a_word_follows_the_longest_context_that_is_known(tmp_path: Path) -> None:
    table: Table = {("<unk>",): (-2.0, 0.0), ("<s>",): (-99.0, -0.1), ("</s>",): (-0.5, 0.0)}
    table |= {("a",): (-0.6, -0.2), ("a", "a"): (-0.3, -0.4), ("a", "a", "a"): (-0.1, 0.0)}
    path = tmp_path / "lm"
    path.write_text(text_of(table, 3))
    model = arpa.read(path)
    needed = (-0.1 - 0.6) - 0.3 - 0.1 + (-0.4 - 0.2 - 0.5)
    score = model.score_words(["a", "a", "a", "</s>"])
    assert score == pytest.approx(needed * math.log(10), rel=1e-6)


@settings(max_examples=40, deadline=None)
@given(
    order=st.integers(1, 4),
    seed=st.integers(0, 1000),
    words=st.lists(st.sampled_from([*WORDS, "new"])),
)
def test_probabilities_sum_to_one_and_are_those_of_the_definition(
    order: int, seed: int, words: list[str], tmp_path_factory: Any
) -> None:
    table = normalised(order, seed)
    path = tmp_path_factory.mktemp("lm") / "lm"
    path.write_text(text_of(table, order))
    model, context = arpa.read(path), ("<s>",)
    state = model.begin()
    for word in [*words, None]:
        scores = [model.score(state, w)[0] for w in WORDS]
        assert sum(map(math.exp, scores)) == pytest.approx(1, abs=1e-5)
        seen = context[1 - order :] if order > 1 else ()
        needed = [log10(table, seen, w) * math.log(10) for w in WORDS]
        np.testing.assert_allclose(scores, needed, atol=1e-5)
        if word is not None:
            _, state = model.score(state, word)
            context = (*context, word if word in WORDS else "<unk>")[-4:]


def test_numbers_of_n_grams() -> None:
    level = ngram.Level.of(np.array([7, 3]), np.float32([-1, -2]), np.float32([0, 1]))
    assert level.find(np.array([3, 4, 7, 9])).tolist() == [0, ngram.NONE, 1, ngram.NONE]
    assert level.log_prob[:2].tolist() == [-2, -1]
