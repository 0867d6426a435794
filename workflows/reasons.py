"""Why a stage runs: how it differs from the one of its name that is in the store."""

from __future__ import annotations

import dataclasses
import reprlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from jobs.typed_json import to_json
from workflows.graph import Node
from workflows.stages import record, stage_folders, state

MOST, LONG = 3, 100  # differences that are told, and characters of one
BEFORE = {
    "running": "another process works at it",
    "failed": "failed before",
    "stopped": "was interrupted",
    "released": "an output was removed, and is needed again",
}
_short = reprlib.Repr()
_short.maxstring = _short.maxother = 40
_short.maxdict = _short.maxlist = 3


class Reasons:
    """Compares stages with those that are in a store now; of one job, all are read at once."""

    def __init__(self, store: Path) -> None:
        self.store = store
        self._done: dict[str, dict[str, dict[str, Any]]] = {}

    def why(self, node: Node) -> str:
        """Return why a stage that is not finished runs, in a line."""
        found = state(self.store / node.folder)
        if found in BEFORE:
            return BEFORE[found]
        old = self.before(node)
        return (told(differences(old, node)) if old else "") or "new"

    def before(self, node: Node) -> dict[str, Any]:
        """Return the newest record of a stage of that name and job; nothing where there is none."""
        return self._of(node.job.NAME).get(node.name, {})

    def _of(self, job: str) -> dict[str, dict[str, Any]]:
        """Return the newest record of each name, of the finished stages of a job."""
        if job not in self._done:
            found = [record(folder) for folder in stage_folders(self.store, job)]
            done = sorted((r for r in found if r), key=lambda r: str(r.get("started")))
            self._done[job] = {r["name"]: r for r in done}
        return self._done[job]


def told(lines: list[str]) -> str:
    """Return differences in a line, not too many of them."""
    rest = f"; {len(lines) - MOST} more" if len(lines) > MOST else ""
    return "; ".join(lines[:MOST]) + rest


def differences(old: Mapping[str, Any], node: Node) -> list[str]:
    """Return what changes a stage's hash since it had a record: most telling first."""
    lines = []
    if old["version"] != node.job.VERSION:
        lines.append(f"VERSION of {node.job.NAME}: {old['version']} -> {node.job.VERSION}")
    lines += _changed(old["params"], to_json(node.params, hashed_only=True), node.params)
    contents = dict(node.external)
    known = dict(old.get("external", []))
    names = sorted(n for n in contents.keys() | known if contents.get(n) != known.get(n))
    if names:
        lines.append(f"changed on disk: {', '.join(names)}")
    return lines + _inputs(old["inputs"], node)


def _changed(old: Any, new: Any, params: Any, path: str = "") -> list[str]:
    """Return the places at which parameters differ, as JSON values.

    params: where these are a dataclass, whose record has more keys: those that are not hashed.
    """
    if not (isinstance(old, dict) and isinstance(new, dict)):
        change = f"{_short.repr(old)} -> {_short.repr(new)}"
        return [] if old == new else [f"{path}: {change if len(change) < LONG else 'changed'}"]
    lines = []
    if dataclasses.is_dataclass(params):  # what was added is missing where it is at its default
        fields = [f for f in dataclasses.fields(params) if f.metadata.get("added")]
        hidden = [f for f in fields if f.name in old and f.name not in new]
        new = {**new, **{f.name: to_json(f.default) for f in hidden}}
    gone = [] if dataclasses.is_dataclass(params) else [k for k in old if k not in new]
    for key in [*new, *gone]:
        at = f"{path}.{key}".lstrip(".")
        if key not in new:
            lines.append(f"{at}: removed")
        elif key not in old:
            lines.append(f"{at}: new, {_short.repr(new[key])}")
        else:
            lines += _changed(old[key], new[key], getattr(params, key, None), at)
    return lines


def _inputs(old: Mapping[str, Any], node: Node) -> list[str]:
    """Return which inputs come from other stages than before."""
    lines = []
    for name, value in node.inputs.items():
        outputs = value if isinstance(value, tuple) else (value,) if value else ()
        was = old.get(name) or []
        paths = {was} if isinstance(was, str) else set(was)
        other = [o for o in outputs if o.path not in paths]
        lines += [f"reads {o.node.name}, which is another" for o in other]
        if not other and len(paths) != len(outputs):
            lines.append(f"input {name}: fewer files")
    return list(dict.fromkeys(lines))
