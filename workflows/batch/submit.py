"""Submit a stage, once: whatever was killed or silent meanwhile."""

from __future__ import annotations

import dataclasses
import fcntl
import logging
import time
from pathlib import Path

from jobs.job import JobError
from workflows.batch.engine import Engine, Refused, Silent, State
from workflows.batch.records import Attempt, Record, add_attempt, attempts
from workflows.batch.request import Request

PATIENCE = 3600.0  # seconds of silence before a stage counts as failed
PAUSE = 2.0
# In the place of a job's id where none is needed any more: a number that no batch system reaches,
# but that their programs take, as they are given all ids of a run to cancel.
FINISHED = "4294000000"


def submit(request: Request, engine: Engine, log: logging.Logger, records: Path) -> str:
    """Return the id of the job that makes a stage: one that waits or runs already, or a new one.

    records: the folder for what `status` needs to know. Raises JobError where the batch system
    refuses the job or stays silent, and for another attempt at what ended by a mistake.
    """
    past = attempts(request.folder)
    if request.attempt > 1 and past and past[-1].state is State.MISTAKE:
        raise JobError(f"{request.title}: no other attempt: it would end by the same mistake")
    with request.log.open("a") as file:
        fcntl.flock(file, fcntl.LOCK_EX)  # two runs may come to the same stage at once
        job = _attach_or_submit(request, engine, log)
    record = Record(
        folder=request.folder.resolve(),
        memory=request.memory,
        minutes=request.minutes,
        submitted=time.time(),
    )
    record.write(records, job)
    return job


def _attach_or_submit(request: Request, engine: Engine, log: logging.Logger) -> str:
    """Ask again while the system is silent; each time first, whether the last call got through."""
    start, told = time.monotonic(), False
    while True:
        try:
            job = engine.active(request.name)
            if job:
                log.info("%s: job %s is there already", request.title, job)
                return job
            if request.unfinished and (request.folder / "manifest.json").exists():
                log.info("%s: a job of an earlier run has finished it meanwhile", request.title)
                return FINISHED
            return _submit(request, engine, log)
        except Refused as error:
            _note_refusal(request)
            raise JobError(f"{request.title}: not submitted: {error}") from None
        except Silent as error:
            if time.monotonic() - start > PATIENCE:
                raise JobError(f"{request.title}: not submitted: {error}") from None
            if not told:
                log.warning("%s: the batch system is silent; waiting: %s", request.title, error)
            told = True
            time.sleep(PAUSE)


def _submit(request: Request, engine: Engine, log: logging.Logger) -> str:
    """Submit a job, to machines that have not failed at it where there are any."""
    if request.exclude:
        log.info("%s: not on %s, which failed", request.title, ", ".join(request.exclude))
        try:
            return engine.submit(request)
        except Refused as error:
            log.warning("%s: no other machine: %s", request.title, error)
    return engine.submit(dataclasses.replace(request, exclude=()))


def _note_refusal(request: Request) -> None:
    """Let no other attempt of this run ask for what was refused, or for more."""
    memory, minutes = request.memory, request.minutes
    refused = Attempt(job="none", state=State.MISTAKE, memory=memory, minutes=minutes)
    add_attempt(request.folder, refused)
