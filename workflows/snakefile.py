"""What the Snakefile calls: the plan, and for each kind of job what its rule needs."""

from __future__ import annotations

import atexit
import contextlib
import logging
import os
import shlex
import sys
import threading
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from snakemake.exceptions import WorkflowError
from snakemake.io import ancient
from snakemake.ioflags import update

from jobs.job import JobError, Resources, load_job
from workflows import console
from workflows.batch.left import cancel_left, new_run
from workflows.batch.records import Attempt, attempts, enough_memory, enough_minutes
from workflows.batch.systems import ENGINES, RECORDS
from workflows.config import check_config
from workflows.graph import Node
from workflows.load import recipe_names
from workflows.lock import hold
from workflows.plan import REPORT, TABLE, make_plan, report_page
from workflows.plans import alive_path, lasting, planned
from workflows.reasons import Reasons
from workflows.stages import MANIFEST, SPEC
from workflows.store import write_plan

PLANNED = "RETURNN_LITE_PLANNED"

RESTARTS = 2  # on this machine, where its GPU or its disk fails
NESTED = 300  # MiB of the Snakemake that runs within each job of the official plugin for Slurm


class PlanError(WorkflowError):
    """A mistake in the configuration or a recipe, found before anything runs."""


class Workflow:
    """The plan in Snakemake's terms; data: what `{data}` stands for. Raises PlanError.

    snakemake: Snakemake's own workflow. A relative path of the data is meant from the folder of its
    Snakefile, wherever it runs.
    """

    def __init__(self, config: Mapping[str, Any], snakemake: Any) -> None:
        self._snakemake = snakemake
        shown: dict[str, console.Shown] = {}
        console.install(shown)
        _look_once_at_a_time()
        try:
            check_config(config)
            self.store = Path(config["store"]).expanduser()
            data = Path(config["data"]).expanduser()
            self.data = os.path.normpath(Path(snakemake.basedir, data))
            self._asked = recipe_names(config["recipes"])
            self.plan = make_plan(self._asked, self.data)
            write_plan(self.plan, self.store, Path(TABLE).parent)
            if PLANNED not in os.environ:
                for plan in planned(self.plan, Path(TABLE).parent):
                    hold(alive_path(self.store, plan))
                run, log = new_run(Path(RECORDS)), logging.getLogger(__name__)
                atexit.register(cancel_left, run, ENGINES, log)
        except JobError as error:
            raise PlanError(str(error)) from None
        shown.update(self._shown())
        undone = (f for f in self.plan.nodes if not (self.store / f / MANIFEST).exists())
        self.unfinished = set(undone)
        self.rules = [JobRule(self, name) for name in self.plan.jobs]

    def _shown(self) -> dict[str, console.Shown]:
        """Return each stage by its folder; why it runs is asked once, before any does."""
        reasons = None if PLANNED in os.environ else Reasons(self.store)
        found = {}
        for folder, node in self.plan.nodes.items():
            done = (self.store / folder / MANIFEST).exists()
            why = None if done or reasons is None else reasons.why(node)
            found[str(self.store / folder)] = console.Shown(node, why)
        return found

    @property
    def table(self) -> str:
        """The score table in the store."""
        return str(self.store / self.plan.table.folder / "wer.txt")

    @property
    def shell(self) -> str:
        """The command of all rules; within a job of a batch system, that has chosen the GPUs.

        Such a system may have another machine for what a machine failed at.
        """
        command = f"{{params.command}} --planned {self.begun} --threads {{threads}}"
        here = " --allocated" if self._snakemake.remote_exec else f" --restarts {RESTARTS}"
        return f"{command} --gpus {{resources.gpu}}{here}"

    @property
    def executor(self) -> str:
        """The name of Snakemake's plugin that runs the jobs; known once it does."""
        plugin = self._snakemake.executor_plugin
        return str(plugin.name) if plugin else ""

    @property
    def table_made(self) -> list[str]:
        """What is newer than results/wer.txt where that is another table."""
        selection = Path(TABLE).parent / "recipes.json"
        return [str(self.store / self.plan.table.folder / MANIFEST), str(selection)]

    @property
    def manifests(self) -> list[str]:
        """What is there once each stage of each recipe is done; what goes once used need not be."""
        return [str(self.store / folder / MANIFEST) for folder in lasting(self.plan)]

    @property
    def report_made(self) -> list[str]:
        """What is newer than a report that lacks a stage, or is about other recipes."""
        return [*self.manifests, str(Path(TABLE).parent / "recipes.json")]

    @property
    def report(self) -> list[str]:
        """The pages of the report, the index first."""
        return [f"{REPORT}/index.html", *(f"{REPORT}/{report_page(n)}" for n in self.plan.recipes)]

    @property
    def report_command(self) -> str:
        """The command that makes the report."""
        program = [sys.executable, "-m", "workflows", "report"]
        folders = ["--store", str(self.store), "--data", self.data]
        return shlex.join([*program, *folders, "--", *self._asked])

    @property
    def begun(self) -> str:
        """Seconds since the epoch at the plan, also for the processes of cluster jobs."""
        return os.environ.setdefault(PLANNED, f"{time.time():.3f}")

    def show_table(self) -> None:
        """Print the score table, where it is up to date."""
        table, ours = Path(self.table), Path(TABLE)
        if table.exists() and ours.exists() and table.read_bytes() == ours.read_bytes():
            console.show(ours.read_text("utf-8"))


def _look_once_at_a_time() -> None:
    """Let Snakemake have one look for jobs to come at a time, beside those when a job has ended.

    For its limit of jobs in a second it looks again a second after each look, and so after that
    one: at the thousandth job, a thousand times a second. There is no option for it.
    """
    with contextlib.suppress(ImportError):  # the module of another version
        from snakemake.scheduling.job_scheduler import JobScheduler

        JobScheduler._schedule_reevalutation = _look_again


def _look_again(scheduler: Any, delay: float) -> None:
    """Let Snakemake's scheduler look for jobs after a delay in seconds, or earlier."""
    coming = vars(scheduler).get("look_to_come")
    if coming and not coming.finished.is_set():
        return
    scheduler.look_to_come = threading.Timer(delay, scheduler._open_jobs.release)
    scheduler.look_to_come.daemon = True  # the end of a run does not wait for it
    scheduler.look_to_come.start()


class JobRule:
    """The rule of one kind of job, with the hash as wildcard.

    Inputs are ancient manifests: what is there is done, and stays; a stage without a manifest is
    not done.
    """

    def __init__(self, workflow: Workflow, job: str) -> None:
        self.store, self.nodes = workflow.store, workflow.plan.nodes
        self._workflow = workflow
        self.job = load_job(job)
        self.name = job.replace(".", "_")
        self.folder = f"{self.store}/{job}/{{hash}}"
        # What is wrong with data is told before any training, whatever could begin first.
        self.priority = 0 if job.startswith("train.") and job != "train.check" else 1

    @property
    def output(self) -> Any:
        """Pattern of the manifest, which is written once all outputs are there.

        Snakemake removes what it knows of before a job begins: what another run makes at the same
        time, or has just made, would be gone. So it knows nothing else, and "updates" this.
        """
        return update(f"{self.folder}/{MANIFEST}")

    def _node(self, wildcards: Any) -> Node:
        folder = f"{self.job.NAME}/{wildcards.hash}"
        if folder not in self.nodes:
            raise PlanError(f"{folder}: found in no recipe of this run; try recipes=...")
        return self.nodes[folder]

    def _resources(self, wildcards: Any) -> Resources:
        return self._node(wildcards).resources

    def inputs(self, wildcards: Any) -> list[str]:
        """Return what a stage reads; of one that is done, what was removed is not made again."""
        node = self._node(wildcards)
        paths = [self.store / folder / MANIFEST for folder in sorted(node.reads)]
        done = (self.store / node.folder / MANIFEST).exists()
        return [ancient(str(path)) for path in paths if not done or path.exists()]

    def command(self, wildcards: Any) -> str:
        """Return the command of a stage, for a shell, without threads and GPUs."""
        program = [sys.executable, "-m", "workflows.run_job"]
        spec = str(self.store / self._node(wildcards).folder / SPEC)
        return shlex.join([*program, spec, "--data", self._workflow.data, "--in-workflow"])

    def unfinished(self, wildcards: Any) -> bool:
        """Return whether a stage was not done yet when this run was planned."""
        return self._node(wildcards).folder in self._workflow.unfinished

    def threads(self, wildcards: Any) -> int:
        return self._resources(wildcards).threads

    def mem_mb(self, wildcards: Any, attempt: int) -> int:
        """Return MiB: more after an attempt that they were, or may have been, too few for."""
        own = enough_memory(self._resources(wildcards).mem_mb, self._attempts(wildcards))
        nested = NESTED if self._workflow.executor == "slurm" else 0
        return (own << self._unknown(attempt)) + nested

    def minutes(self, wildcards: Any, attempt: int) -> int:
        """Return minutes: more after an attempt that they were, or may have been, too few for."""
        own = enough_minutes(self._resources(wildcards).minutes, self._attempts(wildcards))
        return own << self._unknown(attempt)

    def _attempts(self, wildcards: Any) -> list[Attempt]:
        return attempts(self.store / self._node(wildcards).folder)

    def _unknown(self, attempt: int) -> int:
        """Return how many attempts of this run failed that nobody told the reason of."""
        return 0 if self._workflow.executor == "cluster-generic" else attempt - 1

    def gpu(self, wildcards: Any) -> int:
        return self._resources(wildcards).gpu

    def attempt(self, wildcards: Any, attempt: int) -> int:
        """Return which attempt it is, for who submits it."""
        return attempt
