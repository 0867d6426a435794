"""A GPU belongs to one job at a time, whichever run of Snakemake or user started the job."""

from __future__ import annotations

import contextlib
import fcntl
import itertools
import logging
import os
import re
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

from jobs.job import JobError

LEASES = Path("/tmp/returnn-lite-gpus")  # not below TMPDIR: the same for all on the machine
DEVICES = Path("/dev")
VISIBLE = "CUDA_VISIBLE_DEVICES"
DEVICE = re.compile(r"\d|GPU-|MIG-")
PAUSE = 1.0


def devices() -> list[str]:
    """Return the GPUs of which jobs may have some: those of CUDA_VISIBLE_DEVICES, or all.

    As CUDA reads it, what is no device, such as -1, ends the list.
    """
    if VISIBLE in os.environ:
        names = [name.strip() for name in os.environ[VISIBLE].split(",")]
        return list(itertools.takewhile(DEVICE.match, names))
    return [str(number) for number in range(len(list(DEVICES.glob("nvidia[0-9]*"))))]


@contextlib.contextmanager
def leased(count: int, log: logging.Logger, folder: Path = LEASES) -> Iterator[list[str]]:
    """Let this process see `count` GPUs, which no other lease has; wait until there are as many.

    A lease ends with its process, however that ends. Raises JobError for more than there are.
    """
    found = devices()
    if count > len(found):
        raise JobError(
            f"found {len(found)} GPUs, needed {count}; try another machine, or gpu={len(found)} in"
            " the recipe"
        )
    with contextlib.ExitStack() as stack:
        told = False
        while len(names := _take(count, found, folder, stack)) < count:
            stack.close()  # keeps none while it waits, so that no two wait for each other
            if not told:
                log.info("waits for %d of %d GPUs, which others have", count, len(found))
            told = True
            time.sleep(PAUSE)
        before = os.environ.get(VISIBLE)
        os.environ[VISIBLE] = ",".join(names)
        if names:
            log.info("has GPU %s", ", ".join(names))
        try:
            yield names
        finally:
            os.environ.pop(VISIBLE)
            if before is not None:
                os.environ[VISIBLE] = before


def _take(count: int, found: Sequence[str], folder: Path, stack: contextlib.ExitStack) -> list[str]:
    """Lock up to `count` GPUs that are free."""
    names: list[str] = []
    for name in found:
        if len(names) == count:
            break
        descriptor = _open(folder, name)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(descriptor)
            continue
        stack.callback(os.close, descriptor)
        names.append(name)
    return names


def _open(folder: Path, name: str) -> int:
    """Open the file of a GPU, whoever made it."""
    path = folder / re.sub(r"[^A-Za-z0-9-]", "_", name)
    with contextlib.suppress(FileNotFoundError):
        return os.open(path, os.O_RDONLY)
    with contextlib.suppress(FileExistsError):
        folder.mkdir()
        folder.chmod(0o1777)
    return os.open(path, os.O_RDONLY | os.O_CREAT, 0o644)
