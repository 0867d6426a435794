"""The folders of the store: which are those of stages, and how far each stage is."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, Literal

from jobs.job import CHECKPOINTS
from workflows.lock import held

SPEC, MANIFEST, LOCK, LOG, ERROR = "stage.json", "manifest.json", ".lock", "log.txt", "error.txt"
RELEASED = "released.json"  # what the manifest becomes where outputs were removed after their use
MACHINES = "machines.txt"  # those whose GPU or disk failed
BATCH = {"batch.txt", "attempts.jsonl", MACHINES}  # of attempts
RESERVED = {SPEC, MANIFEST, RELEASED, LOCK, LOG, ERROR, CHECKPOINTS} | BATCH  # no outputs of jobs
RECORDED = {"name", "job", "version", "hash", "params", "inputs"}  # in each manifest, at least
HASH = re.compile(r"[0-9a-f]{16}")

State = Literal["finished", "released", "running", "failed", "stopped", "planned", "absent"]


def finished(folder: Path, outputs: Iterable[str]) -> bool:
    """Return whether a stage is done, and all that it made is there."""
    names = [MANIFEST, *outputs]
    return all((folder / name).exists() for name in names)


def state(folder: Path) -> State:
    """Return how far a stage is; a stopped one was killed, a planned one has not begun."""
    if (folder / MANIFEST).exists():
        return "finished"
    if held(folder / LOCK):
        return "running"
    if (folder / ERROR).exists():
        return "failed"
    if (folder / RELEASED).exists():
        return "released"
    if (folder / LOG).exists():
        return "stopped"
    return "planned" if (folder / SPEC).exists() else "absent"


def record(folder: Path) -> dict[str, Any] | None:
    """Return the manifest of a stage that was finished, also of one that was released since.

    Other JSON, which no stage has left, is none.
    """
    found = (read_json(folder / name) for name in (MANIFEST, RELEASED))
    return next((value for value in found if value and value.keys() >= RECORDED), None)


def read_json(path: Path) -> dict[str, Any] | None:
    """Return a JSON object; None where a file is missing or is something else."""
    try:
        value = json.loads(path.read_text("utf-8"))
    except (OSError, ValueError):
        return None
    return value if isinstance(value, dict) else None


def stage_folders(store: Path, job: str = "*") -> Iterator[Path]:
    """Yield the folders of stages, sorted; what this project did not make is none of them."""
    for folder in sorted(store.glob(f"{job}/*")):
        if not HASH.fullmatch(folder.name) or folder.is_symlink() or not folder.is_dir():
            continue
        known = read_json(folder / SPEC) or record(folder) or {}
        if (known.get("job"), known.get("hash")) == (folder.parent.name, folder.name):
            yield folder


def disk_use(path: Path) -> int:
    """Return the bytes of a file, or of a folder with all in it; links count as such."""
    members = [path, *path.rglob("*")] if path.is_dir() and not path.is_symlink() else [path]
    total = 0
    for member in members:
        try:
            status = member.lstat()
        except OSError:  # removed, or renamed, meanwhile
            continue
        if not member.is_dir() or member.is_symlink():
            total += status.st_size
    return total
