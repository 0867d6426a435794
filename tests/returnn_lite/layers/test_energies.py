"""Energies made by one operation are those of the layers that it takes the place of."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import eager
import numpy as np
import pytest
from eager import dense, random_parameters, sparse
from models import FEATURES, LINEAR, Net, attention_net

from returnn_lite import native
from returnn_lite.native import energies
from returnn_lite.network import Network
from returnn_lite.output import Outputs

STREAMS = {"data": {"dim": FEATURES}, "classes": {"dim": 5, "sparse": True}}
BATCH = {"data": dense([6, 1, 4], FEATURES), "classes": sparse([4, 1, 3], 5)}
ADD: Net = {"class": "combine", "kind": "add", "from": ["base:keys", "query"]}
TANH: Net = {"class": "activation", "activation": "tanh", "from": "energy_in"}
SUM, TANH_OF_SUM = "source(0) + source(1)", "tf.tanh(source(0)+source(1))"
EVAL: Net = {"class": "eval", "from": ["query", "base:keys"]}


@pytest.fixture
def made(monkeypatch: pytest.MonkeyPatch) -> list[tuple[int | None, ...]]:
    """Return the shapes of the queries that the operation is called with, by the kernel."""
    found = []
    operation = native.additive_energies

    def recorded(keys: Any, queries: Any, v: Any) -> Any:
        found.append(tuple(queries.shape))
        return operation(keys, queries, v)

    monkeypatch.setattr(energies, "WORTH", 0)
    monkeypatch.setattr(native, "additive_energies", recorded)
    return found


def decoder(*, recurrent: bool = True, **layers: Net) -> Net:
    """Return an attention model with other layers; recurrent: whether the state has its context."""
    net = attention_net(4)
    unit = net["output"]["unit"]
    unit |= layers
    if not recurrent:
        unit["s"]["from"].remove("prev:att")
    return net


def shown(net: Net) -> Net:
    """Return the network with an output before the energies, so that it has to be made."""
    unit = net["output"]["unit"]
    unit = {**unit, "energy_tanh": _output(unit["energy_tanh"])}
    return {**net, "output": {**net["output"], "unit": unit}}


def _output(layer: Net) -> Net:
    return {**layer, "is_output_layer": True}


def opened(net: Net, **mode: bool) -> Network:
    network = Network(net, extern_data=STREAMS, **mode)
    random_parameters(network, scale=1.0)
    return network


def run(net: Net, *fetch: str, traced: bool = True, **mode: bool) -> Outputs:
    network, names = opened(net, **mode), fetch or ["output"]
    if not mode.get("search"):
        return network.run(BATCH, names, gradients=True)
    batch = {"data": BATCH["data"]}
    return network.run(batch, names) if traced else eager.run(network, batch, with_losses=False)


def assert_same(found: Outputs, needed: Outputs) -> None:
    for name in found:
        a, b = found[name].canonical(), needed[name].canonical()
        np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-6)
    for name, loss in found.losses.items():
        np.testing.assert_allclose(loss.value, needed.losses[name].value, rtol=1e-5)
    assert_close(found.gradients or {}, needed.gradients or {})


def assert_close(found: Mapping[str, Any], needed: Mapping[str, Any]) -> None:
    assert found.keys() == needed.keys()
    for name, gradient in found.items():
        least = 1e-5 * np.abs(needed[name]).max() + 1e-6
        np.testing.assert_allclose(gradient, needed[name], rtol=1e-5, atol=least)


FORMS: dict[str, dict[str, Net]] = {
    "the tutorial's": {},
    "tanh in the sum": {"energy_tanh": {**ADD, "activation": "tanh"}},
    "tanh in an expression": {"energy_tanh": {**EVAL, "eval": TANH_OF_SUM}},
    "tanh of an expression": {"energy_in": {**EVAL, "eval": SUM}},
    "kind eval": {"energy_tanh": {**ADD, "kind": "eval", "eval": TANH_OF_SUM}},
    "no bias": {"energy": {**LINEAR, "from": "energy_tanh", "n_out": 1, "with_bias": False}},
    "exp": {"energy": {**LINEAR, "from": "energy_tanh", "n_out": 1, "activation": "exp"}},
}


@pytest.mark.parametrize("form", FORMS)
def test_search(form: str, made: list[Any]) -> None:
    net, traced = decoder(**FORMS[form]), form == "the tutorial's"
    found = run(net, search=True, traced=traced)
    assert {x[1:] for x in made} == {(4, 3)}  # hypotheses have an axis of their own
    made.clear()
    needed = run(shown(net), search=True, traced=traced)
    assert not made
    assert_same(found, needed)
    assert found.search is not None and needed.search is not None
    np.testing.assert_array_equal(found.search.labels, needed.search.labels)
    np.testing.assert_allclose(found.search.scores, needed.search.scores, rtol=1e-5)


@pytest.mark.parametrize("form", FORMS)
def test_training_of_all_steps_at_once(form: str, made: list[Any]) -> None:
    net = decoder(recurrent=False, **FORMS[form])
    value, found = eager.gradients(opened(net, train=True), BATCH)
    assert made == [(3, 4, 3)]  # all labels
    made.clear()
    whole, needed = eager.gradients(opened(shown(net), train=True), BATCH)
    assert not made
    assert value == pytest.approx(whole, rel=1e-5)
    assert_close(found, needed)


def test_a_traced_training_step(made: list[Any]) -> None:
    net = decoder(recurrent=False)
    found = run(net, "output/energy", train=True)
    assert made == [(None, None, 3)]
    assert_same(found, run(shown(net), "output/energy", train=True))


def test_a_single_query_for_each_sequence_is_nothing_to_gain_from(made: list[Any]) -> None:
    eager.gradients(opened(decoder(), train=True), BATCH)
    assert not made


def test_what_a_loop_makes_anyway_is_used_behind_it(made: list[Any]) -> None:
    stays = _output({**ADD, "from": ["prev:stays", "query"]})
    layers = {"stays": stays, "energy_tanh": {**TANH, "collocate_with": "stays"}}
    eager.gradients(opened(decoder(recurrent=False, **layers), train=True), BATCH)
    assert not made


def test_after_a_search(made: list[Any]) -> None:
    """Queries are then by hypotheses and by steps."""
    net = decoder(recurrent=False)
    unit = net["output"]["unit"]
    unit["readout"] = {**unit["readout"], "from": ["s", "prev:embed"]}
    unit["weights"] = _output(unit["weights"])
    found = run(net, "output", "output/weights", search=True)
    assert made == [(None, None, 3)]
    assert_same(found, run(shown(net), "output", "output/weights", search=True))


def test_outside_of_loops(made: list[Any]) -> None:
    net = {
        "keys": {**LINEAR, "from": "data", "n_out": 3},
        "query": {**LINEAR, "from": "data:classes", "n_out": 3},
        "energy_in": {**ADD, "from": ["query", "keys"]},
        "energy_tanh": TANH,
        "output": {**LINEAR, "from": "energy_tanh", "n_out": 1, "loss": "as_is"},
    }
    found = run(net)
    assert made == [(None, None, 3)]
    assert_same(found, run({**net, "energy_tanh": _output(TANH)}))


ENERGY: Net = {**LINEAR, "from": "energy_tanh", "n_out": 1}
MAX: Net = {"class": "reduce", "mode": "max", "axis": "F", "from": "energy_tanh"}
KEY: Net = {**LINEAR, "from": "base:keys", "n_out": 1}
OTHERS: dict[str, dict[str, Net]] = {
    "a product": {"energy_in": {**ADD, "kind": "mul"}},
    "three sources": {"energy_in": {**ADD, "from": ["base:keys", "query", "base:keys"]}},
    "another activation": {"energy_tanh": {**TANH, "activation": "relu"}},
    "two activations": {"energy_in": {**ADD, "activation": "tanh"}},
    "a bias of the sum": {"energy_in": {**ADD, "with_bias": True}},
    "another expression": {"energy_tanh": {**EVAL, "eval": "tanh(source(0) - source(1))"}},
    "another tanh": {"energy_tanh": {**EVAL, "eval": f"tanh({SUM})", "eval_locals": {"tanh": abs}}},
    "dropout": {"energy": {**ENERGY, "dropout": 0.1}},
    "two outputs": {
        "energies": {**ENERGY, "n_out": 2},
        "energy": {**MAX, "from": "energies"},
    },
    "one entry of keys": {"key": KEY, "energy_in": {**ADD, "from": ["key", "query"]}},
    "one entry, two outputs": {
        "key": KEY,
        "one": {**KEY, "from": "s"},
        "energy_in": {**ADD, "from": ["key", "one"]},
        "energies": {**ENERGY, "n_out": 2},
        "energy": {**MAX, "from": "energies"},
    },
    "another user": {
        "alone": ENERGY,
        "most": MAX,
        "energy": {**ADD, "from": ["alone", "most"]},
    },
    "a user in the next step": {
        "alone": ENERGY,
        "before": {**MAX, "from": "prev:energy_tanh"},
        "energy": {**ADD, "from": ["alone", "before"]},
    },
    "an output": {"energy_in": _output(ADD)},
    "no frames": {
        "one": {"class": "reduce", "mode": "mean", "axis": "T", "from": "base:keys"},
        "energy_in": {**ADD, "from": ["one", "query"]},
        "alone": ENERGY,
        "energy": {**ADD, "from": ["alone", "many"]},
        "many": {**MAX, "from": "base:keys"},
    },
    "the same frames": {
        "many": {**ADD, "from": ["base:keys", "query"]},
        "energy_in": {**ADD, "from": ["base:keys", "many"]},
    },
}


@pytest.mark.parametrize("other", OTHERS)
def test_what_is_made_layer_by_layer(other: str, made: list[Any]) -> None:
    run(decoder(**OTHERS[other]), search=True, traced=False)
    assert not made


def test_what_is_fetched_is_made(made: list[Any]) -> None:
    run(decoder(), "output", "output/energy_tanh", search=True)
    assert not made
