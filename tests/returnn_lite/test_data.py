"""Data with named dims: broadcasting and joining by dims, whatever the order of the axes."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from returnn_lite.beam import Beam
from returnn_lite.data import Data, common, fitted, join_features
from returnn_lite.dim import BATCH, Dim
from returnn_lite.errors import NetworkError

TIME, OTHER, HEADS = Dim("spatial", "t"), Dim("spatial", "u"), Dim("spatial", "heads", 3)
SIZES = {BATCH: 2, TIME: 4, OTHER: 5, HEADS: 3}


def make(dims: list[Dim], feature: Dim | None, seed: int) -> Data:
    """Return data of random values."""
    import tensorflow as tf

    shape = [SIZES.get(d, d.size or 0) for d in dims]
    values = np.random.default_rng(seed).standard_normal(shape).astype(np.float32)
    time = next((d for d in dims if d.dynamic), None)
    tensor = tf.constant(values)
    return Data(name="x", dims=tuple(dims), feature_dim=feature, time_dim=time, tensor=tensor)


@st.composite
def several(draw: st.DrawFn, *, features: bool) -> list[Data]:
    """Return data with some of the dims each, in any order, and features of 4 (or 1)."""
    found = []
    for i in range(draw(st.integers(2, 3))):
        dims = draw(st.lists(st.sampled_from([BATCH, TIME, OTHER, HEADS]), unique=True))
        feature = None
        if features or draw(st.booleans()):
            size = draw(st.sampled_from([2, 4])) if features else draw(st.sampled_from([1, 4]))
            feature = Dim("feature", f"f{i}", size)
            dims.insert(draw(st.integers(0, len(dims))), feature)
        found.append(make(dims, feature, i))
    return found


def named(x: Data, letters: dict[Any, str]) -> str:
    return "".join(letters["F" if d is x.feature_dim else d] for d in x.dims)


LETTERS = {BATCH: "b", TIME: "t", OTHER: "u", HEADS: "h", "F": "f"}


@settings(max_examples=60, deadline=None)
@given(datas=several(features=False))
def test_the_product_of_common_data_is_an_einsum(datas: list[Data]) -> None:
    aligned = common(datas)
    assert len({x.dims for x in aligned}) == 1
    out = aligned[0]
    product = np.ones([1] * len(out.dims))
    for x in aligned:
        product = product * x.tensor.numpy()
    full = max((x.feature_dim.size or 0 for x in datas if x.feature_dim), default=0)
    parts = []
    for x in datas:
        values = x.tensor.numpy()
        if x.feature_dim is not None and x.feature_dim.size != full:
            values = np.repeat(values, full, axis=x.axis(x.feature_dim))
        parts.append(values)
    formula = ",".join(named(x, LETTERS) for x in datas) + "->" + named(out, LETTERS)
    np.testing.assert_allclose(product, np.einsum(formula, *parts), rtol=1e-5)
    assert [d.size or SIZES[d] for d in out.dims] == list(product.shape)
    templates = common([x.template() for x in datas])
    assert (templates[0].dims, templates[0].time_dim) == (out.dims, out.time_dim)


@settings(max_examples=60, deadline=None)
@given(datas=several(features=True))
def test_joined_features_lie_side_by_side(datas: list[Data]) -> None:
    total = Dim("feature", "all", sum(x.feature_dim.size or 0 for x in datas if x.feature_dim))
    out = join_features(datas, total)
    assert join_features([x.template() for x in datas], total).dims == out.dims
    assert out.dims[-1] is total is out.feature_dim
    letters = {**LETTERS, "F": "f"}
    order = "".join(letters[d] for d in out.dims[:-1]) + "f"
    ones = np.ones([SIZES[d] for d in out.dims[:-1]])
    needed = [
        np.einsum(f"{named(x, LETTERS)},{order[:-1]}->{order}", x.tensor.numpy(), ones)
        for x in datas
    ]
    np.testing.assert_allclose(out.tensor.numpy(), np.concatenate(needed, axis=-1), rtol=1e-6)


def test_fixed_dims_of_equal_size_are_the_same() -> None:
    heads = Dim("spatial", "other heads", 3)
    a, b = make([BATCH, HEADS], None, 0), make([heads, TIME], None, 1)
    out = common([a, b])
    assert set(out[0].dims) == {BATCH, HEADS, TIME}


def test_features_that_do_not_fit() -> None:
    a = make([BATCH, (f := Dim("feature", "f", 2))], f, 0)
    b = make([BATCH, (g := Dim("feature", "g", 3))], g, 1)
    with pytest.raises(NetworkError, match="found feature dims 2 and 3, needed equal ones or 1"):
        common([a, b])


def test_fitted_has_the_dims_of_the_other() -> None:
    f, g = Dim("feature", "f", 4), Dim("feature", "g", 4)
    like = make([TIME, BATCH, g], g, 0)
    x = make([f, BATCH], f, 1)
    out = fitted(x, like)
    assert out.dims == like.dims
    np.testing.assert_array_equal(out.tensor.numpy()[0], x.tensor.numpy().T)
    with pytest.raises(
        NetworkError, match=r"found \[T\|'t',B,F\|4\], needed the dims and dtype of \[F\|4,B"
    ):
        fitted(like, x)


def test_data_of_two_searches_cannot_meet() -> None:
    parts = [make([BATCH], None, i) for i in range(2)]
    beams = [Beam("a", 2), Beam("b", 2)]
    tagged = [Data(name=x.name, dims=x.dims, beam=b) for x, b in zip(parts, beams, strict=True)]
    with pytest.raises(NetworkError, match=r"found beam 'b', .* and beam 'a', .* of one search"):
        common(tagged)


def test_hypotheses_are_brought_to_the_later_beam() -> None:
    import tensorflow as tf

    first = Beam("a", 2, None, None, tf.zeros([2, 2]))
    last = Beam("b", 3, first, tf.constant([[1, 1, 0], [0, 1, 0]]), tf.zeros([2, 3]))
    plain = Data(name="x", dims=(BATCH,), dtype="int32", tensor=tf.constant([7, 8]))
    early = Data(
        name="y", dims=(BATCH,), dtype="int32", tensor=tf.constant([10, 11, 20, 21]), beam=first
    )
    late = Data(name="z", dims=(BATCH,), dtype="int32", tensor=tf.range(6), beam=last)
    found = [x.tensor.numpy().tolist() for x in common([plain, early, late])]
    assert found == [[7, 7, 7, 8, 8, 8], [11, 11, 10, 20, 21, 20], [0, 1, 2, 3, 4, 5]]


def test_a_template_prints_as_in_the_tutorial() -> None:
    f = Dim("feature", "f", 40)
    x = make([BATCH, TIME, f], f, 0)
    assert repr(x) == "[B,T|'t',F|40]"
    sparse = Data(name="y", dims=(TIME, BATCH), dtype="int32", sparse_dim=f, beam=Beam("out", 12))
    assert repr(sparse) == "['t',B], int32, dim 40, beam 'out', beam size 12"
