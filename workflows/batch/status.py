"""Tell how a job is, asking the batch system for all jobs at once, and not too often."""

from __future__ import annotations

import dataclasses
import fcntl
import json
import logging
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from jobs.files import replace_text
from workflows.batch.engine import Engine, Refused, Silent, State
from workflows.batch.records import Attempt, Record, add_attempt, read_record
from workflows.batch.submit import FINISHED

GRACE = 120.0  # seconds until accounts and files of other machines have come


def status(job: str, engine: Engine, records: Path, every: float, log: logging.Logger) -> State:
    """Return how a job is; note it in the stage's folder when it failed.

    While the batch system is silent all jobs count as active. every: seconds between two questions
    to the batch system, for however many jobs.
    """
    if job == FINISHED:
        return State.DONE
    record = read_record(records, job)
    asked, states = _states(engine, records, every, log)
    if states is None or (job not in states and asked <= record.submitted):
        return State.ACTIVE  # nobody can say, or it was submitted since the system was asked
    state = states.get(job) or _past(job, engine, record, records)
    if state not in (State.ACTIVE, State.DONE):
        _note(record, job, state)
    return state


def _states(
    engine: Engine, records: Path, every: float, log: logging.Logger
) -> tuple[float, Mapping[str, State] | None]:
    """Return when states were asked for, and all of them; None where there was no answer."""
    path = records / "states.json"
    with (records / "states.lock").open("a") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        kept: dict[str, Any] = {"asked": 0.0, "states": {}}
        if path.exists():
            kept = json.loads(path.read_text("utf-8"))
        old = kept["states"]
        if 0 <= time.time() - kept["asked"] < every:
            known = None if old is None else {job: State(word) for job, word in old.items()}
            return kept["asked"], known
        asked, states = time.time(), None
        try:
            states = engine.states()
        except (Silent, Refused) as error:
            if old is not None:
                log.warning("the batch system is silent; jobs count as running: %s", error)
        replace_text(path, json.dumps({"asked": asked, "states": states}))
    return asked, states


def _past(job: str, engine: Engine, record: Record, records: Path) -> State:
    """Return how a job ended that the batch system has at hand no more."""
    try:
        state = engine.past(job, record.memory, record.minutes)
    except (Silent, Refused):
        return State.ACTIVE
    if state:
        return state
    if (record.folder / "manifest.json").exists():
        return State.DONE
    if record.missing is None:
        record = dataclasses.replace(record, missing=time.time())
        record.write(records, job)
    return State.LOST if time.time() - (record.missing or 0) > GRACE else State.ACTIVE


def _note(record: Record, job: str, state: State) -> None:
    """Leave in the stage's folder how its job ended, and why where the job itself could not say."""
    memory, minutes = record.memory, record.minutes
    add_attempt(record.folder, Attempt(job=job, state=state, memory=memory, minutes=minutes))
    error = record.folder / "error.txt"
    texts = {
        State.OUT_OF_MEMORY: f"needed more than its {memory} MiB of memory; another attempt has"
        f" {2 * memory}",
        State.OUT_OF_TIME: f"needed more than its {minutes} minutes; another attempt has"
        f" {2 * minutes}",
        State.CANCELLED: "was cancelled",
        State.LOST: "lost its node, or the batch system lost sight of it",
    }
    if state in texts:
        replace_text(error, f"job {job} {texts[state]}\n")
    elif not error.exists():
        replace_text(
            error, f"job {job} ended without a message; see {record.folder / 'batch.txt'}\n"
        )
