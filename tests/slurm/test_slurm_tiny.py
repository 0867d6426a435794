"""The small recipe of the whole chain: Slurm's nodes make the same as this machine by itself."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.killed_chain import differences, outputs

if TYPE_CHECKING:
    from tests.slurm.cluster import Cluster

pytestmark = pytest.mark.slurm
PROJECT = Path(__file__).parents[2]


def run(folder: Path, environment: dict[str, str], *arguments: str) -> None:
    """Run the recipe `tiny` up to its table in a folder."""
    folder.mkdir()
    program = [sys.executable, "-m", "snakemake", "--directory", str(folder), *arguments]
    done = subprocess.run(
        [*program, "results/wer.txt", "--config", "recipes=tiny"],
        cwd=PROJECT,
        env={**environment, "PYTHONPATH": str(PROJECT)},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.fixture
def finished(tmp_path: Path) -> Path:
    """The folder of a run without Slurm: that of RETURNN_LITE_FINISHED, or a new one."""
    given = os.environ.get("RETURNN_LITE_FINISHED")
    if given:
        return PROJECT / given
    run(tmp_path / "here", dict(os.environ), "--cores", "all")
    return tmp_path / "here"


def test_the_small_recipe(cluster: Cluster, finished: Path, tmp_path: Path) -> None:
    before = len(cluster.jobs())
    there = tmp_path / "there"
    run(there, cluster.environment(), "--workflow-profile", "profiles/slurm")
    assert outputs(there) and differences(finished, there) == []
    jobs = cluster.jobs()[before:]
    assert {job.state for job in jobs} == {"COMPLETED"}
    assert len(jobs) == len(list(there.glob("work/*/*/manifest.json")))
