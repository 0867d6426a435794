"""Extra networks: what is one layer and what two, and what search they have."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from returnn_lite.errors import NetworkError
from returnn_lite.network import Network

Net = dict[str, Any]
STREAMS: Net = {"data": {"dim": 3}}
AFFINE: Net = {"class": "linear", "activation": None, "n_out": 4, "from": "data"}
BATCH = {"data": (np.random.default_rng(0).standard_normal([2, 5, 3], np.float32), [5, 3])}


def test_parameters_are_shared_and_layers_are_not() -> None:
    net = {
        "a": AFFINE,
        "extra.x:a": {**AFFINE, "from": "twice"},
        "twice": {"class": "eval", "from": "data", "eval": "source(0) * 2.0"},
        "output": {"class": "copy", "from": ["a", "extra.x:a", "extra.y:a"]},
    }
    network = Network(net, extern_data=STREAMS)
    assert list(network.param_shapes()) == ["a/W", "a/b"] and network.unused() == []
    network.set_params({"a/b": np.zeros(4)})
    values = network.run(BATCH)["output"].values
    np.testing.assert_allclose(values[..., 4:8], 2 * values[..., :4], rtol=1e-6)
    np.testing.assert_array_equal(values[..., 8:], values[..., :4])


@pytest.mark.parametrize("search", [False, True])
@pytest.mark.parametrize("prefix", ["extra", "extra.b", "extra.search", "extra.search2"])
def test_the_name_says_whether_it_searches(prefix: str, search: bool) -> None:
    unit = {
        "p": {"class": "softmax", "from": "data:source", "target": "classes"},
        "output": {"class": "choice", "from": "p", "target": "classes", "beam_size": 2},
    }
    loop = {"class": "rec", "unit": unit, "from": "data"}
    net = {"output": loop, f"{prefix}:found": {**loop, "is_output_layer": True}}
    streams = {**STREAMS, "classes": {"dim": 4, "sparse": True}}
    classes = (np.zeros([2, 5], np.int32), [5, 3])
    out = Network(net, extern_data=streams, search=search).run({**BATCH, "classes": classes})
    assert out["output"].beam_size == (2 if search else None)
    assert out[f"{prefix}:found"].beam_size == (2 if "search" in prefix else None)


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("extra.a:keys", "output (copy): no layer 'extra.a:keys'; did you mean 'extra.a:key'?"),
        ("extra.a:k/a", "output (copy): no layer 'extra.a:k/a'"),
        ("extra.a:data", "output (copy): no layer 'extra.a:data'"),
    ],
)
def test_a_wrong_name(name: str, text: str) -> None:
    net = {"output": {"class": "copy", "from": name}, "k": AFFINE, "extra.a:key": AFFINE}
    with pytest.raises(NetworkError) as caught:
        Network(net, extern_data=STREAMS)
    assert str(caught.value).startswith(text)
