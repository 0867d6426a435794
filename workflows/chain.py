"""What is behind a number: from a table or an artifact back to all that it was made from."""

from __future__ import annotations

import dataclasses
import os
import typing
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from jobs.job import JobError, load_job, nearest
from jobs.typed_json import to_json
from workflows.load import shown
from workflows.stages import HASH, MANIFEST, read_json, record

SCORES = "score.table"


@dataclass(frozen=True, kw_only=True)
class Row:
    """A row of a score table, and the stage with its score, below the store."""

    recipe: str
    system: str
    set: str
    folder: str

    @property
    def text(self) -> str:
        """Its first columns."""
        return f"{self.recipe} {self.system} {self.set}"


def locate(path: Path) -> tuple[Path, str]:
    """Return the store and the stage's folder below it, of a table, a link or an artifact.

    Raises JobError for what no stage has made.
    """
    table = _table(path)
    if table is not None:
        return table
    real = path.resolve()
    for folder in (real, *real.parents):
        if HASH.fullmatch(folder.name) and record(folder):
            return folder.parents[1], f"{folder.parent.name}/{folder.name}"
    what = "nothing finished" if path.exists() else "nothing"
    near = nearest(path.name, [p.name for p in path.parent.glob("*")])
    raise JobError(f"{path}: found {what}, needed a table or what a stage made{near}")


def _table(path: Path) -> tuple[Path, str] | None:
    """Return the stage that made a copy of a table, as the selection beside it says."""
    selection = read_json(path.parent / "recipes.json")
    if (
        path.name != "wer.txt"
        or selection is None
        or path.resolve().parent != path.parent.resolve()
    ):
        return None
    store = Path(os.path.normpath(path.parent / str(selection.get("store", "../work"))))
    folders = [str(selection["table"]).rpartition("/")[0]]
    folders += [str(f.relative_to(store)) for f in sorted(store.glob(f"{SCORES}/*"))]
    for folder in folders:
        made = store / folder / "wer.txt"
        if path.is_file() and made.is_file() and made.read_bytes() == path.read_bytes():
            return store, folder
    raise JobError(f"{path}: found another table than any in {shown(store)}; run the recipes again")


def rows(store: Path, folder: str) -> list[Row]:
    """Return the rows of a table; none of any other stage."""
    known = record(store / folder) or {}
    if known.get("job") != SCORES:
        return []
    found = zip(known["params"]["rows"], known["inputs"]["scores"], strict=True)
    return [
        Row(recipe=r["recipe"], system=r["system"], set=r["set"], folder=str(Path(path).parent))
        for r, path in found
    ]


def choose(found: Sequence[Row], wanted: str) -> Row:
    """Return the row of a number (from 1) or of words in it.

    Raises JobError for none or several.
    """
    if wanted.isdecimal() and 1 <= int(wanted) <= len(found):
        return found[int(wanted) - 1]
    exact = [row for row in found if row.text == wanted]
    matching = exact or [r for r in found if all(w in r.text.split() for w in wanted.split())]
    if len(matching) == 1:
        return matching[0]
    listed = "\n".join(f"  {i}  {row.text}" for i, row in enumerate(found, 1))
    what = f"{len(matching)} rows" if matching else "no row"
    raise JobError(f"row {wanted!r}: found {what}, needed a number or words of one:\n{listed}")


def chain(store: Path, folders: Sequence[str]) -> list[dict[str, Any]]:
    """Return the manifests of stages and of all that they were made from, sources first.

    Raises JobError where one is missing.
    """
    found: dict[str, dict[str, Any]] = {}
    waiting = [(folder, False) for folder in reversed(folders)]
    while waiting:
        folder, ready = waiting.pop()
        if folder in found:
            continue
        known = record(store / folder)
        if known is None:
            raise JobError(
                f"{shown(store / folder)}: found no {MANIFEST}; it was removed, or moved"
            )
        if ready:
            found[folder] = known
        else:
            waiting.append((folder, True))
            waiting += [(source, False) for source in reversed(sources(known))]
    return list(found.values())


def sources(known: Mapping[str, Any]) -> list[str]:
    """Return the folders of the stages that a stage read."""
    values = [v if isinstance(v, list) else [v] for v in known["inputs"].values() if v]
    return list(dict.fromkeys(str(Path(p).parent) for value in values for p in value))


def shards_of(known: Mapping[str, Any], store: Path) -> list[dict[str, Any]]:
    """Return the records of the shards that a stage was put together from, where they are there."""
    found = (record(store / folder) for folder in known.get("shards", []))
    return [shard for shard in found if shard]


def seconds_of(known: Mapping[str, Any], store: Path) -> float:
    """Return the seconds that a stage took, with its shards, as if one came after the other."""
    return sum(float(part["seconds"]) for part in [known, *shards_of(known, store)])


def memory_of(known: Mapping[str, Any], store: Path) -> int:
    """Return the bytes of memory that a stage took at most, or one of its shards."""
    return 2**20 * max(int(part["peak_memory_mib"]) for part in [known, *shards_of(known, store)])


def devices_text(known: Mapping[str, Any]) -> str:
    """Return what a stage ran on; GPUs are unknown of stages that were done long ago."""
    gpus = known.get("gpus", 0)
    gpus_text = f", {gpus} GPU{'s' * (gpus > 1)}" if gpus else ""
    return f"{known['threads']} thread{'s' * (known['threads'] > 1)}{gpus_text}, {known['host']}"


def differing(known: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return the parameters of a manifest: those that differ from the defaults, and the others."""
    try:
        kind = load_job(known["job"]).Params
    except JobError:  # a job that there is no more
        return dict(known["params"]), {}
    differ: dict[str, Any] = {}
    same: dict[str, Any] = {}
    for key, value, default in _leaves(known["params"], _defaults(kind), kind, ""):
        (same if value == default else differ)[key] = value
    return differ, same


_NONE = object()  # no default


def _defaults(kind: Any) -> dict[str, Any]:
    """Return the defaults of a dataclass's fields, as JSON values."""
    found = {}
    for field in dataclasses.fields(kind):
        if field.default is not dataclasses.MISSING:
            found[field.name] = to_json(field.default)
        elif field.default_factory is not dataclasses.MISSING:
            found[field.name] = to_json(field.default_factory())
    return found


def _leaves(
    params: Mapping[str, Any], defaults: Mapping[str, Any], kind: Any, path: str
) -> Iterator[tuple[str, Any, Any]]:
    """Yield name, value and default of each parameter; dataclasses within them, by their fields."""
    hints = typing.get_type_hints(kind)
    for key, value in params.items():
        hint, default = hints.get(key), defaults.get(key, _NONE)
        if dataclasses.is_dataclass(hint) and isinstance(value, dict):
            inner = default if isinstance(default, dict) else _defaults(hint)
            yield from _leaves(value, inner, hint, f"{path}{key}.")
        else:
            yield f"{path}{key}", value, default
