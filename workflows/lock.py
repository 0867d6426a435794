"""Locks on files: of a stage, for one process at a time; of a store, for those that remove."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import logging
import os
from collections.abc import Iterator
from pathlib import Path

from jobs.job import JobError

STORE_LOCK = ".lock"


@contextlib.contextmanager
def locked(path: Path, log: logging.Logger) -> Iterator[bool]:
    """Hold a lock on a file; give whether another process had it first, and was waited for.

    The lock goes when its process ends, however it ends. Raises JobError where the file system
    has no locks.
    """
    with path.open("a") as file:
        waited = not _try(file.fileno(), fcntl.LOCK_EX, path)
        if waited:
            log.warning("another process works at this stage; waiting for it")
            fcntl.flock(file, fcntl.LOCK_EX)
        yield waited


@contextlib.contextmanager
def try_locked(path: Path) -> Iterator[bool]:
    """Hold a lock on a file where no other process has it; give whether it is held."""
    with path.open("a") as file:
        yield _try(file.fileno(), fcntl.LOCK_EX, path)


def hold(path: Path) -> None:
    """Lock a file until this process ends, where no other has it and it can be written."""
    with contextlib.suppress(OSError):
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o666)
        _try(descriptor, fcntl.LOCK_EX, path)


def held(path: Path) -> bool:
    """Return whether a process holds the lock on a file."""
    try:
        with path.open() as file:
            return not _try(file.fileno(), fcntl.LOCK_SH, path)
    except OSError:
        return False


def wait_for(path: Path) -> None:
    """Wait until no process holds the lock on a file that can only be read."""
    with path.open() as file:
        fcntl.flock(file, fcntl.LOCK_SH)


@contextlib.contextmanager
def store_locked(store: Path, *, alone: bool = False) -> Iterator[None]:
    """Keep others from removing what is in a store meanwhile; alone: and from planning in it.

    Where a store cannot be written, nobody removes anything from there.
    """
    path = store / STORE_LOCK
    try:
        store.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o666)
    except OSError:
        if alone:
            raise
        yield
        return
    try:
        kind = fcntl.LOCK_EX if alone else fcntl.LOCK_SH
        if not _try(descriptor, kind, path):
            fcntl.flock(descriptor, kind)
        yield
    finally:
        os.close(descriptor)


def _try(descriptor: int, kind: int, path: Path) -> bool:
    """Return whether a lock could be had at once."""
    try:
        fcntl.flock(descriptor, kind | fcntl.LOCK_NB)
        return True
    except BlockingIOError:
        return False
    except OSError as error:
        if error.errno not in (errno.ENOLCK, errno.EOPNOTSUPP, errno.ENOSYS):
            raise
        raise JobError(
            f"{path}: found a file system without locks ({error.strerror}), needed flock, so that"
            " two runs never make one stage at once; try another folder as the store"
        ) from None
