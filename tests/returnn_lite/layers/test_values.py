"""Constants, casts, choices between layers, and what prints."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from eager import run
from shapes import batch, fails, network, rows, same, sequences

from returnn_lite.dim import BATCH


def test_constants() -> None:
    layer: dict[str, Any] = {"class": "constant", "value": 2}
    out = run(network(layer), batch())["output"].values
    assert (out.shape, out.dtype, out) == ((), np.int32, 2)
    layer |= {"shape": [2, 3], "with_batch_dim": True, "dtype": "float32"}
    np.testing.assert_array_equal(
        run(network(layer), batch())["output"].values, np.full([3, 2, 3], 2.0)
    )
    assert (
        run(network({"class": "constant", "value": True}), batch())["output"].values.dtype == bool
    )
    label = {"class": "constant", "value": 2, "with_batch_dim": True, "sparse_dim": 4}
    embedded = {"class": "linear", "n_out": 2, "activation": None, "from": "label"}
    net = network(embedded, label=label)
    assert net.param_shapes()["output/W"] == (4, 2)
    same(list(run(net, batch())["output"].values), [net.get_params()["output/W"][2]] * 3)
    fails({**label, "value": 2.0}, "found sparse_dim for float32, needed whole numbers")


def test_constants_over_dims_of_the_data() -> None:
    data = network({"class": "copy", "from": "data"}).template("data")
    time = data.time_dim
    assert time is not None
    layer: dict[str, Any] = {"class": "constant", "value": 2.0, "with_batch_dim": True}
    for shape, needed in (([BATCH], "[B]"), ([BATCH, time], "[B,T|"), ([time, 3], "[B,T|")):
        found = network({**layer, "shape": shape}).template("output")
        assert repr(found).startswith(needed)
        assert found.feature_dim is (None if 3 not in shape else found.dims[-1])
    product = {"class": "combine", "kind": "mul", "from": ["two", "data"]}
    same(rows(product, two={**layer, "shape": [BATCH]}), [2 * x for x in sequences()])


def test_cast() -> None:
    found = rows({"class": "cast", "dtype": "int32", "from": "data"})
    same(found, [x.astype(np.int32) for x in sequences()])
    assert (
        network({"class": "cast", "dtype": "float32", "from": "data:classes"})
        .template("output")
        .sparse_dim
        is None
    )


def test_switch_chooses_by_entry() -> None:
    mask = {"class": "compare", "kind": "greater", "value": 1, "from": "count"}
    double = {"class": "eval", "eval": "source(0) * 2", "from": "data"}
    layer = {"class": "switch", "condition": "mask", "true_from": "double", "false_from": 0.5}
    layer["out_type"] = {"dim": 4, "shape": (None, 4)}
    needed = [2 * x if len(x) > 1 else np.full_like(x, 0.5) for x in sequences()]
    same(rows(layer, mask=mask, double=double), needed)
    layer |= {"false_from": "data", "condition": False}
    same(rows(layer, mask=mask, double=double), sequences())


def test_the_train_flag_is_that_of_the_run() -> None:
    net = network({"class": "train_flag"})
    assert [bool(run(net, batch(), train=t)["output"].values) for t in (True, False)] == [
        True,
        False,
    ]


def test_print_gives_its_input_and_prints_it(capfd: pytest.CaptureFixture[str]) -> None:
    layer = {"class": "print", "from": "count", "extra_print_args": ["frames"], "summarize": 1}
    assert run(network(layer), batch())["output"].values.tolist() == [4, 1, 3]
    assert capfd.readouterr().err.strip() == "output [4 ... 3] frames"


@pytest.mark.parametrize(
    ("layer", "text"),
    [
        ({"class": "constant", "value": 1, "dtype": "flat32"}, r"unknown dtype 'flat32'; did you"),
        ({"class": "constant", "from": "data"}, r"found sources in 'from', needed none"),
        ({"class": "cast", "dtype": "int", "from": "data"}, r"unknown dtype 'int'; did you mean"),
        (
            {"class": "switch", "condition": "data", "true_from": "data", "false_from": 0.0},
            r"found condition .*, needed bool, and both choices",
        ),
        (
            {"class": "switch", "condition": False, "true_from": "data", "false_from": None},
            r"found None for condition False, needed a choice",
        ),
    ],
)
def test_mistakes(layer: dict[str, Any], text: str) -> None:
    fails(layer, text)
