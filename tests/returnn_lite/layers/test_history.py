"""Frames of all steps so far: self-attention made of layers."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from eager import Array, dense, random_parameters, run
from models import FEATURES, decoder_net
from reference import check, softmax

from returnn_lite import single_step_dim
from returnn_lite.dim import Dim
from returnn_lite.errors import NetworkError
from returnn_lite.network import Network

STREAMS = {"data": {"dim": 3}}
LENGTHS = [4, 1, 3]
PAST = "stag:rec-history"
LINEAR = {"class": "linear", "activation": None, "with_bias": False, "from": "data:source"}
UNIT: dict[str, Any] = {
    "q": {**LINEAR, "n_out": 2},
    "k": {**LINEAR, "n_out": 2},
    "v": {**LINEAR, "n_out": 3},
    "keys": {"class": "cum_concat", "from": "k"},
    "values": {"class": "cum_concat", "from": "v"},
    "energy": {"class": "dot", "reduce": "F", "from": ["q", "keys"]},
    "weights": {"class": "softmax_over_spatial", "axis": PAST, "from": "energy"},
    "output": {"class": "dot", "reduce": PAST, "from": ["weights", "values"]},
}


def attention(p: Any, data: Array) -> list[Array]:
    found = []
    for x, n in zip(data, LENGTHS, strict=True):
        q, k, v = (x[:n] @ p[f"output/rec/{name}/W"] for name in "qkv")
        rows = [softmax(q[t] @ k[: t + 1].T) @ v[: t + 1] for t in range(n)]
        found.append(np.array(rows))
    return found


@pytest.mark.parametrize("moved", [True, False])
@pytest.mark.parametrize("named", [True, False])
def test_self_attention_of_layers(moved: bool, named: bool) -> None:
    history = Dim("spatial", "rec-history") if named else None
    unit = {k: dict(v) for k, v in UNIT.items()}
    for name in ("keys", "values"):
        unit[name] |= {"out_spatial_dim": history, "axis": single_step_dim if named else "T"}
    rec = {"class": "rec", "from": "data", "unit": unit, "optimize_move_layers_out": moved}
    network = Network({"output": rec}, extern_data=STREAMS)
    check(network, {"data": dense(LENGTHS, 3)}, attention)


@pytest.mark.parametrize("mode", ["mean", "max", "sum"])
@pytest.mark.parametrize("moved", [True, False])
def test_reductions_see_the_steps_so_far(mode: str, moved: bool) -> None:
    unit = {
        "frames": {"class": "cum_concat", "from": "data:source"},
        "output": {"class": "reduce", "mode": mode, "axis": PAST, "from": "frames"},
    }
    rec = {"class": "rec", "from": "data", "unit": unit, "optimize_move_layers_out": moved}
    network = Network({"output": rec}, extern_data=STREAMS)

    def formula(p: Any, data: Array) -> list[Array]:
        reduce = getattr(np, mode)
        return [
            np.array([reduce(x[: t + 1], axis=0) for t in range(n)])
            for x, n in zip(data, LENGTHS, strict=True)
        ]

    check(network, {"data": dense(LENGTHS, 3)}, formula)


@pytest.mark.parametrize("moved", [True, False])
def test_hypotheses_have_their_own_histories(moved: bool) -> None:
    """What a search finds has the score that the network gives it where it is the target."""
    net = decoder_net(labels=3, beam_size=4, max_len="4", end=2, eos=True)
    unit, rec = net["output"]["unit"], net["output"]
    unit["s"] = {"class": "linear", "activation": "tanh", "n_out": 3, "from": ["past", "base:last"]}
    unit["frames"] = {"class": "cum_concat", "from": "embed"}
    unit["past"] = {"class": "reduce", "mode": "mean", "axis": PAST, "from": "frames"}
    rec["optimize_move_layers_out"] = moved
    streams = {"data": {"dim": FEATURES}, "classes": {"dim": 3, "sparse": True}}
    forced = Network(net, extern_data=streams)
    search = Network(net, extern_data={"data": streams["data"]}, search=True, outputs=["output"])
    search.set_params(random_parameters(forced, scale=1.0))
    data, lengths = dense([3, 2], FEATURES)
    found = run(search, {"data": (data, lengths)})["output"]
    assert found.time_dim is not None and found.scores is not None
    labels, counts = found.canonical(), found.lengths[found.time_dim.name].tolist()
    ended = [i for i, n in enumerate(counts) if labels[i, n - 1] == 2]
    assert ended
    many = np.repeat(data, 4, axis=0)[ended], np.repeat(lengths, 4)[ended].tolist()
    target = labels[ended].astype(np.int32), [counts[i] for i in ended]
    losses = run(forced, {"data": many, "classes": target}).losses
    (loss,) = losses.values()
    np.testing.assert_allclose(-loss.value, found.scores.reshape(-1)[ended], rtol=1e-4)


@pytest.mark.parametrize(
    ("opts", "text"),
    [
        ({"axis": "F"}, "found axis 'F', needed the steps of the loop"),
        ({"axis": Dim("spatial", "other")}, "found axis 'other', needed the steps of the loop"),
        ({"out_spatial_dim": "x"}, "found out_spatial_dim 'x', needed a Dim"),
        ({"out_spatial_dim": Dim("spatial", "x", 3)}, "needed a dynamic dim"),
    ],
)
def test_mistakes(opts: dict[str, Any], text: str) -> None:
    unit = {"output": {"class": "cum_concat", "from": "data:source", **opts}}
    net = {"output": {"class": "rec", "from": "data", "unit": unit}}
    with pytest.raises(NetworkError, match=text):
        Network(net, extern_data=STREAMS)


def test_where_it_may_lie() -> None:
    layer = {"class": "cum_concat", "from": "data"}
    with pytest.raises(NetworkError, match="outside of the unit of a rec layer"):
        Network({"output": layer}, extern_data=STREAMS)
    masked = {"class": "masked_computation", "mask": "all", "from": "data:source", "unit": layer}
    every = {"class": "compare", "kind": "greater_equal", "value": 0, "from": "one"}
    one = {"class": "reduce", "mode": "sum", "axis": "F", "from": "data:source"}
    unit = {"one": one, "all": every, "output": masked}
    with pytest.raises(NetworkError, match="found it in a masked_computation"):
        Network({"output": {"class": "rec", "from": "data", "unit": unit}}, extern_data=STREAMS)
