"""The official plugin for Slurm, the second choice: it runs, and tries again with more."""

from __future__ import annotations

import importlib.util
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from conftest import Project

pytestmark = pytest.mark.slurm


@pytest.fixture(autouse=True)
def plugin(cluster: object) -> None:
    """The plugin that the tests are about; it comes with the same extra as the other."""
    assert importlib.util.find_spec("snakemake_executor_plugin_slurm"), "install the extra `slurm`"


def test_a_run_with_too_little_memory_ends_with_the_table(project: Project) -> None:
    """The memory is what the job asks for and that of the Snakemake within, then twice as much."""
    stages = "'m': Stage(job='toy.faulty', params={'mib': 500, 'seconds': 3}),"
    project.toy.recipe("commands", stages, "Score(system='m', set='test', stage='m'),")
    before = {j.name for j in project.cluster.jobs()}
    project.finish(project.start(profile="slurm_plugin"))
    assert [line.split()[1] for line in project.table.splitlines()[1:]] == ["m"]
    asked = [(j.memory, j.time) for j in project.cluster.jobs() if j.name not in before]
    assert asked[:2] == [("600M", "1:00"), ("900M", "2:00")]
