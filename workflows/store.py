"""What a plan writes before any job runs: specifications of stages, and readable links to them."""

from __future__ import annotations

import contextlib
import json
import os
from datetime import UTC, datetime
from pathlib import Path

from jobs.job import JobError
from jobs.typed_json import to_json
from workflows.graph import Input, Node
from workflows.plan import Plan

SPEC, MANIFEST = "stage.json", "manifest.json"
RESERVED = {SPEC, MANIFEST, "log.txt", "error.txt", ".lock"}  # no outputs of jobs


def write_plan(plan: Plan, work: Path, results: Path) -> None:
    """Write stage.json of unfinished stages, `results/recipe/stage` links, and the selection.

    Writes only what differs: times of files stay as they are. Raises JobError where it cannot.
    """
    try:
        for node in plan.nodes.values():
            folder = work / node.folder
            if not ((folder / MANIFEST).exists() and (folder / SPEC).exists()):
                _write(folder / SPEC, spec(node))
        made = (work / plan.table.folder / MANIFEST).exists()
        for recipe, stages in plan.stages.items():
            links = {name: work / node.folder for name, node in stages.items()}
            _write_links(results / recipe, links)
        _write_selection(results / "recipes.json", plan, made)
    except OSError as error:
        raise JobError(
            f"{error.filename}: cannot write: {error.strerror}; try another folder, by"
            " --config work=FOLDER"
        ) from None


def spec(node: Node) -> str:
    """Return the text of stage.json: what a job is to do; paths are below the store."""
    value = {
        "name": node.name,
        "job": node.job.NAME,
        "version": node.job.VERSION,
        "hash": node.hash,
        "params": to_json(node.params),
        "inputs": {key: _paths(value) for key, value in node.inputs.items()},
    }
    return json.dumps(value, indent=1, ensure_ascii=False) + "\n"


def _write_selection(path: Path, plan: Plan, made: bool) -> None:
    """Write which table results/wer.txt is to be; newer than it, and another text, until it is.

    made: whether the table is there.
    """
    selection = {"recipes": sorted(plan.stages), "table": f"{plan.table.folder}/wer.txt"}
    with contextlib.suppress(OSError, ValueError):
        old = json.loads(path.read_text("utf-8"))
        if made and selection.items() <= old.items():
            return
    planned = {"planned": datetime.now(UTC).isoformat()}
    _write(path, json.dumps({**selection, **planned}, indent=1) + "\n")


def _paths(value: Input) -> str | list[str] | None:
    if isinstance(value, tuple):
        return [v.path for v in value]
    return value.path if value else None


def _write(path: Path, text: str) -> None:
    """Write a small file, whole or not at all, unless it is there already."""
    try:
        if path.read_text("utf-8") == text:
            return
    except (FileNotFoundError, UnicodeDecodeError):
        path.parent.mkdir(parents=True, exist_ok=True)
    tmp = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    tmp.write_text(text, "utf-8")
    tmp.replace(path)


def _write_links(folder: Path, targets: dict[str, Path]) -> None:
    """Make relative links in a folder, and remove links in it that are none of them."""
    folder.mkdir(parents=True, exist_ok=True)
    for path in folder.iterdir():
        if path.is_symlink() and path.name not in targets:
            path.unlink()
    for name, target in targets.items():
        link, text = folder / name, os.path.relpath(target, folder)
        if link.is_symlink() and str(link.readlink()) == text:
            continue
        if link.exists() and not link.is_symlink():
            raise JobError(f"{link}: found a file, needed the place for a link; move it away")
        tmp = folder / f".{name}.{os.getpid()}.tmp"
        tmp.symlink_to(text)
        tmp.replace(link)
