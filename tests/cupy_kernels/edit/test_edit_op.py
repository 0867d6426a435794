"""Edit distances: what a caller sees, then the reference, other libraries, and bad arguments."""

from __future__ import annotations

from types import ModuleType
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cupy_kernels import edit
from cupy_kernels.check import ArgumentError
from cupy_kernels.edit import reference

FAR = 10**8  # between neighbouring labels: too far for a slot of its own for each


def _numpy(x: Any) -> Any:
    return x.get() if hasattr(x, "get") else x


def _batch(sequences: list[list[int]]) -> tuple[Any, Any]:
    """Labels, padded with a label that would match, and lengths."""
    width = max(map(len, sequences), default=0)
    rows = [x + [1] * (width - len(x)) for x in sequences]
    lengths = np.array(list(map(len, sequences)), np.int32)
    return np.array(rows, np.int32).reshape(len(sequences), width), lengths


def _random(rng: Any, lengths: list[int], labels: int, apart: int = 1) -> tuple[Any, Any]:
    return _batch([(rng.integers(-3, labels - 3, n) * apart).tolist() for n in lengths])


def _ragged(labels: int, apart: int, lengths_a: list[int], lengths_b: list[int]) -> Any:
    rng = np.random.default_rng(labels)
    return *_random(rng, lengths_a, labels, apart), *_random(rng, lengths_b, labels, apart)


LENGTHS = [0, 63, 64, 65, 1, 128, 129, 31, 0, 7, 200]
CASES = {
    "ragged": lambda: _ragged(9, 1, LENGTHS, LENGTHS[::-1]),
    "far apart": lambda: _ragged(9, FAR, LENGTHS, LENGTHS[3:] + LENGTHS[:3]),
    "two labels": lambda: _ragged(2, 1, LENGTHS, LENGTHS),
    "vocabulary 5000": lambda: _ragged(5000, 1, [90, 80, 3], [70, 100, 4]),
    "vocabulary 10 million": lambda: _ragged(10**7, 1, [90, 80, 3], [70, 100, 4]),
    "one label": lambda: _ragged(1, 1, [5, 0, 70, 66], [3, 4, 70, 130]),
    "nothing": lambda: _ragged(3, 1, [0, 0], [0, 0]),
    "empty hypotheses": lambda: _ragged(3, 1, [0, 0], [5, 0]),
    "empty batch": lambda: _ragged(3, 1, [], []),
}


@pytest.fixture(params=CASES)
def pairs(request: pytest.FixtureRequest) -> Any:
    return CASES[request.param]()


def _lists(pairs: Any) -> list[tuple[list[int], list[int]]]:
    a, a_lengths, b, b_lengths = pairs
    rows = zip(a, a_lengths, b, b_lengths, strict=True)
    return [(x[:n].tolist(), y[:m].tolist()) for x, n, y, m in rows]


def _text(words: list[str]) -> tuple[Any, Any]:
    return _batch([list(map(ord, word)) for word in words])


def test_kitten_is_three_edits_from_sitting() -> None:
    a, b = _text(["kitten", "", "flaw"]), _text(["sitting", "abc", "flaw"])
    assert edit.edit_distance(*a, *b).tolist() == [3, 3, 0]
    assert [x.tolist() for x in edit.alignment_counts(*a, *b)] == [[2, 0, 0], [1, 3, 0], [0, 0, 0]]


def test_rows_of_a_growing_hypothesis() -> None:
    (b, b_lengths), labels = _text(["abc", "a"]), np.array([ord("b")] * 2, np.int32)
    row = edit.first_edit_distance_row(b_lengths, 3)
    assert row.tolist() == [[0, 1, 2, 3], [0, 1, 1, 1]]
    ended = np.array([False, True])
    row = edit.next_edit_distance_row(row, labels, ended, b, b_lengths)
    assert row.tolist() == [[1, 1, 1, 2], [0, 1, 1, 1]]
    best = edit.optimal_completion_of_row(row, b, b_lengths, _text(["abcd"])[0][0])
    assert best.tolist() == [[1, 1, 1, 2], [0, 1, 1, 1]]  # as of "babc", "bbc", "bc"


def test_equals_the_reference(xp: ModuleType, pairs: Any) -> None:
    arrays = [xp.asarray(x) for x in pairs]
    found = edit.edit_distance(*arrays), *edit.alignment_counts(*arrays)
    found = np.stack([_numpy(x) for x in found])
    row = _numpy(edit.edit_distance_row(*arrays))
    best = _numpy(edit.optimal_completion(*arrays, 6))
    assert (found.dtype, row.dtype, best.dtype) == (np.int32,) * 3
    assert best.shape == (len(pairs[0]), 6)
    for n, (a, b) in enumerate(_lists(pairs)):
        last = reference.table(a, b)[-1]
        assert found[:, n].tolist() == [last[-1], *reference.alignment_counts(a, b)]
        assert row[n].tolist() == last + [last[-1]] * (row.shape[1] - len(last))
        assert best[n].tolist() == reference.optimal_completion(last, b, range(6))


def test_rows_step_by_step_equal_those_of_the_whole(xp: ModuleType, pairs: Any) -> None:
    a, a_lengths, b, b_lengths = [xp.asarray(x) for x in pairs]
    row = edit.first_edit_distance_row(b_lengths, b.shape[1])
    for j in range(a.shape[1]):
        before = row.copy()
        label = xp.ascontiguousarray(a[:, j])
        new = edit.next_edit_distance_row(row, label, j >= a_lengths, b, b_lengths)
        np.testing.assert_array_equal(_numpy(row), _numpy(before))
        row = new
    whole = edit.edit_distance_row(a, a_lengths, b, b_lengths)
    np.testing.assert_array_equal(_numpy(row), _numpy(whole))


def test_successors_are_any_labels_in_any_order(xp: ModuleType, pairs: Any) -> None:
    arrays = [xp.asarray(x) for x in pairs]
    successors = np.array([3, 10**9, -2, 3, FAR, -3 * FAR, 0, -(2**31)], np.int32)
    best = _numpy(edit.optimal_completion(*arrays, xp.asarray(successors)))
    for n, (a, b) in enumerate(_lists(pairs)):
        last = reference.table(a, b)[-1]
        assert best[n].tolist() == reference.optimal_completion(last, b, successors.tolist())
    none = edit.optimal_completion(*arrays, xp.zeros(0, np.int32))
    assert none.shape == (len(pairs[0]), 0)


def test_rapidfuzz_agrees(pairs: Any) -> None:
    levenshtein = pytest.importorskip("rapidfuzz.distance").Levenshtein
    counts = np.stack(edit.alignment_counts(*pairs))
    for n, (a, b) in enumerate(_lists(pairs)):
        assert edit.edit_distance(*pairs)[n] == levenshtein.distance(a, b)
        tags = [step.tag for step in levenshtein.editops(b, a)]
        assert counts[:, n].tolist() == [tags.count(x) for x in ("replace", "delete", "insert")]


def test_tensorflow_agrees(pairs: Any) -> None:
    tf = pytest.importorskip("tensorflow", reason="TensorFlow is not installed")
    if not len(pairs[0]):
        pytest.skip("TensorFlow takes no empty batch")
    sides = [tf.ragged.constant(side, tf.int32) for side in zip(*_lists(pairs), strict=True)]
    theirs = tf.edit_distance(*[x.to_sparse() for x in sides], normalize=False)
    ours = edit.edit_distance(*pairs)
    np.testing.assert_array_equal(ours[: len(theirs)], theirs)


def test_long_pairs_equal_rapidfuzz() -> None:
    levenshtein = pytest.importorskip("rapidfuzz.distance").Levenshtein
    rng = np.random.default_rng(5)
    b = rng.integers(0, 30, 1500)
    a = np.delete(np.where(rng.random(1500) < 0.1, 7, b), rng.integers(0, 1500, 90))
    pair = *_batch([a.tolist()]), *_batch([b.tolist()])
    tags = [step.tag for step in levenshtein.editops(b.tolist(), a.tolist())]
    counts = [x.tolist() for x in edit.alignment_counts(*pair)]
    assert counts == [[tags.count(x)] for x in ("replace", "delete", "insert")]
    assert edit.edit_distance(*pair).tolist() == [len(tags)]


def test_labels_of_one_pair_leave_nothing_behind() -> None:
    """The second pair looks at nearly every slot that the first, far apart, may have taken."""
    a = _batch([list(range(4001)), list(range(3999, -1, -1))])
    b = _batch([list(range(0, 60 * 10**7, 10**7)), list(range(60))])
    rows = edit.edit_distance_row(*a, *b, threads=1)
    for row, pair in zip(rows, _lists((*a, *b)), strict=True):
        assert row.tolist() == reference.table(*pair)[-1]


@settings(max_examples=60, deadline=None)
@given(seed=st.integers(0, 2**32 - 1), labels=st.sampled_from([1, 2, 9, 400]), far=st.booleans())
def test_distances_are_a_metric(seed: int, labels: int, far: bool) -> None:
    rng = np.random.default_rng(seed)
    batch, most = int(rng.integers(1, 20)), int(rng.integers(1, 140))
    lengths = [rng.integers(0, most, batch).tolist() for _ in range(3)]
    a, b, c = (_random(rng, n, labels, FAR // 100 if far else 1) for n in lengths)
    ab, bc, ac = (edit.edit_distance(*x, *y, threads=1) for x, y in ((a, b), (b, c), (a, c)))
    np.testing.assert_array_equal(ab, edit.edit_distance(*b, *a, threads=1))
    assert not edit.edit_distance(*a, *a, threads=1).any()
    assert (ac <= ab + bc).all()
    assert (ab >= abs(a[1] - b[1])).all()
    assert (ab <= np.maximum(a[1], b[1])).all()
    counts = np.stack(edit.alignment_counts(*a, *b, threads=1))
    np.testing.assert_array_equal(counts.sum(axis=0), ab)
    np.testing.assert_array_equal(counts[1] - counts[2], b[1] - a[1])
    first = next(iter(_lists((*a, *b))))
    assert ab[0] == reference.distance(*first)
    assert tuple(counts[:, 0]) == reference.alignment_counts(*first)


@pytest.mark.parametrize("threads", [1, 2, 5])
def test_runs_are_equal_bit_for_bit(pairs: Any, threads: int) -> None:
    for function in (edit.edit_distance, edit.edit_distance_row, edit.alignment_counts):
        first, second = (
            np.stack(function(*pairs, threads=n)) if len(pairs[0]) else None for n in (1, threads)
        )
        np.testing.assert_array_equal(first, second)


@pytest.mark.parametrize(
    ("position", "change", "message"),
    [
        (0, lambda x: x.astype(np.int64), r"\(a\): found int64, needed int32; try a.astype"),
        (0, lambda x: x[0], r"\(a\): found shape \(4,\), needed \[batch=any, max_a=any\]"),
        (0, lambda x: x[:, ::-1], r"\(a\): found a non-contiguous view, needed a contiguous"),
        (0, lambda x: x.tolist(), r"\(a\): found a list, needed a numpy or cupy array"),
        (1, lambda x: x + 1, r"\(a_lengths\[0\]\): found 5, needed 0 to 4 \(the second axis of a"),
        (2, lambda x: x[:1], r"\(b\): found shape \(1, 4\), needed \[batch=2, max_b=any\]"),
        (3, lambda x: x - 5, r"\(b_lengths\[0\]\): found -1, needed 0 to 4"),
        (3, lambda x: x[:1], r"\(b_lengths\): found shape \(1,\), needed \[batch=2\]"),
    ],
)
def test_wrong_pairs_are_named(position: int, change: Any, message: str) -> None:
    arguments: list[Any] = [*_batch([[1, 2, 3, 4]] * 2), *_batch([[1, 2, 3, 4]] * 2)]
    arguments[position] = change(arguments[position])
    for function in (edit.edit_distance, edit.edit_distance_row, edit.alignment_counts):
        with pytest.raises(ArgumentError, match=f"{function.__name__} {message}"):
            function(*arguments)


def test_wrong_rows_and_successors_are_named() -> None:
    b, lengths = _batch([[1, 2, 3, 4]] * 2)
    row = edit.first_edit_distance_row(lengths, 4)
    label, ended = np.zeros(2, np.int32), np.zeros(2, np.bool_)
    with pytest.raises(ArgumentError, match=r"\(b_lengths\[0\]\): found 4, needed 0 to 3 \(the ar"):
        edit.first_edit_distance_row(lengths, 3)
    with pytest.raises(ArgumentError, match=r"\(row\): found shape \(2, 4\), needed \[batch=2, ma"):
        edit.next_edit_distance_row(row[:, 1:].copy(), label, ended, b, lengths)
    with pytest.raises(ArgumentError, match=r"\(ended\): found int32, needed bool; try ended.as"):
        edit.next_edit_distance_row(row, label, label, b, lengths)
    with pytest.raises(ArgumentError, match=r"\(label\): found shape \(1,\), needed \[batch=2\]"):
        edit.next_edit_distance_row(row, label[:1], ended, b, lengths)
    with pytest.raises(ArgumentError, match=r"\(successors\): found -1, needed a number of labels"):
        edit.optimal_completion_of_row(row, b, lengths, -1)
    with pytest.raises(ArgumentError, match=r"\(successors\): found int64, needed int32"):
        edit.optimal_completion_of_row(row, b, lengths, np.arange(3))
    with pytest.raises(ValueError, match="threads: found 0, needed at least 1; try threads=1"):
        edit.edit_distance(b, lengths, b, lengths, threads=0)
