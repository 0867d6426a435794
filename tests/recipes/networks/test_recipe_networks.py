"""The functions that build networks: what their arguments change, and that they are plain data."""

from __future__ import annotations

import ast
import json
import sys
from pathlib import Path
from typing import Any

import pytest

import recipes
from recipes.networks.ctc import ctc
from recipes.networks.encoder import blstm
from recipes.networks.full_sum import full_sum
from recipes.networks.lm import lstm_lm, step_lm
from recipes.networks.transducer import forced_alignment, shallow_fusion, transducer
from returnn_lite.network import Network

FILES = sorted(Path(recipes.__file__ or "").parent.rglob("*.py"))
FEATURES, LABELS = 9, 5


def encoder(**others: Any) -> dict[str, Any]:
    given = {"units": (4, 4), "stride": 3, "filters": 6, "pooling": (2,), "dropout": 0.1}
    return blstm(**{**given, **others})


def decoder(**others: Any) -> dict[str, Any]:
    given = {"labels": LABELS, "embed": 3, "slow": 4, "fast": 5, "readout": 6, "dropout": 0.1}
    return transducer(encoder(), **{**given, "beam_size": 2, **others})


SIZES = {"labels": LABELS, "embed": 3, "slow": 4, "readout": 6, "dropout": 0.1}
LM = {"labels": LABELS, "embed": 3, "units": 4, "layers": 2}
NETS = {
    "ctc": ctc(encoder(), dropout=0.1),
    "transducer": decoder(),
    "fused": decoder(fusion=shallow_fusion(step_lm(**LM))),
    "forced": forced_alignment(decoder(), labels=LABELS),
    "full_sum": full_sum(encoder(), **SIZES),
    "lm": lstm_lm(**LM, dropout=0.1),
}


@pytest.mark.parametrize("path", FILES, ids=lambda p: p.stem)
def test_recipes_import_the_standard_library_and_recipes_only(path: Path) -> None:
    names: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.Import):
            names |= {alias.name.partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.module and not node.level
            names.add(node.module.partition(".")[0])
    assert names <= {"recipes", *sys.stdlib_module_names}


@pytest.mark.parametrize("name", NETS)
def test_a_network_is_json_and_the_same_every_time(name: str) -> None:
    text = json.dumps(NETS[name])
    assert json.loads(text) == NETS[name]


def test_building_one_network_from_another_leaves_that_as_it_is() -> None:
    net, below = decoder(), encoder()
    before = json.dumps([net, below])
    forced_alignment(net, labels=LABELS)
    ctc(below, dropout=0.5)
    assert json.dumps([net, below]) == before


@pytest.mark.parametrize(
    ("units", "pooling", "pools"),
    [((4,), (), 0), ((2, 4), (2,), 1), ((3, 5, 4), (2, 1, 2), 2)],
)
def test_the_encoder_has_its_layers_in_both_directions(
    units: tuple[int, ...], pooling: tuple[int, ...], pools: int
) -> None:
    net = encoder(units=units, pooling=pooling)
    network = Network(net, extern_data={"data": {"dim": FEATURES}}, outputs=["encoder"])
    out = network.template("encoder")
    assert out.feature_dim is not None and out.feature_dim.size == 2 * 4
    classes = [n.layer.layer_class for n in network.nodes()]
    assert classes.count("rec") == 2 * len(units) and classes.count("pool") == pools
    assert network.param_shapes()["conv/W"][-2:] == (FEATURES, 6)
    shapes = network.param_shapes()
    rows = [shapes[f"lstm{i}_bw/rec/W_re"] for i in range(len(units))]
    assert rows == [(n, 4 * n) for n in units]
    directions = {name[-2:]: opts["direction"] for name, opts in net.items() if "lstm" in name}
    assert directions == {"fw": 1, "bw": -1}


def test_the_transducer_has_one_output_for_each_label_and_one_for_the_blank() -> None:
    streams = {"data": {"dim": FEATURES}, "alignment": {"dim": LABELS + 1, "sparse": True}}
    network = Network(NETS["transducer"], extern_data=streams)
    shapes = network.param_shapes()
    assert shapes["output/rec/label_log_prob/W"] == (3, LABELS)  # maxout halves the readout
    assert shapes["output/rec/emit_prob0/W"] == (5, 1)
    assert shapes["output/rec/slow/input_embed/W"] == (LABELS, 3)
    assert shapes["output/rec/slow/lstm0/rec/W_re"] == (4, 16)
    # The FastRNN reads the SlowRNN and the encoder, never a label or blank itself.
    assert shapes["output/rec/fast/rec/W"] == (4 + 8, 20)


def test_the_language_model_of_a_step_has_the_parameters_of_the_trained_one() -> None:
    labels = {"dim": LABELS, "sparse": True}
    delayed = {**labels, "same_dim_tags_as": {"t": "data"}}
    trained = Network(NETS["lm"], extern_data={"data": labels, "delayed": delayed})
    step = Network(step_lm(**LM), extern_data={"data": labels})
    assert step.param_shapes() == trained.param_shapes()
    assert set(step.param_shapes()) == {
        "input/W",
        "output/W",
        "output/b",
        *(f"lstm{i}/rec/{p}" for i in range(2) for p in ("W", "W_re", "b")),
    }


def test_fusion_adds_only_the_language_model() -> None:
    streams = {"data": {"dim": FEATURES}}
    plain, fused = (
        Network(NETS[n], extern_data=streams, search=True, outputs=["labels"]).param_shapes()
        for n in ("transducer", "fused")
    )
    assert {n: s for n, s in fused.items() if not n.startswith("output/rec/lm/")} == plain
    assert len(fused) > len(plain)
