"""One process at a time works at a stage."""

from __future__ import annotations

import contextlib
import fcntl
import logging
from collections.abc import Iterator
from pathlib import Path


@contextlib.contextmanager
def locked(path: Path, log: logging.Logger) -> Iterator[bool]:
    """Hold a lock on a file; give whether another process had it first, and was waited for.

    The lock goes when its process ends, however it ends.
    """
    with path.open("a") as file:
        waited = False
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            log.warning("another process works at this stage; waiting for it")
            fcntl.flock(file, fcntl.LOCK_EX)
            waited = True
        yield waited
