"""The jobs that a run of Snakemake submits, and the end of those that it would leave behind.

While Snakemake asks how jobs are, or submits one, it has no list of them: an interruption at that
moment cancels none. So each submission is noted first, and a run that ends takes with it whatever
of its jobs is still in the queue.
"""

from __future__ import annotations

import fcntl
import logging
import os
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from workflows.batch.engine import SECONDS, Engine, Refused, Silent

RUN = "RETURNN_LITE_RUN"  # in the environment of what Snakemake starts: the file of its run
PAUSE = 0.2


def new_run(records: Path) -> Path:
    """Return the file of a new run of this process, and name it to what the process starts."""
    path = (records / f"run-{time.time():.3f}-{os.getpid()}").resolve()
    os.environ[RUN] = str(path)
    return path


@contextmanager
def noted(system: str, name: str) -> Iterator[None]:
    """Note that a run submits a job of a name, and hold its file until it has."""
    if RUN not in os.environ:
        yield
        return
    path = Path(os.environ[RUN])
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a") as file:
        # Also held by the program that submits, as it may outlive us.
        os.set_inheritable(file.fileno(), True)
        fcntl.flock(file, fcntl.LOCK_SH)
        file.write(f"{system} {name}\n")
        file.flush()
        yield


def cancel_left(
    run: Path, engines: Mapping[str, Callable[[], Engine]], log: logging.Logger
) -> None:
    """Cancel the jobs of a run that wait or run, once no submission is under way; remove its file.

    Of a run that ended by itself there are none.
    """
    if not run.exists():
        return
    with run.open() as file:
        _wait_for_submissions(file.fileno())
        lines = file.read().splitlines()
    names: dict[str, set[str]] = {}
    for system, name in (line.split(" ", 1) for line in lines):
        names.setdefault(system, set()).add(name)
    for system, of_run in names.items():
        try:
            cancelled = engines[system]().cancel(of_run)
        except (Silent, Refused) as error:
            log.warning("%s: jobs of this run may be left in the queue: %s", system, error)
            continue
        if cancelled:
            log.warning("cancelled what was left in the queue: %s", ", ".join(cancelled))
    run.unlink()


def _wait_for_submissions(file: int) -> None:
    """Take the lock that submissions share, or go on without it once they take too long."""
    end = time.monotonic() + SECONDS
    while time.monotonic() < end:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            time.sleep(PAUSE)
        else:
            return
