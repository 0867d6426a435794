"""The plan of a run: the nodes of all recipes asked for, each once, and their score table."""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from jobs.job import JobError, load_job
from jobs.typed_json import from_json
from recipes.recipe import Recipe
from workflows.graph import Input, Node, Output, make_node, resolve
from workflows.load import load_recipes, recipe_path

TABLE = "results/wer.txt"
REPORT = "results/report"


def report_page(recipe: str) -> str:
    """Return the path of a recipe's page, below the folder of the report."""
    return f"recipes/{recipe}.html"


@dataclass(frozen=True, kw_only=True)
class Plan:
    """recipes: by name. stages: recipe -> stage -> node. nodes: folder in the store -> node.

    Nodes are those of stages, and of the shards of those that are split. table: the stage that
    makes the table of scores. files: of the recipes, by name.
    """

    files: Mapping[str, Path]
    recipes: Mapping[str, Recipe]
    stages: Mapping[str, Mapping[str, Node]]
    nodes: Mapping[str, Node]
    table: Node

    @property
    def jobs(self) -> list[str]:
        """The names of the jobs that the plan needs, sorted."""
        return sorted({node.job.NAME for node in self.nodes.values()})


def make_plan(names: Sequence[str], data: str | None = None) -> Plan:
    """Load and resolve recipes, by name or path; data: what `{data}` in them stands for.

    Raises JobError, which tells all that is wrong with any stage of any recipe.
    """
    if not names:
        raise JobError("recipes: found none, needed at least one; try recipes=commands")
    recipes = load_recipes(names)
    stages: dict[str, dict[str, Node]] = {}
    errors: list[str] = []
    for recipe in recipes.values():
        try:
            stages[recipe.name] = resolve(recipe, data)
        except JobError as error:
            errors.append(str(error))
    if errors:
        raise JobError("\n".join(errors))
    table = _table(recipes, stages)
    nodes: dict[str, Node] = {}
    for node in [n for of_recipe in stages.values() for n in of_recipe.values()] + [table]:
        if node.folder not in nodes:
            nodes |= {shard.folder: shard for shard in node.shards} | {node.folder: node}
    return Plan(
        files={recipe.name: recipe_path(asked) for asked, recipe in recipes.items()},
        recipes={recipe.name: recipe for recipe in recipes.values()},
        stages=stages,
        nodes=nodes,
        table=table,
    )


def _table(recipes: Mapping[str, Recipe], stages: Mapping[str, Mapping[str, Node]]) -> Node:
    """Return the stage that makes the score table; recipes: name or path as asked for -> recipe."""
    job = load_job("score.table")
    rows, scores, comparisons = [], [], []
    for asked, recipe in recipes.items():
        for score in recipe.scores:
            command = f"make wer RECIPES={shlex.quote(asked)}"
            artifacts = f"results/{recipe.name}/{score.stage}"
            row = {"recipe": recipe.name, "system": score.system, "set": score.set}
            rows.append({**row, "reproduce": f"{command}  # {artifacts}"})
            scores.append(Output(node=stages[recipe.name][score.stage], name="score"))
        if recipe.comparison:
            node = stages[recipe.name][recipe.comparison]
            comparisons.append(Output(node=node, name="table"))
    params = from_json(job.Params, {"rows": rows}, "score table")
    inputs: dict[str, Input] = {"scores": tuple(scores)}
    if comparisons:
        inputs["comparisons"] = tuple(comparisons)
    return make_node("score table", job, params, inputs)
