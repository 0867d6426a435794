"""The reference against the definition in one line, and its gradient against differences."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from cupy_kernels.self_attention import reference

LENGTHS = np.array([5, 2, 0], np.int32)
HEADS, KEY, VALUE = 2, 3, 4


def _case() -> list[Any]:
    """qkv, key_shift."""
    rng = np.random.default_rng(0)
    return [rng.standard_normal(s) for s in ((3, 5, HEADS * (2 * KEY + VALUE)), (5, 5, KEY))]


@pytest.mark.parametrize("left_only", [False, True])
@pytest.mark.parametrize("shifted", [False, True])
def test_values_by_definition(shifted: bool, left_only: bool) -> None:
    qkv, shift = _case()
    given = shift if shifted else None
    out, log_sums = reference.self_attention(qkv, given, LENGTHS, HEADS, KEY, left_only)
    q, k, v = np.split(qkv.reshape(3, 5, HEADS, -1), [KEY, 2 * KEY], axis=3)
    energies = np.einsum("bihk,bijhk->bhij", q, k[:, None] + shifted * shift[:, :, None])
    places = np.arange(5)
    seen = (places < LENGTHS[:, None])[:, None, None]
    if left_only:
        seen = seen & (places <= places[:, None])
    grown = np.exp(energies / np.sqrt(KEY)) * seen
    sums = grown.sum(axis=3)
    for b, length in enumerate(LENGTHS[:2]):  # the last one has none
        wanted = np.einsum("hij,jhv->ihv", grown[b, :, :length], v[b])
        wanted /= sums[b, :, :length].T[..., None]
        np.testing.assert_allclose(out[b, :length].reshape(wanted.shape), wanted, rtol=1e-12)
        np.testing.assert_allclose(np.exp(log_sums[b, :, :length]), sums[b, :, :length])
    _check_every_query(qkv, given, out, left_only=left_only)
    behind = places >= LENGTHS[:, None]
    assert not out[behind].any() and not log_sums.transpose(0, 2, 1)[behind].any()


def _check_every_query(qkv: Any, shift: Any, out: Any, *, left_only: bool) -> None:
    """Those behind the end see all keys, as with a time that ends with these they could not."""
    every, _ = reference.self_attention(qkv, shift, LENGTHS, HEADS, KEY, left_only, True)
    for b, length in enumerate(LENGTHS):
        np.testing.assert_array_equal(every[b, :length], out[b, :length])
        if 0 < length < 5:
            # The last query behind the end, in the place of the last one within it.
            moved = qkv[b : b + 1, :length].copy()
            of_query = np.tile(np.arange(2 * KEY + VALUE) < KEY, HEADS)
            moved[0, -1, of_query] = qkv[b, 4, of_query]
            near = None if shift is None else shift[:length, :length].copy()
            if near is not None:
                near[-1] = shift[4, :length]
            wanted, _ = reference.self_attention(moved, near, LENGTHS[b : b + 1], HEADS, KEY)
            np.testing.assert_allclose(every[b, 4], wanted[0, -1], rtol=1e-12)


@pytest.mark.parametrize("left_only", [False, True])
@pytest.mark.parametrize("shifted", [False, True])
@pytest.mark.parametrize("every_query", [False, True])
def test_gradients_equal_differences(shifted: bool, left_only: bool, every_query: bool) -> None:
    values = _case() if shifted else [_case()[0], None]
    rng = np.random.default_rng(1)
    d_out = rng.standard_normal((3, 5, HEADS * VALUE))
    sizes = (LENGTHS, HEADS, KEY, left_only, every_query)
    gradients = reference.self_attention_backward(d_out, *values, *sizes)
    for i, gradient in enumerate(gradients):
        if values[i] is None:
            assert gradient is None
            continue
        direction = rng.standard_normal(values[i].shape)
        ends = []
        for step in (1e-5, -1e-5):
            moved = [x + step * direction if j == i else x for j, x in enumerate(values)]
            ends.append((reference.self_attention(*moved, *sizes)[0] * d_out).sum())
        wanted = (ends[0] - ends[1]) / 2e-5
        np.testing.assert_allclose((gradient * direction).sum(), wanted, rtol=1e-7)


@pytest.mark.parametrize("clipping", [0, 2, 9])
def test_shifts_by_distance_are_those_of_their_pairs(clipping: int) -> None:
    rng = np.random.default_rng(clipping)
    qkv, table = _case()[0], rng.standard_normal((2 * clipping + 1, KEY))
    pairs, row = np.zeros((5, 5, KEY)), np.zeros((5, 5), np.int64)
    for i in range(5):
        for j in range(5):
            row[i, j] = clipping + max(-clipping, min(clipping, j - i))
            pairs[i, j] = table[row[i, j]]
    sizes = (LENGTHS, HEADS, KEY)
    by_pair = reference.self_attention(qkv, pairs, *sizes)
    for a, b in zip(reference.self_attention(qkv, table, *sizes), by_pair, strict=True):
        np.testing.assert_array_equal(a, b)
    d_out = rng.standard_normal((3, 5, HEADS * VALUE))
    d_qkv, d_pairs = reference.self_attention_backward(d_out, qkv, pairs, *sizes)
    found = reference.self_attention_backward(d_out, qkv, table, *sizes)
    assert d_pairs is not None and found[1] is not None
    np.testing.assert_array_equal(found[0], d_qkv)
    for k, d in enumerate(found[1]):
        np.testing.assert_allclose(d, d_pairs[row == k].sum(axis=0), rtol=1e-12, atol=1e-15)
