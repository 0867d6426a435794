"""What a masked_computation leaves out gives the same hypotheses as all of it."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from eager import dense, random_parameters, run
from models import FEATURES, Net, transducer_net, transducer_streams

from recipes.networks.transducer import shallow_fusion
from returnn_lite.network import Network
from returnn_lite.output import Output
from returnn_lite.rec import masked_rows
from returnn_lite.rec.masked_rows import MaskedRows

LABELS = 3


@pytest.fixture
def counts(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Return the numbers of rows that something was computed for, however small it is."""
    monkeypatch.setattr(masked_rows, "WORTH", 0)
    found: list[int] = []
    of = MaskedRows.of

    def counted(self: MaskedRows, x: Any) -> Any:
        out = of(self, x)
        found.append(out.shape[0])
        return out

    monkeypatch.setattr(MaskedRows, "of", counted)
    return found


def language_model(unit: str) -> Net:
    return {
        "embed": {"class": "linear", "activation": None, "from": "data", "n_out": 3},
        "lstm": {"class": "rec", "unit": unit, "from": "embed", "n_out": 4},
        "hidden": {"class": "linear", "activation": "tanh", "from": "lstm", "n_out": 4},
        "output": {
            "class": "linear",
            "activation": "log_softmax",
            "from": "hidden",
            "n_out": LABELS,
        },
    }


def searched(net: Net, *, optimise: bool, traced: bool, emits: bool = True) -> Output:
    net["output"]["optimize_move_layers_out"] = optimise
    config = {"lm_scale": 0.5}
    network = Network(net, extern_data=transducer_streams(LABELS), search=True, config=config)
    random_parameters(network, scale=1.0)
    if not emits:
        network.set_params({"output/rec/emit_prob0/b": np.array([-100.0], np.float32)})
    batch = {"data": dense([6, 1, 4], FEATURES)}
    out = network.run(batch) if traced else run(network, batch, with_losses=False)
    return out["output"]


def net_with_fusion(unit: str) -> Net:
    fusion = shallow_fusion(language_model(unit))
    del fusion["lm"]["unit"]["load_on_init"]
    return transducer_net(labels=LABELS, beam_size=3, fusion=fusion)


@pytest.mark.parametrize("traced", [False, True])
@pytest.mark.parametrize("unit", ["nativelstm2", "basiclstm", "gru"])
def test_a_transducer_with_a_language_model(unit: str, traced: bool, counts: list[int]) -> None:
    found = searched(net_with_fusion(unit), optimise=True, traced=traced)
    if not traced:
        assert 9 in counts and len({*counts}) > 2  # first for all hypotheses
    counts.clear()
    needed = searched(net_with_fusion(unit), optimise=False, traced=traced)
    assert counts == []
    assert found.canonical().tolist() == needed.canonical().tolist()
    np.testing.assert_allclose(found.scores, needed.scores, rtol=1e-5)


@pytest.mark.parametrize("unit", ["nativelstm2", "basiclstm", "gru"])
def test_no_hypothesis_has_a_label(unit: str, counts: list[int]) -> None:
    net = net_with_fusion(unit)
    net["output"]["unit"]["output"]["beam_size"] = 1
    found = searched(net, optimise=True, traced=False, emits=False)
    assert counts[0] == 3 and 0 in counts
    needed = searched(net, optimise=False, traced=False, emits=False)
    assert found.canonical().tolist() == needed.canonical().tolist()
    np.testing.assert_allclose(found.scores, needed.scores, rtol=1e-5)


def test_small_layers_are_computed_for_all(counts: list[int], monkeypatch: Any) -> None:
    monkeypatch.setattr(masked_rows, "WORTH", 10**6)
    searched(net_with_fusion("nativelstm2"), optimise=True, traced=False)
    assert counts == []


def held_net(*, first: bool, initial: float, optimise: bool) -> Net:
    """Return a transducer whose slow part is the last label's vector, which is held.

    first: whether the mask is true in the first step. initial: what is held before it is.
    """
    embed: Net = {"class": "linear", "activation": "tanh", "from": "output", "n_out": 3}
    unit: Net = {
        "embed": {**embed, "initial_output": 0.7},
        "slow": {
            "class": "masked_computation",
            "mask": "prev:emit",
            "from": "prev:embed",
            "unit": {"class": "copy"},
            "initial_output": initial,
        },
        "fast": {
            "class": "rec",
            "unit": "nativelstm2",
            "from": ["slow", "data:source"],
            "n_out": 4,
        },
        "readout": {"class": "linear", "activation": "tanh", "from": ["fast", "slow"], "n_out": 4},
        "p": {"class": "softmax", "from": "readout", "target": "alignment"},
        "output": {"class": "choice", "from": "p", "target": "alignment", "beam_size": 3},
        "emit": {
            "class": "compare",
            "kind": "not_equal",
            "from": "output",
            "value": LABELS,
            "initial_output": first,
        },
    }
    rec: Net = {"class": "rec", "from": "data", "unit": unit}
    return {"output": {**rec, "optimize_move_layers_out": optimise}}


@pytest.mark.parametrize("traced", [False, True])
@pytest.mark.parametrize("first", [False, True])
def test_products_of_what_is_held(first: bool, traced: bool, counts: list[int]) -> None:
    out = {}
    for optimise in (True, False):
        net = held_net(first=first, initial=0.5, optimise=optimise)
        network = Network(net, extern_data=transducer_streams(LABELS), search=True)
        random_parameters(network, scale=1.0)
        network.set_params({"output/rec/p/b": np.array([-3, 0, 0, 1], np.float32)})
        batch = {"data": dense([6, 1, 4], FEATURES)}
        found = network.run(batch) if traced else run(network, batch, with_losses=False)
        out[optimise] = found["output"]
        if not traced:
            assert counts[:2] == ([9, 9] if optimise else [])  # at first all, of both layers
            assert counts[0::2] == counts[1::2]
            assert (min(counts) < 9) if optimise else (counts == [])
        counts.clear()
    assert out[True].canonical().tolist() == out[False].canonical().tolist()
    np.testing.assert_allclose(out[True].scores, out[False].scores, rtol=1e-5)
