"""What a store holds that no recipe needs, and its removal."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from jobs.files import remove
from jobs.job import CHECKPOINTS, JobError, load_job, outputs_of
from workflows.lock import held, store_locked, try_locked
from workflows.plans import Planned, alive_path
from workflows.release import releasable
from workflows.stages import (
    LOCK,
    MANIFEST,
    RELEASED,
    RESERVED,
    SPEC,
    disk_use,
    read_json,
    record,
    stage_folders,
)


@dataclass(frozen=True, kw_only=True)
class Garbage:
    """Files of one stage that may go: names in its folder. name: of the stage. whole: all of it.

    released: outputs that are kept until they are used.
    """

    folder: Path
    name: str
    why: str
    names: tuple[str, ...]
    bytes: int
    whole: bool = False
    released: bool = False


def find(
    store: Path, plans: Mapping[str, Planned], *, busy: Collection[str] = (), days: float = 0
) -> list[Garbage]:
    """Return what no plan needs, what is kept until used and is, and what killed runs left.

    busy: recipes that run now, whose stages all stay. days: what is younger stays.
    """
    needed = set().union(*(plan.needs() for plan in plans.values()))
    found = []
    for folder in stage_folders(store):
        known = record(folder) or read_json(folder / SPEC) or {}
        name = str(known.get("name", "?"))
        if held(folder / LOCK) or name.partition("/")[0] in busy or _age(folder) < days:
            continue
        below = f"{folder.parent.name}/{folder.name}"
        left = [path.name for path in folder.glob(".*.*.tmp")]
        done = (folder / MANIFEST).exists()
        if below not in needed:
            whole = (MANIFEST, *_outputs(folder, known), *left, *sorted(RESERVED - {MANIFEST}))
            found += _some(folder, name, "no recipe needs it", whole, whole=True)
            continue
        if used := releasable(below, plans.values(), store):
            found += _some(folder, name, "used, and kept no longer", used, released=True)
        left += [CHECKPOINTS] * done
        found += _some(folder, name, "left by what is done", left)
    return found


def _some(folder: Path, name: str, why: str, names: Iterable[str], **kind: bool) -> list[Garbage]:
    """Return the garbage of one kind in a folder, where there is any."""
    there = tuple(n for n in names if (folder / n).exists() or (folder / n).is_symlink())
    size = sum(disk_use(folder / n) for n in there)
    garbage = Garbage(folder=folder, name=name, why=why, names=there, bytes=size, **kind)
    return [garbage] if there else []


def _outputs(folder: Path, known: Mapping[str, object]) -> tuple[str, ...]:
    """Return the outputs of a stage; other files in its folder are somebody's own."""
    outputs = known.get("outputs")
    if not isinstance(outputs, dict):  # made before specifications named them
        try:
            outputs = {k: str(v) for k, v in outputs_of(load_job(folder.parent.name)).items()}
        except JobError:
            return ()
    return tuple(str(n) for n in outputs.values() if Path(str(n)).name == n and n != "..")


def _age(folder: Path) -> float:
    """Return the days since a stage was worked at."""
    times = []
    for name in (MANIFEST, RELEASED, SPEC):
        with contextlib.suppress(OSError):
            times.append((folder / name).stat().st_mtime)
    return (time.time() - max(times, default=0)) / 86400


def busy_recipes(store: Path, plans: Iterable[Planned]) -> set[str]:
    """Return the recipes of which a run is going on."""
    return {plan.recipe for plan in plans if held(alive_path(store, plan))}


def sweep(
    store: Path, plans: Callable[[], Mapping[str, Planned]], *, days: float = 0
) -> Iterator[tuple[Garbage, str]]:
    """Remove what may go, while nobody plans; yield each, and why it could not be removed, if so.

    plans: reads them. Raises JobError for a store that cannot be written.
    """
    try:
        with store_locked(store, alone=True):
            known = plans()
            busy = busy_recipes(store, known.values())
            for garbage in find(store, known, busy=busy, days=days):
                try:
                    yield garbage, "" if _remove(garbage) else "somebody works at it"
                except OSError as error:
                    yield garbage, f"{error.filename}: {error.strerror}"
    except OSError as error:
        raise JobError(f"{error.filename or store}: cannot remove: {error.strerror}") from None


def _remove(garbage: Garbage) -> bool:
    """Remove names in a stage's folder, and the folder where nothing else is in it."""
    folder = garbage.folder
    with try_locked(folder / LOCK) as free:
        if not free:
            return False
        if garbage.released and (folder / MANIFEST).exists():
            (folder / MANIFEST).replace(folder / RELEASED)
        for name in garbage.names:
            remove(folder / name)
        if garbage.whole:
            remove(folder / LOCK)
    for path in (folder, folder.parent) if garbage.whole else ():
        with contextlib.suppress(OSError):  # not empty: what else is there stays
            path.rmdir()
    return True
