"""Slurm: sbatch, squeue, sacct."""

from __future__ import annotations

import os
from collections.abc import Collection
from pathlib import Path

from workflows.batch.engine import Refused, State, call, state_of
from workflows.batch.request import Request

# What its programs say while the controller is down, busy, or just starting.
SILENT = (
    "Unable to contact slurm",
    "Socket timed out",
    "Connection refused",
    "Communication connection failure",
    "Zero Bytes were transmitted",
    "Slurm temporarily unable",
    "Slurm backup controller in standby",
    "Transport endpoint is not connected",
    "Unexpected message received",
)
ENDS = {
    "COMPLETED": State.DONE,
    "OUT_OF_MEMORY": State.OUT_OF_MEMORY,
    "TIMEOUT": State.OUT_OF_TIME,
    "DEADLINE": State.OUT_OF_TIME,
    "CANCELLED": State.CANCELLED,
    "REVOKED": State.CANCELLED,
    "PREEMPTED": State.LOST,
    "NODE_FAIL": State.LOST,
    "BOOT_FAIL": State.LOST,
    "LAUNCH_FAILED": State.LOST,
}
# Resources of Snakemake's official plugin -> options of sbatch.
OPTIONS = {
    "slurm_account": "--account",
    "slurm_partition": "--partition",
    "constraint": "--constraint",
    "qos": "--qos",
}
MINE = ("--me", "--noheader")


class Slurm:
    """Slurm, from version 20.02 on."""

    def submit(self, request: Request) -> str:
        """Submit a job that goes back to the queue when its node fails; see `Engine`."""
        answer = call(["sbatch", *options(request)], SILENT, request.script(allocated=True))
        return answer.strip().partition(";")[0]

    def active(self, name: str) -> str | None:
        """See `Engine`. A job that is completing has ended."""
        answer = call(["squeue", *MINE, f"--name={name}", "--format=%i %T"], SILENT)
        jobs = [line.split() for line in answer.splitlines()]
        return next((job for job, state in jobs if state != "COMPLETING"), None)

    def cancel(self, names: Collection[str]) -> list[str]:
        """See `Engine`."""
        answer = call(["squeue", *MINE, "--format=%i %T %j"], SILENT)
        jobs = [line.split(None, 2) for line in answer.splitlines()]
        found = [job for job, state, name in jobs if name in names and state != "COMPLETING"]
        if found:
            call(["scancel", *found], SILENT)
        return found

    def states(self) -> dict[str, State]:
        """See `Engine`: jobs that ended up to MinJobAge ago are at hand."""
        fields = "jobid:32,state:32,exit_code:32"
        answer = call(["squeue", *MINE, "--states=all", f"--Format={fields}"], SILENT)
        jobs = (line.split() for line in answer.splitlines())
        return {job: _state(word, status) for job, word, status in jobs}

    def past(self, job: str, memory: int, minutes: int) -> State | None:
        """See `Engine`; a system without accounting keeps nothing."""
        command = ["sacct", "-X", "--noheader", "--parsable2", "--format=State,ExitCode", "-j", job]
        try:
            lines = call(command, SILENT).splitlines()
        except Refused:
            return None
        if not lines:
            return None
        word, _, status = lines[-1].partition("|")
        return _state(word.split()[0], status)


def options(request: Request) -> list[str]:
    """Return the options of sbatch for a request."""
    log = str(request.log).replace("%", "%%")
    found = [
        "--parsable",
        "--requeue",
        f"--job-name={request.name}",
        f"--comment={request.title}",
        f"--chdir={Path.cwd()}",
        f"--output={log}",
        "--open-mode=append",
        "--nodes=1",
        "--ntasks=1",
        f"--cpus-per-task={request.threads}",
        f"--mem={request.memory}M",
        f"--time={request.minutes}",
    ]
    if request.gpus:
        model = request.resources.get("gpu_model")
        found.append(":".join(["--gres=gpu", *([model] if model else []), str(request.gpus)]))
    if request.exclude:
        found.append(f"--exclude={','.join(request.exclude)}")
    given = request.resources
    found += [f"{option}={given[key]}" for key, option in OPTIONS.items() if given.get(key)]
    return found + request.extra("slurm_extra")


def _state(word: str, status: str) -> State:
    """Return a state from Slurm's word for it, and the status: as of `wait`, or `code:signal`."""
    if word != "FAILED":
        return ENDS.get(word, State.ACTIVE)
    code, colon, number = status.partition(":")
    exit_code = os.waitstatus_to_exitcode(int(code) << 8 | int(number) if colon else int(code))
    return state_of(exit_code if exit_code >= 0 else 128 - exit_code)
