"""Outputs that are kept until they are used: they go when all stages that read them are done."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterable, Mapping
from pathlib import Path

from jobs.files import remove
from jobs.job import JobError
from workflows.lock import store_locked, try_locked
from workflows.plans import Planned, read_plans
from workflows.stages import LOCK, MANIFEST, RELEASED, disk_use


def releasable(folder: str, plans: Iterable[Planned], store: Path) -> tuple[str, ...]:
    """Return the outputs of a stage that may go: every plan says so, and all its readers are done.

    A plan without the stage needs nothing of it.
    """
    found: set[str] | None = None
    for plan in plans:
        mine = [stage for stage in plan.stages.values() if stage.folder == folder]
        if not mine:
            continue
        readers = [s.folder for s in plan.stages.values() if folder in s.reads]
        if not readers or not all(_done(store / reader) for reader in readers):
            return ()
        for stage in mine:
            found = set(stage.release) if found is None else found & set(stage.release)
    return tuple(sorted(found or ()))


def _done(folder: Path) -> bool:
    return (folder / MANIFEST).exists() or (folder / RELEASED).exists()


def release(folders: Iterable[str], store: Path, log: logging.Logger) -> None:
    """Remove what may go of some stages; the manifest stays, as released.json."""
    folders = list(folders)
    if not folders:
        return  # nobody else is waited for, and no plan is read: it may be long
    gone: list[Path] = []
    try:
        with store_locked(store, alone=True):
            plans: Mapping[str, Planned] = read_plans(store)
            for folder in folders:
                names = releasable(folder, plans.values(), store)
                if names and (store / folder / MANIFEST).exists():
                    gone += _set_aside(store / folder, names)
        for path in gone:
            log.info("removed %s, which is used: %d bytes", path, disk_use(path))
            remove(path)
    except (JobError, OSError) as error:  # the stage that used it is done all the same
        log.warning("what is used stays: %s", error)


def _set_aside(folder: Path, names: Iterable[str]) -> list[Path]:
    """Rename outputs, so that nobody waits for their removal; a stage that runs keeps its own."""
    gone = []
    with try_locked(folder / LOCK) as free:
        if free:
            (folder / MANIFEST).replace(folder / RELEASED)
            for name in names:
                aside = folder / f".{name}.{os.getpid()}.tmp"
                if (folder / name).exists():
                    (folder / name).rename(aside)
                    gone.append(aside)
    return gone
