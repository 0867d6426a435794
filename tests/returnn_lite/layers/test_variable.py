"""Parameters as layers, whose first value another layer may give."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from eager import run

from returnn_lite.errors import NetworkError
from returnn_lite.network import Network

STREAMS = {"data": {"dim": 3}}
VARIABLE = {"class": "variable", "shape": (3, 4), "init_by_layer": "first"}
RANDOM = {"class": "random", "distribution": "normal", "shape": (3, 4), "static": True}


def test_the_first_value_is_that_of_a_layer() -> None:
    twice = {"class": "eval", "eval": "2.0 * source(0)", "from": "drawn"}
    net: dict[str, Any] = {"drawn": RANDOM, "first": twice, "output": VARIABLE}
    network = Network(net, extern_data=STREAMS)
    first = network.get_params()["output/output"]
    assert first.std() > 0.5
    found = run(network, {"data": (np.zeros([1, 2, 3], np.float32), [2])}, ["first", "output"])
    np.testing.assert_array_equal(found["output"].values, first)
    np.testing.assert_array_equal(found["first"].values, first)


def test_a_network_without_streams() -> None:
    net = {"output": {"class": "variable", "shape": (2,), "init": 3.0}}
    assert Network(net, extern_data={}).run({})["output"].values.tolist() == [3.0, 3.0]


@pytest.mark.parametrize(
    ("first", "text"),
    [
        (
            {"class": "constant", "value": 1, "shape": [3, 4], "dtype": "int32"},
            r"^output \(variable\): found init_by_layer .*int32, needed float32 of \(3, 4\)",
        ),
        ({**RANDOM, "shape": (4, 3)}, r"found init_by_layer .*, needed float32 of \(3, 4\)"),
        ({"class": "copy", "from": "data"}, "found init_by_layer .*, needed float32 of"),
    ],
)
def test_first_values_that_do_not_fit(first: dict[str, Any], text: str) -> None:
    with pytest.raises(NetworkError, match=text):
        Network({"first": first, "output": VARIABLE}, extern_data=STREAMS)


def test_first_values_do_not_depend_on_data() -> None:
    net = {
        "mean": {"class": "reduce", "mode": "mean", "axis": ["B", "T"], "from": "data"},
        "output": {**VARIABLE, "shape": (3,), "init_by_layer": "mean"},
    }
    text = (
        r"^mean \(reduce\): found that the first value of output/output depends on data, needed "
        "one that does not"
    )
    with pytest.raises(NetworkError, match=text):
        run(Network(net, extern_data=STREAMS), {"data": (np.zeros([1, 2, 3], np.float32), [2])})
