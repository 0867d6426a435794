"""What the Snakefile calls: the plan, and for each kind of job what its rule needs."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from snakemake.exceptions import WorkflowError
from snakemake.io import ancient, directory

from jobs.job import JobError, Resources, folders_of, load_job, outputs_of
from workflows import console
from workflows.config import check_config
from workflows.graph import Node
from workflows.plan import TABLE, make_plan
from workflows.store import MANIFEST, SPEC, write_plan


class PlanError(WorkflowError):
    """A mistake in the configuration or a recipe, found before anything runs."""


class Workflow:
    """The plan in Snakemake's terms; data: what `{data}` stands for. Raises PlanError.

    folder: that of the Snakefile, from which a relative path of the data is meant, wherever the
    workflow runs.
    """

    def __init__(self, config: Mapping[str, Any], folder: str) -> None:
        nodes: dict[str, Node] = {}
        console.install(nodes)
        try:
            check_config(config)
            self.work = Path(config["work"])
            self.data = os.path.normpath(Path(folder, config["data"]))
            self.plan = make_plan(_names(config["recipes"]), self.data)
            write_plan(self.plan, self.work, Path(TABLE).parent)
        except JobError as error:
            raise PlanError(str(error)) from None
        nodes.update({str(self.work / folder): n for folder, n in self.plan.nodes.items()})
        self.rules = [JobRule(self, name) for name in self.plan.jobs]

    @property
    def table(self) -> list[str]:
        """The score table, its manifest, and the file that changes with the choice of recipes."""
        folder = self.work / self.plan.table.folder
        selection = Path(TABLE).parent / "recipes.json"
        return [str(folder / "wer.txt"), str(folder / MANIFEST), str(selection)]

    @property
    def manifests(self) -> list[str]:
        """What is there once each stage of each recipe is done."""
        return [str(self.work / folder / MANIFEST) for folder in self.plan.nodes]

    def show_table(self) -> None:
        """Print the score table, where it is up to date."""
        table, ours = Path(self.table[0]), Path(TABLE)
        if table.exists() and ours.exists() and table.read_bytes() == ours.read_bytes():
            console.show(ours.read_text("utf-8"))


def _names(recipes: str | list[str]) -> list[str]:
    names = recipes.split(",") if isinstance(recipes, str) else recipes
    return [name.strip() for name in names if name.strip()]


class JobRule:
    """The rule of one kind of job, with the hash as wildcard.

    Inputs are ancient and come with their manifests: what is there is done, and stays; a stage
    without a manifest is not done.
    """

    def __init__(self, workflow: Workflow, job: str) -> None:
        self.work, self.nodes = workflow.work, workflow.plan.nodes
        self.job = load_job(job)
        self.name = job.replace(".", "_")
        self.folder = f"{self.work}/{job}/{{hash}}"
        self.spec = f"{self.folder}/{SPEC}"
        # What is wrong with data is told before any training, whatever could begin first.
        self.priority = 0 if job.startswith("train.") and job != "train.check" else 1

    @property
    def outputs(self) -> list[str]:
        """Patterns of what the job makes; the manifest is written last."""
        folders = folders_of(self.job)
        paths = {name: f"{self.folder}/{path}" for name, path in outputs_of(self.job).items()}
        files = [directory(p) if name in folders else p for name, p in paths.items()]
        return [*files, f"{self.folder}/{MANIFEST}"]

    def _node(self, wildcards: Any) -> Node:
        folder = f"{self.job.NAME}/{wildcards.hash}"
        if folder not in self.nodes:
            raise PlanError(f"{folder}: found in no recipe of this run; try recipes=...")
        return self.nodes[folder]

    def _resources(self, wildcards: Any) -> Resources:
        return self.job.resources(self._node(wildcards).params)

    def inputs(self, wildcards: Any) -> list[str]:
        """Return what a stage reads."""
        sources = self._node(wildcards).sources
        paths = [s.path for s in sources] + [f"{s.node.folder}/{MANIFEST}" for s in sources]
        return [ancient(str(self.work / p)) for p in dict.fromkeys(paths)]

    def threads(self, wildcards: Any) -> int:
        return self._resources(wildcards).threads

    def mem_mb(self, wildcards: Any) -> int:
        return self._resources(wildcards).mem_mb

    def minutes(self, wildcards: Any) -> int:
        return self._resources(wildcards).minutes

    def gpu(self, wildcards: Any) -> int:
        return self._resources(wildcards).gpu
