"""What a search multiplies before its loop gives the same hypotheses as all of it in the loop."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from eager import dense, gradients, random_parameters, run
from models import FEATURES, LINEAR, Net, attention_net, transducer_net, transducer_streams

from returnn_lite.frame import Before
from returnn_lite.network import Network
from returnn_lite.output import Output
from returnn_lite.rec.contents import kept_after

STREAMS = {"data": {"dim": FEATURES}, "classes": {"dim": 5, "sparse": True}}
LENGTHS = [6, 1, 4]


def searched(net: Net, streams: Net, *, traced: bool) -> Output:
    network = Network(net, extern_data=streams, search=True)
    random_parameters(network, scale=1.0)
    batch = {"data": dense(LENGTHS, FEATURES)}
    out = network.run(batch) if traced else run(network, batch, with_losses=False)
    return out["output"]


def assert_same(found: Output, needed: Output) -> None:
    assert found.canonical().tolist() == needed.canonical().tolist()
    np.testing.assert_allclose(found.scores, needed.scores, rtol=1e-5)


@pytest.fixture
def made(monkeypatch: pytest.MonkeyPatch) -> set[str]:
    """Return what is made before a loop, as "layer: what"."""
    found: set[str] = set()
    once = Before.once

    def recorded(self: Before, key: Any, make: Any) -> Any:
        node, name = key
        found.add(f"{node.name}: {name if isinstance(name, str) else name[0]}")
        return once(self, key, make)

    monkeypatch.setattr(Before, "once", recorded)
    return found


@pytest.mark.parametrize("traced", [False, True])
@pytest.mark.parametrize("features", [2, 16])  # with the few it does not pay to go over the frames
def test_attention(features: int, traced: bool, made: set[str]) -> None:
    found = searched(attention_net(features), STREAMS, traced=traced)
    assert {"s: known", "s: frames", "readout: frames", "att0: base", "s: table"} <= made
    made.clear()
    needed = searched(attention_net(features, optimise=False), STREAMS, traced=traced)
    assert not any(x.split(": ")[1] in ("known", "frames", "table") for x in made)
    assert_same(found, needed)


@pytest.mark.parametrize("on_forward", [False, True])
def test_dropout_is_in_the_way_only_where_a_search_has_it(on_forward: bool, made: set[str]) -> None:
    net = attention_net(16)
    how = {"dropout": 0.5, "dropout_on_forward": on_forward}
    for name in ("s", "readout"):
        net["output"]["unit"][name] |= how
    found = searched(net, STREAMS, traced=False)
    assert ({"s: known", "readout: frames"} <= made) == (not on_forward)
    net["output"]["optimize_move_layers_out"] = False
    assert_same(found, searched(net, STREAMS, traced=False))


def test_a_mean_that_begins_as_something_else_is_no_mean_of_frames(made: set[str]) -> None:
    found = searched(attention_net(16, initial_output=1.0), STREAMS, traced=False)
    assert "readout: frames" in made and "s: frames" not in made
    needed = attention_net(16, initial_output=1.0, optimise=False)
    assert_same(found, searched(needed, STREAMS, traced=False))


@pytest.mark.parametrize("steps", [1, 2])  # the 6 products of one step do not pay for 5 labels
@pytest.mark.parametrize("embed", [{}, {"activation": "tanh", "with_bias": False}])
def test_a_table_of_all_labels(steps: int, embed: Net, made: set[str]) -> None:
    net = attention_net(16)
    unit = net["output"]["unit"]
    unit["embed"] |= embed
    unit["output"]["beam_size"] = 2
    net["output"]["max_seq_len"] = steps
    found = searched(net, STREAMS, traced=True)
    assert {"s: table", "readout: table"} <= made
    net["output"]["optimize_move_layers_out"] = False
    assert_same(found, searched(net, STREAMS, traced=True))


@pytest.mark.parametrize(
    "embed", [{"initial_output": 1.0}, {"activation": "softmax"}, {"dropout": 0.5}]
)
def test_what_is_no_row_of_a_table(embed: Net, made: set[str]) -> None:
    net = attention_net(16)
    net["output"]["unit"]["embed"] |= embed
    found = searched(net, STREAMS, traced=False)
    assert "s: table" not in made and "s: frames" in made
    net["output"]["optimize_move_layers_out"] = False
    assert_same(found, searched(net, STREAMS, traced=False))


@pytest.mark.parametrize("traced", [False, True])
def test_transducer(traced: bool, made: set[str]) -> None:
    net = transducer_net(labels=3)
    found = searched(net, transducer_streams(3), traced=traced)
    assert {"fast: known", "lstm0: table"} <= made
    net["output"]["optimize_move_layers_out"] = False
    assert_same(found, searched(net, transducer_streams(3), traced=traced))


def test_all_frames_of_what_the_loop_runs_over_are_no_steps(made: set[str]) -> None:
    net = transducer_net(labels=3)
    net["output"]["unit"] |= {
        "all": {**LINEAR, "from": ["base:encoder", "slow"], "n_out": 4},
        "best": {"class": "reduce", "mode": "max", "axis": "T", "from": "all"},
    }
    net["output"]["unit"]["fast"]["from"].append("best")
    found = searched(net, transducer_streams(3), traced=False)
    assert "all: known" in made
    net["output"]["optimize_move_layers_out"] = False
    assert_same(found, searched(net, transducer_streams(3), traced=False))


@pytest.mark.parametrize("unit", ["basiclstm", "nativelstmlowmem", "gru"])
def test_other_units(unit: str, made: set[str]) -> None:
    net = attention_net(16)
    net["output"]["unit"]["s"] |= {"unit": unit, "unit_opts": {}}
    found = searched(net, STREAMS, traced=False)
    assert ("s: frames" in made) == (unit != "gru")
    net["output"]["optimize_move_layers_out"] = False
    assert_same(found, searched(net, STREAMS, traced=False))


def test_a_search_keeps_no_scores_of_all_labels() -> None:
    network = Network(attention_net(16), extern_data=STREAMS, search=True)
    rec = network.scope.get("output")
    placement = rec.layer.placement(rec)  # type: ignore[attr-defined]
    assert rec.inner is not None and rec.inner.loop is not None
    assert [n.name for n in kept_after(rec.inner.loop, placement)] == ["output"]


def test_what_a_step_asks_for_is_computed_once_before_the_loop() -> None:
    output = {"class": "combine", "kind": "add", "from": ["prev:output", "base:mean"]}
    net: Net = {
        "features": {**LINEAR, "from": "data", "n_out": 2},
        "mean": {"class": "reduce", "mode": "mean", "axis": "T", "from": "features"},
        "output": {"class": "rec", "from": "data", "unit": {"output": output}},
        "loss": {"class": "copy", "from": "output", "loss": "as_is"},
    }
    network = Network(net, extern_data={"data": {"dim": FEATURES}}, train=True)
    random_parameters(network)
    batch = {"data": dense([3, 2], FEATURES)}
    traced = network.run(batch, ["output", "mean"], gradients=True)
    mean = traced["mean"].canonical()
    steps = np.array([1, 2, 3])[None, :, None]
    inside = np.array([[1, 1, 1], [1, 1, 0]])[:, :, None]
    np.testing.assert_allclose(traced["output"].canonical(), mean[:, None] * steps * inside, 1e-5)
    _, needed = gradients(network, batch)
    for name, gradient in needed.items():
        np.testing.assert_allclose(traced.gradients[name], gradient * 5, rtol=1e-4)
