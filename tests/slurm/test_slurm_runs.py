"""Runs on a real Slurm: each ends with the same table, and submits no job twice."""

from __future__ import annotations

import shutil
import signal
import time
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from conftest import Project

pytestmark = pytest.mark.slurm


@pytest.fixture
def blocked(project: Project) -> Project:
    """A project whose stage `a` waits for a file to go: `block`."""
    block = project.toy.root / "block"
    block.touch()
    stages = project.toy.stages.replace("'text': 'A'", f"'text': 'A', 'wait': {str(block)!r}")
    project.toy.recipe("commands", stages, project.toy.score)
    return project


def release(project: Project) -> None:
    """Let stage `a` go on."""
    (project.toy.root / "block").unlink()


def check(project: Project, jobs_of_a: int = 1) -> None:
    """Check table, outputs, and how many jobs were submitted for each stage."""
    row = "commands CTC greedy test make wer RECIPES=commands  # results/commands/b"
    assert project.table == f"recipe system set\n{row}\n"
    assert (project.folder("b") / "text.txt").read_text() == "A\nB\n"
    assert (len(project.jobs("a")), len(project.jobs("b"))) == (jobs_of_a, 1)


def test_a_run_ends_with_the_table(project: Project) -> None:
    project.toy.recipe("commands", project.toy.stages, project.toy.score)
    text = project.finish(project.start())
    assert project.table in text
    check(project)
    (job,) = project.jobs("b")
    assert (job.state, job.time, job.memory) == ("COMPLETED", "5:00", "100M")
    assert "Nothing to be done" in project.finish(project.start())
    check(project)


def test_a_cancelled_job_is_submitted_again(blocked: Project) -> None:
    run = blocked.start()
    (job,) = blocked.wait_for_jobs("a", "RUNNING")
    blocked.cluster.run("scancel", job.id)
    blocked.wait_for_jobs("a", "RUNNING", count=2)
    release(blocked)
    text = blocked.finish(run)
    assert f"job {job.id} was cancelled" in text
    check(blocked, jobs_of_a=2)


def test_too_little_memory_and_time_are_doubled(project: Project) -> None:
    """Both at once, as Slurm takes a minute and more to find that one is over."""
    stages = (
        "'m': Stage(job='toy.faulty', params={'mib': 400, 'seconds': 3}),"
        "'t': Stage(job='toy.faulty', params={'seconds': 1000}),"
    )
    scores = "".join(f"Score(system={x!r}, set='test', stage={x!r})," for x in "mt")
    project.toy.recipe("commands", stages, scores)
    text = project.finish(project.start())
    assert [line.split()[1] for line in project.table.splitlines()[1:]] == ["m", "t"]
    memory, time = project.jobs("m"), project.jobs("t")
    assert [(j.memory, j.time) for j in memory] == [("300M", "1:00"), ("600M", "1:00")]
    assert [(j.memory, j.time) for j in time] == [("300M", "1:00"), ("300M", "2:00")]
    assert f"job {memory[0].id} needed more than its 300 MiB of memory" in text
    assert f"job {time[0].id} needed more than its 1 minutes" in text


def test_a_mistake_is_not_tried_again(project: Project) -> None:
    stages = project.toy.stages.replace("'text': 'A'", "'text': 'A', 'fail': 'job'")
    project.toy.recipe("commands", stages, project.toy.score)
    text = project.finish(project.start(), status=1)
    assert text.count("corpus: found no utterances") == 1
    assert len(project.jobs("a")) == 1


def test_a_node_whose_gpu_failed_is_left_out(project: Project) -> None:
    stages = project.toy.stages.replace("'text': 'A'", "'text': '2', 'fail': 'gpu'")
    project.toy.recipe("commands", stages, project.toy.score)
    text = project.finish(project.start())
    first, second = project.jobs("a")
    assert (first.state, second.state) == ("FAILED", "COMPLETED") and first.node != second.node
    assert f"commands/a: not on {first.node}, which failed" in text


def test_where_all_nodes_failed_any_may_be_taken(project: Project) -> None:
    stages = project.toy.stages.replace("'text': 'A'", "'text': '3', 'fail': 'gpu'")
    project.toy.recipe("commands", stages, project.toy.score)
    text = project.finish(project.start())
    first, second, third = (job for job in project.jobs("a") if job.node)  # one was refused
    assert first.node != second.node and third.state == "COMPLETED"
    assert "commands/a: no other machine: " in text


def test_a_node_goes_down_and_comes_up(blocked: Project) -> None:
    run = blocked.start()
    (job,) = blocked.wait_for_jobs("a", "RUNNING")
    blocked.cluster.stop_node(job.node)
    blocked.wait_for_jobs("a", "PENDING")
    # Slurm would wait two minutes before it starts the job again.
    blocked.cluster.run("scontrol", "update", f"JobId={job.id}", "StartTime=now")
    (again,) = blocked.wait_for_jobs("a", "RUNNING")
    assert (again.id, again.node != job.node) == (job.id, True)
    blocked.cluster.start_node(job.node)
    release(blocked)
    blocked.finish(run)
    check(blocked)


@pytest.mark.parametrize("job", ["goes on", "ends first", "fails first"])
def test_snakemake_is_killed_and_started_again(blocked: Project, job: str) -> None:
    first = blocked.start()
    (submitted,) = blocked.wait_for_jobs("a", "RUNNING")
    first.kill()
    first.wait()
    if job == "ends first":
        release(blocked)
        blocked.wait_for_jobs("a", "COMPLETED")
    if job == "fails first":
        blocked.cluster.run("scancel", submitted.id)
    second = blocked.start()
    if job == "goes on":
        blocked.wait_for(f"job {submitted.id} is there already")
    if job == "fails first":
        blocked.wait_for_jobs("a", "RUNNING", count=2)
    if job != "ends first":
        release(blocked)
    text = blocked.finish(second)
    assert ("is there already" in text) == (job == "goes on")
    check(blocked, jobs_of_a=1 + (job == "fails first"))


def test_the_controller_is_down_for_a_while(blocked: Project) -> None:
    """Before the first job is submitted, and again while it runs and ends."""
    blocked.cluster.stop_controller()
    run = blocked.start()
    blocked.wait_for("commands/a: the batch system is silent; waiting")
    blocked.cluster.start_controller()
    blocked.wait_for_jobs("a", "RUNNING")
    blocked.cluster.stop_controller()
    release(blocked)
    time.sleep(20)
    blocked.cluster.start_controller()
    assert blocked.finish(run).count("jobs count as running") == 1
    check(blocked)


@pytest.mark.parametrize("late", ["", "squeue", "sbatch"])
def test_stopping_snakemake_cancels_its_jobs(blocked: Project, late: str) -> None:
    """Also while it asks how they are or submits one, and so has no list of them."""
    folder = blocked.toy.root / "late"
    folder.mkdir()
    if late:
        asked = f"touch {folder}/asked; sleep 5"
        lines = [f'{shutil.which(late)} "$@"; status=$?']
        lines += [f'case "$*" in *--states=all* | *--parsable*) {asked};; esac', "exit $status"]
        (folder / late).write_text("\n".join(["#!/bin/sh", *lines, ""]))
        (folder / late).chmod(0o755)
    run = blocked.start(programs=folder)
    if late:
        blocked.cluster.wait((folder / "asked").exists)
    else:
        blocked.wait_for_jobs("a", "RUNNING")
    run.send_signal(signal.SIGINT)
    blocked.finish(run, status=1)
    blocked.wait_for_jobs("a", "CANCELLED")


def test_gpus_are_a_generic_resource(project: Project) -> None:
    stages = (
        "'g': Stage(job='toy.faulty', params={'gpu': 1}),"
        "'c': Stage(job='toy.faulty', params={'mib': 1}),"
    )
    score = "Score(system='x', set='test', stage='g'), Score(system='y', set='test', stage='c'),"
    project.toy.recipe("commands", stages, score)
    project.finish(project.start())
    (job,) = project.jobs("g")
    asked = project.cluster.run("scontrol", "show", "job", job.id)
    assert "TresPerNode=gres:gpu:1" in asked and job.node == "n1"
    assert "GPUs: 0\n" in (project.folder("g") / "log.txt").read_text()
    assert "GPUs: \n" in (project.folder("c") / "log.txt").read_text()
