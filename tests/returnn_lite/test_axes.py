"""What axis words mean."""

from __future__ import annotations

from typing import Any

import pytest

from returnn_lite.axes import resolve
from returnn_lite.data import Data
from returnn_lite.dim import BATCH, Dim
from returnn_lite.errors import NetworkError
from returnn_lite.network import Network

T, U = Dim("spatial", "t"), Dim("spatial", "u")
W, F = Dim("spatial", "w", 7), Dim("feature", "f", 4)
X = Data(name="x", dims=(BATCH, W, U, T, F), feature_dim=F, time_dim=T)


@pytest.mark.parametrize(
    ("word", "dims"),
    [
        ("B", [BATCH]),
        ("batch", [BATCH]),
        ("T", [T]),
        ("time", [T]),
        ("f", [F]),
        ("feature", [F]),
        ("spatial", [W, U, T]),
        ("s:1", [U]),
        ("spatial:-1", [T]),
        ("dynamic", [U, T]),
        ("d:0", [U]),
        ("static", [W, F]),
        ("static:0", [W]),
        ("static:-1", [F]),
        ("except_batch", [W, U, T, F]),
        ("except_time", [W, U, F]),
        ("except_feature", [BATCH, W, U, T]),
        ("all", [BATCH, W, U, T, F]),
        ("*", [BATCH, W, U, T, F]),
        ("dyn:-1", [T]),
        ("spatial_except_time", [W, U]),
        ("except_batch:1", [U]),
        ("dim:7", [W]),
        ("dim:4", [F]),
        ("stag:w", [W]),
        ("stag:W", [W]),
        ("stag-single:0:t", [T]),
        ("tag:f", [F]),
        ("bt", [BATCH, T]),
        ("BTF", [BATCH, T, F]),
        ("T?", [T]),
        ("stag:x?", []),
        ("T+1", [F]),
        ("B+2", [U]),
        ("stag:x|dim:7", [W]),
        ("stag:x|dim:5?", []),
        ("dim:5?", []),
        (0, [BATCH]),
        (-1, [F]),
        (["T", "static"], [T, W, F]),
        (("T", T, 3), [T]),
        (U, [U]),
        ("dim:7", [W]),
        ("stag:u", [U]),
        ("stag:t", [T]),
        ("T?", [T]),
        ("static:2?", []),
        ("stag:f?", []),
        (None, []),
        ("", []),
    ],
)
def test_words(word: Any, dims: list[Dim]) -> None:
    assert resolve(word, X, "x") == dims


def test_a_name_may_end_as_a_place_behind_a_word_does() -> None:
    longer = Dim("spatial", "time+1")
    x = Data(name="x", dims=(BATCH, longer, W, F), feature_dim=F, time_dim=longer)
    for word in ("stag:time+1", "tag:time+1", "stag-single:0:time+1"):
        assert resolve(word, x, "x") == [longer]
    assert resolve("spatial:0+1", x, "x") == [W]


def test_positions_count_the_batch_first() -> None:
    x = Data(name="x", dims=(T, BATCH, F), feature_dim=F, time_dim=T)
    assert resolve([0, 1, -1], x, "x") == [BATCH, T, F]


def test_a_name_or_size_means_one_dim() -> None:
    x = Data(name="x", dims=(BATCH, W, Dim("spatial", "w2", 7)))
    for word in ("stag:w", "dim:7"):
        with pytest.raises(
            NetworkError, match=rf"x: found \[7, 7\] for axis '{word}' in .*, needed"
        ):
            resolve(word, x, "x")


@pytest.mark.parametrize(
    "word",
    [
        "stag:f",
        "stag:",
        "dim:x",
        "stag-single:1:w",
        "bx",
        "tim",
        "static:2",
        "static:x",
        5,
        -6,
        True,
        Dim("spatial", "z"),
    ],
)
def test_words_without_meaning(word: Any) -> None:
    with pytest.raises(NetworkError, match=r"^layer: found no axis .*; try one of all, batch, dyn"):
        resolve(word, X, "layer")


def test_a_word_for_what_the_data_lack() -> None:
    count = Data(name="n", dims=(BATCH,), dtype="int32")
    with pytest.raises(NetworkError, match=r"found no axis 'T' in \[B\], int32; try one of all, b"):
        resolve("T", count, "layer")


def test_dims_have_returnns_names_of_what_layers_make() -> None:
    net: dict[str, Any] = {
        "n": {"class": "length", "from": "data"},
        "half": {"class": "eval", "eval": "source(0) // 2", "from": "n"},
        "part0": {"class": "slice_nd", "start": 1, "size": "half", "from": "data"},
        "pool1": {"class": "pool", "mode": "max", "pool_size": (2,), "from": "data"},
        "again": {"class": "repeat", "repetitions": "n", "from": "data"},
        "heads": {"class": "split_dims", "axis": "F", "dims": (2, -1), "from": "data"},
        "one": {"class": "expand_dims", "axis": "spatial", "from": "data"},
        "later": {"class": "shift_axis", "axis": "T", "amount": 1, "from": "data"},
        "table": {"class": "variable", "shape": (3, 4), "add_batch_axis": False},
    }
    words = ["sliced-time:part", "pool1:conv:s0", "repeated:again", "heads_split_dims0"]
    words += ["one_expand_dims", "later_shift_axis", "table:static:0"]
    for name, word in zip(list(net)[2:], words, strict=True):
        layer = {"class": "reduce", "mode": "max", "axis": f"stag:{word}", "from": name}
        network = Network({**net, "output": layer}, extern_data={"data": {"dim": 4}})
        left = network.template("output").dims
        assert len(left) == len(network.template(name).dims) - 1
        assert (network.template(name).time_dim in left) == (name in ("heads", "one"))
