"""What is kept of jobs between submission and end, and of the attempts at a stage that failed."""

from __future__ import annotations

import contextlib
import dataclasses
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from jobs.files import replace_text
from workflows.batch.engine import State

ATTEMPTS = "attempts.jsonl"  # in the folder of a stage


@dataclass(frozen=True, kw_only=True)
class Record:
    """A submitted job: its stage's folder, what it may use, when it was submitted.

    missing: since when the batch system has not known it. Times are seconds since the epoch.
    """

    folder: Path
    memory: int
    minutes: int
    submitted: float
    missing: float | None = None

    def write(self, records: Path, job: str) -> None:
        """Write it for a job."""
        value = {**dataclasses.asdict(self), "folder": str(self.folder)}
        replace_text(records / f"{job}.json", json.dumps(value))


def read_record(records: Path, job: str) -> Record:
    """Read what `Record.write` wrote."""
    value = json.loads((records / f"{job}.json").read_text("utf-8"))
    return Record(**{**value, "folder": Path(value["folder"])})


@dataclass(frozen=True, kw_only=True)
class Attempt:
    """An attempt at a stage that failed: how it ended, and what it might use."""

    job: str
    state: State
    memory: int
    minutes: int


def attempts(stage: Path) -> list[Attempt]:
    """Return the attempts at the stage of a folder that failed, the last one last."""
    path = stage / ATTEMPTS
    found = []
    for line in path.read_text("utf-8", "replace").splitlines() if path.exists() else []:
        with contextlib.suppress(ValueError, TypeError, KeyError):  # of a loss of power, or foreign
            value = json.loads(line)
            found.append(Attempt(**{**value, "state": State(value["state"])}))
    return found


def add_attempt(stage: Path, attempt: Attempt) -> None:
    """Note an attempt that failed, once for each job."""
    kept = [a for a in attempts(stage) if a.job != attempt.job]
    lines = [json.dumps(dataclasses.asdict(a)) for a in [*kept, attempt]]
    replace_text(stage / ATTEMPTS, "\n".join([*lines, ""]))


def enough_memory(own: int, past: Sequence[Attempt]) -> int:
    """Return MiB for the next attempt: its own, or twice those that were too few."""
    return max([own, *(2 * a.memory for a in past if a.state is State.OUT_OF_MEMORY)])


def enough_minutes(own: int, past: Sequence[Attempt]) -> int:
    """Return minutes for the next attempt: its own, or twice those that were too few."""
    return max([own, *(2 * a.minutes for a in past if a.state is State.OUT_OF_TIME)])
