"""A Slurm to test with, and a small project that submits its jobs to it."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from tests.debian import Missing
from tests.slurm.cluster import Cluster, SlurmJob, install
from tests.workflows.conftest import Toy, make_project
from workflows.batch.request import Request

FAULTY = '''
"""Ask for too little at first, as a training that goes on from its checkpoint would."""
import os
import time
from dataclasses import dataclass
from pathlib import Path
from jobs.files import written
from jobs.job import Resources, file, unhashed

NAME = "toy.faulty"
VERSION = 1

@dataclass(frozen=True, kw_only=True)
class Inputs:
    parts: tuple[Path, ...] = ()

@dataclass(frozen=True, kw_only=True)
class Outputs:
    text: Path = file("text.txt")
    score: Path = file("score.json")

@dataclass(frozen=True, kw_only=True)
class Params:
    mib: int = 0
    seconds: float = 0
    gpu: int = unhashed(0)

def resources(params):
    return Resources(mem_mb=300, minutes=1, gpu=params.gpu)

def run(inputs, outputs, params, log):
    begun = outputs.text.with_name("begun")
    kept = b"x" * (params.mib << 20)
    log.info("GPUs: %s", os.environ.get("CUDA_VISIBLE_DEVICES"))
    if kept or params.seconds and not begun.exists():
        begun.touch()
        time.sleep(params.seconds)
    with written(outputs.text) as tmp:
        tmp.write_text("F")
    with written(outputs.score) as tmp:
        tmp.write_text("{}")
'''


@dataclass
class Project:
    """A toy project and the cluster that runs its jobs."""

    toy: Toy
    cluster: Cluster
    runs: list[subprocess.Popen[bytes]] = field(default_factory=list)

    @property
    def table(self) -> str:
        """The table of the scores."""
        return (self.toy.root / "results" / "wer.txt").read_text("utf-8")

    def folder(self, stage: str) -> Path:
        """Return the folder of a stage of the recipe `commands`."""
        return self.toy.root / "results" / "commands" / stage

    def jobs(self, stage: str) -> list[SlurmJob]:
        """Return the jobs that were ever submitted for a stage."""
        folder = self.folder(stage).resolve()
        name = Request(folder=folder, title="", command="", threads=1, memory=1, minutes=1).name
        return self.cluster.jobs_named(name)

    def wait_for_jobs(self, stage: str, state: str, count: int = 1) -> list[SlurmJob]:
        """Wait until a stage has so many jobs, and the last is in a state; return all of them."""

        def there() -> bool:
            jobs = self.jobs(stage)
            return len(jobs) == count and jobs[-1].state == state

        self.cluster.wait(there)
        return self.jobs(stage)

    def start(
        self, *arguments: str, profile: str = "slurm", programs: Path = Path("none")
    ) -> subprocess.Popen[bytes]:
        """Start Snakemake up to the table; `said` has what it says.

        programs: a folder with programs that it finds before the real ones.
        """
        program = [sys.executable, "-m", "snakemake", "--workflow-profile", f"profiles/{profile}"]
        environment = {**self.toy.environment(), **self.cluster.environment()}
        environment["PATH"] = f"{programs}:{environment['PATH']}"
        with (self.toy.root / "said.txt").open("w") as out:
            run = subprocess.Popen(
                [*program, "results/wer.txt", *arguments],
                cwd=self.toy.root,
                env={**environment, "PYTHONPATH": str(self.toy.root)},
                stdout=out,
                stderr=out,
            )
        self.runs.append(run)
        return run

    def said(self) -> str:
        """Return what the last start of Snakemake has said."""
        return (self.toy.root / "said.txt").read_text("utf-8")

    def wait_for(self, text: str) -> None:
        """Wait until Snakemake says something."""
        self.cluster.wait(lambda: text in self.said())

    def finish(self, run: subprocess.Popen[bytes], status: int = 0) -> str:
        """Wait until Snakemake has ended as it should; return what it said."""
        assert run.wait(400) == status, self.said()
        return self.said()


@pytest.fixture(scope="session")
def cluster() -> Iterator[Cluster]:
    """A running cluster; where there can be none a test is skipped, but fails under CI=true."""
    try:
        if not importlib.util.find_spec("snakemake_executor_plugin_cluster_generic"):
            raise Missing("no executor plugins here: install the extra `slurm`")
        install()
    except Missing as error:
        if os.environ.get("CI") == "true":
            pytest.fail(str(error))
        pytest.skip(str(error))
    cluster = Cluster()
    try:
        cluster.start()
        yield cluster
    finally:
        cluster.stop()


@pytest.fixture
def project(cluster: Cluster, tmp_path: Path) -> Iterator[Project]:
    """A project with the jobs toy.write and toy.faulty, which asks Slurm every second."""
    toy = make_project(tmp_path / "project")
    (toy.root / "jobs" / "toy" / "faulty.py").write_text(FAULTY)
    for profile in ("slurm", "slurm_plugin"):
        path = toy.root / "profiles" / profile / "config.yaml"
        text = path.read_text().replace("--every 5", "--every 1")
        path.write_text(text.replace("status-checks: 5", "status-checks: 1"))
    project = Project(toy, cluster)
    yield project
    for run in project.runs:
        run.kill()
