"""What a plan writes before any job runs: specifications of stages, and readable links to them."""

from __future__ import annotations

import contextlib
import errno
import json
import logging
import os
import stat
from datetime import UTC, datetime
from pathlib import Path

from jobs.files import replace_text
from jobs.job import JobError, outputs_of
from jobs.typed_json import to_json
from workflows import plans
from workflows.graph import Input, Node
from workflows.lock import store_locked
from workflows.plan import Plan
from workflows.stages import MANIFEST, RELEASED, SPEC, finished

log = logging.getLogger(__name__)


def write_plan(plan: Plan, store: Path, results: Path) -> None:
    """Write stage.json of unfinished stages, `results/recipe/stage` links, and the selection.

    Writes only what differs: times of files stay as they are. A store that cannot be written
    serves where all that is asked for is there. Raises JobError where it cannot write what it must.
    """
    share(store)
    ours = plans.planned(plan, results)
    try:
        with store_locked(store):
            plans.check_names(ours, store)
            _register(ours, store)
            release = {s.folder for p in ours for s in p.stages.values() if s.release}
            whole = [node for node in plan.nodes.values() if node.shard.whole]
            for node in whole:
                if not _write_stage(node, store, release):
                    for shard in node.shards:
                        _write_stage(shard, store, release)
        made = (store / plan.table.folder / MANIFEST).exists()
        for recipe, stages in plan.stages.items():
            links = {name: store / node.folder for name, node in stages.items()}
            _write_links(results / recipe, links)
        _write_selection(results / "recipes.json", plan, store, made)
    except OSError as error:
        place = Path(error.filename or store)
        own = place.absolute().is_relative_to(results.absolute())
        other = "--directory FOLDER" if own else "--config store=FOLDER"
        raise JobError(
            f"{place}: cannot write: {error.strerror};"
            f" {_remedy(error)}try another folder, by {other}"
        ) from None


def share(store: Path) -> None:
    """Let what this process makes be writable for the group, where the store's folder is."""
    with contextlib.suppress(OSError):
        if store.stat().st_mode & stat.S_IWGRP:
            os.umask(os.umask(0o077) & ~0o070)


def _remedy(error: OSError) -> str:
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return "make room (returnn-lite gc lists what no recipe needs), or "
    if error.errno in (errno.EACCES, errno.EPERM):
        return "let its group write (chmod g+ws), or "
    return ""


def _register(ours: list[plans.Planned], store: Path) -> None:
    """Write what the recipes need; where a store cannot be written, others cannot know of it."""
    for plan in ours:
        if (text := plans.changed(plan, store)) is None:
            continue
        try:
            _write(store / plans.FOLDER / f"{plan.name}.json", text)
        except OSError as error:
            if error.errno not in (errno.EACCES, errno.EPERM, errno.EROFS):
                raise
            log.warning("%s: read only: its owner may remove what this run uses", store)


def _write_stage(node: Node, store: Path, release: set[str]) -> bool:
    """Write the specification of a stage, unless it is done; return whether it is."""
    folder = store / node.folder
    if folder.exists() and not folder.is_dir():
        raise JobError(f"{folder}: found a file, needed the place for a stage; move it away")
    done = finished(folder, map(str, outputs_of(node.job).values()))
    if done and (folder / SPEC).exists():
        return True
    if not done:
        with contextlib.suppress(FileNotFoundError):
            # Somebody removed an output: it is made again where it is needed.
            (folder / MANIFEST).replace(folder / RELEASED)
    _write(folder / SPEC, spec(node, sorted(node.reads & release)))
    return done


def spec(node: Node, release: list[str] | None = None) -> str:
    """Return the text of stage.json: what a job is to do; paths are below the store.

    release: stages that it reads and that have outputs which are kept until they are used.
    """
    value = {
        "name": node.name,
        "job": node.job.NAME,
        "version": node.job.VERSION,
        "hash": node.hash,
        "params": to_json(node.params),
        "inputs": {key: _paths(value) for key, value in node.inputs.items()},
        "outputs": {name: str(path) for name, path in outputs_of(node.job).items()},
    }
    if not node.shard.whole:
        value["shard"] = to_json(node.shard)
    if node.shards:
        value["shards"] = [shard.folder for shard in node.shards]
    if node.external:
        value["external"] = to_json(node.external)
    if release:
        value["release"] = release
    return json.dumps(value, indent=1, ensure_ascii=False) + "\n"


def _write_selection(path: Path, plan: Plan, store: Path, made: bool) -> None:
    """Write which table results/wer.txt is to be; newer than it, and another text, until it is.

    made: whether the table is there.
    """
    selection = {
        "recipes": sorted(plan.stages),
        "store": os.path.relpath(store, path.parent),
        "table": f"{plan.table.folder}/wer.txt",
    }
    with contextlib.suppress(OSError, ValueError):
        old = json.loads(path.read_text("utf-8"))
        if made and selection.items() <= old.items():
            return
    time = {"planned": datetime.now(UTC).isoformat()}
    _write(path, json.dumps({**selection, **time}, indent=1) + "\n")


def _paths(value: Input) -> str | list[str] | None:
    if isinstance(value, tuple):
        return [v.path for v in value]
    return value.path if value else None


def _write(path: Path, text: str) -> None:
    """Write a small file, whole or not at all, unless it is there already.

    The next plan mends what a loss of power leaves of it.
    """
    with contextlib.suppress(FileNotFoundError, UnicodeDecodeError):
        if path.read_text("utf-8") == text:
            return
    replace_text(path, text)


def _write_links(folder: Path, targets: dict[str, Path]) -> None:
    """Make relative links in a folder, and remove links in it that are none of them."""
    if folder.exists() and not folder.is_dir():
        raise JobError(f"{folder}: found a file, needed the place for links; move it away")
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
