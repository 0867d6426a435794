"""The networks of the recipes that come with the project fit their data, models and each other."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from jobs.job import outputs_of
from recipes.recipe import Recipe
from returnn_lite.network import Network
from workflows.graph import Node, Output, resolve
from workflows.load import load_recipes, recipe_files

PROJECT = Path(__file__).parents[3]


@pytest.fixture(scope="module", params=sorted(recipe_files()))
def recipe(request: pytest.FixtureRequest) -> Recipe:
    """A recipe that comes with the project."""
    return load_recipes([request.param])[request.param]


@pytest.fixture(scope="module")
def nodes(recipe: Recipe) -> dict[str, Node]:
    """Its stages, checked."""
    return resolve(recipe)


def stream(output: Output) -> dict[str, Any]:
    """Return what is in a file of sequences, as extern_data has it."""
    node = output.node
    if node.job.NAME == "features.extract":
        return {"dim": node.params.dim}
    blank = node.job.NAME.startswith("align.")
    while node.job.NAME != "units.train":
        node = node.inputs["units" if "units" in node.inputs else "targets"].node
    return {"dim": node.params.vocab_size + blank, "sparse": True}


def streams(node: Node) -> dict[str, dict[str, Any]]:
    """Return the extern_data of a training."""
    found = {"data": stream(node.inputs["train"])}
    if node.inputs["train_targets"]:
        found[node.params.target] = stream(node.inputs["train_targets"])
    if node.params.end_label is not None:
        assert 0 <= node.params.end_label < found["data"]["dim"]
        found["delayed"] = {**found["data"], "same_dim_tags_as": {"t": "data"}}
    return found


def trained(node: Node) -> Network:
    """Return the network of a training."""
    return Network(node.params.network, extern_data=streams(node), train=True)


def of(nodes: dict[str, Node], *jobs: str) -> Iterator[Node]:
    """Yield the stages with one of some jobs."""
    found = [node for node in nodes.values() if node.job.NAME in jobs]
    assert found
    yield from found


def test_networks_fit_their_data_and_all_of_them_is_used(nodes: dict[str, Node]) -> None:
    for node in of(nodes, "train.network"):
        network = trained(node)
        assert [n.common.loss for n in network.loss_nodes] in (["ctc"], ["ce"])
        used = {n.path for n in network.nodes()}
        # The labels without blanks are for searches only.
        assert set(network.unused()) <= {"labels"}, node.name
        assert {"output"} <= used


def test_nothing_of_a_transducer_in_training_is_computed_step_by_step(
    nodes: dict[str, Node],
) -> None:
    for node in of(nodes, "train.network"):
        text = trained(node).describe()
        if "sub net:" in text:
            inside = text.partition("Layers in loop:\n")[2].partition("Output layers")[0]
            assert inside.strip() == "None", node.name


def test_searches_have_the_parameters_of_their_model(nodes: dict[str, Node]) -> None:
    for node in of(nodes, "search.beam", "search.greedy", "search.tune", "align.search"):
        model = node.inputs["model"].node
        data = streams(model)
        if node.job.NAME == "align.search":
            data["classes"] = stream(node.inputs["targets"])
        layers = getattr(node.params, "network", None) or model.params.network
        outputs = [node.params.layer]
        network = Network(layers, extern_data=data, search=True, outputs=outputs)
        shapes = network.param_shapes()
        lm = node.inputs.get("lm")
        if lm:
            prefix = "output/rec/lm/"
            own = {n.removeprefix(prefix): shapes.pop(n) for n in list(shapes) if prefix in n}
            assert own == trained(lm.node).param_shapes()
        known = trained(model).param_shapes()
        assert {name: known.get(name) for name in shapes} == shapes


def test_labels_of_searches_are_the_units_and_the_blank(nodes: dict[str, Node]) -> None:
    for node in of(nodes, "search.beam", "search.greedy", "search.tune", "align.search"):
        model = node.inputs["model"].node
        layers = getattr(node.params, "network", None) or model.params.network
        data = {
            **streams(model),
            "classes": {"dim": nodes["units"].params.vocab_size, "sparse": True},
        }
        network = Network(layers, extern_data=data, search=True, outputs=[node.params.layer])
        out = network.template(node.params.layer)
        assert out.time_dim is not None and out.classes is not None
        assert out.classes.size == nodes["units"].params.vocab_size + 1


def test_a_training_that_begins_with_a_model_takes_all_but_its_output(
    nodes: dict[str, Node],
) -> None:
    for node in of(nodes, "train.network"):
        if not node.inputs["init"]:
            continue
        first = trained(node.inputs["init"].node).param_shapes()
        found = trained(node).param_shapes()
        other = {name for name in first if found.get(name) != first[name]}
        assert other == {"output/W", "output/b"}


def test_what_is_tested_on_is_in_no_training(nodes: dict[str, Node]) -> None:
    def read(node: Node) -> set[tuple[str, str]]:
        outputs = {(o.node.job.NAME, o.name) for o in node.sources}
        return outputs.union(*(read(o.node) for o in node.sources))

    for node in of(nodes, "train.network", "units.train", "features.statistics", "search.tune"):
        names = {name for job, name in read(node) if job.startswith("corpus.")}
        assert "train" in names and "test" not in names
    for node in of(nodes, "units.train", "features.statistics"):
        assert "dev" not in {name for _, name in read(node)}


def test_every_score_is_of_its_set(recipe: Recipe, nodes: dict[str, Node]) -> None:
    for score in recipe.scores:
        node = nodes[score.stage]
        assert "score" in outputs_of(node.job)
        corpus, search = (node.inputs[key].node for key in ("corpus", "hypotheses"))
        assert search.inputs["corpus"].node is corpus
        features = search.inputs["features"].node
        assert features.inputs["corpus"].node is corpus
        assert corpus.inputs["corpus"].name == score.set


def test_networks_are_checked_without_tensorflow_in_a_moment() -> None:
    code = f"""
import sys, time
sys.path.insert(0, {str(Path(__file__).parent)!r})
from test_shipped_networks import Network, load_recipes, resolve, streams
start = time.process_time()
for node in resolve(load_recipes(["tiny"])["tiny"]).values():
    if node.job.NAME == "train.network":
        for modes in ({{"train": True}}, {{"search": True}}):
            Network(node.params.network, extern_data=streams(node), **modes).describe()
print(time.process_time() - start, "tensorflow" in sys.modules)
"""
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=PROJECT, capture_output=True, text=True, check=True
    )
    seconds, tensorflow = done.stdout.split()
    assert float(seconds) < 3 and tensorflow == "False"
