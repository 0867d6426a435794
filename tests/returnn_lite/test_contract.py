"""Tests of products over named dims: every order of dims, against numpy's sum over letters."""

from __future__ import annotations

from itertools import permutations
from typing import Any

import numpy as np
import pytest

from returnn_lite import Network
from returnn_lite.contract import contract
from returnn_lite.data import Data
from returnn_lite.dim import Dim

SIZES = {"h": 2, "q": 3, "k": 4, "d": 5, "e": 6}
DIMS = {name: Dim("spatial", name, size) for name, size in SIZES.items()}


def data(names: str, seed: int) -> Data:
    values = np.random.default_rng(seed).standard_normal([SIZES[n] for n in names], np.float32)
    return Data(name=names, dims=tuple(DIMS[n] for n in names), tensor=values)


def product(a: str, b: str, over: str, out: str) -> tuple[Any, Any]:
    """Return what `contract` gives, and numpy's."""
    left, right = data(a, 1), data(b, 2)
    template = Data(name="out", dims=tuple(DIMS[n] for n in out))
    site: Any = None  # asked only about padding
    found = contract(site, left, right, names={}, over=[DIMS[n] for n in over], out=template)
    assert found.dims == template.dims
    return found.tensor.numpy(), np.einsum(f"{a},{b}->{out}", left.tensor, right.tensor)


@pytest.mark.parametrize("a", ["hqd", "qhd", "hdq", "dqh"])
@pytest.mark.parametrize("b", ["hkd", "khd", "hdk"])
def test_matrix_products(a: str, b: str) -> None:
    for out in permutations("hqk"):
        np.testing.assert_allclose(*product(a, b, "d", "".join(out)), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize(
    ("a", "b", "over", "out"),
    [
        ("qd", "dk", "d", "kq"),  # no other dims
        ("hd", "hkd", "d", "kh"),  # no dim of a alone
        ("hqd", "hdke", "d", "qkhe"),  # two dims of b alone
        ("qde", "kde", "de", "qk"),  # a sum over two
        ("hq", "hk", "", "hqk"),  # no sum
    ],
)
def test_other_products(a: str, b: str, over: str, out: str) -> None:
    np.testing.assert_allclose(*product(a, b, over, out), rtol=1e-5, atol=1e-5)


def test_padding_does_not_count_beside_numbers_that_all_sequences_share() -> None:
    net = {
        "place": {"class": "range_in_axis", "axis": "T", "from": "data"},
        "weight": {"class": "cast", "dtype": "float32", "from": "place"},
        "more": {"class": "eval", "eval": "source(0) + 1.0", "from": "data"},  # padding, too
        "output": {"class": "dot", "reduce": "T", "from": ["weight", "more"]},
    }
    x = np.random.default_rng(0).standard_normal((2, 5, 3), np.float32)
    batch = {"data": (x, np.array([5, 2], np.int32))}
    found = Network(net, extern_data={"data": {"dim": 3}}).run(batch, ["output"])["output"]
    wanted = [np.arange(n) @ (x[b, :n] + 1.0) for b, n in enumerate((5, 2))]
    np.testing.assert_allclose(found.canonical(), wanted, rtol=1e-5, atol=1e-5)
