"""What each plan needs of a store: written there, so that nobody removes what another needs."""

from __future__ import annotations

import getpass
import hashlib
import json
import os
import platform
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from jobs.job import JobError, outputs_of
from jobs.typed_json import from_json, to_json
from recipes.recipe import Keep
from workflows.graph import Node
from workflows.load import shown
from workflows.plan import Plan
from workflows.stages import read_json

FOLDER = ".plans"


@dataclass(frozen=True, kw_only=True)
class PlannedStage:
    """folder, reads: below the store. release: outputs that go once all that reads them is done."""

    folder: str
    reads: tuple[str, ...] = ()
    release: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Planned:
    """The newest plan of a recipe in one folder of results.

    file: the recipe's. user, host, time: who planned it, where, and when.
    """

    recipe: str
    file: str
    results: str
    user: str
    host: str
    time: str
    stages: dict[str, PlannedStage]

    @property
    def name(self) -> str:
        """The name of its file: one for each recipe and folder of results."""
        digest = hashlib.sha256(f"{self.results}\n{self.recipe}".encode()).hexdigest()[:8]
        return f"{self.recipe}-{self.user}-{digest}"

    def needs(self) -> set[str]:
        """Return the folders of its stages."""
        return {stage.folder for stage in self.stages.values()}


def planned(plan: Plan, results: Path) -> list[Planned]:
    """Return what each recipe of a plan needs; the score table is one of its stages."""
    table = PlannedStage(folder=plan.table.folder, reads=tuple(sorted(plan.table.reads)))
    return [
        Planned(
            recipe=name,
            file=str(plan.files[name]),
            results=str(results.resolve()),
            user=_user(),
            host=platform.node(),
            time=datetime.now(UTC).isoformat(timespec="seconds"),
            stages={**_stages(plan, name), "score table": table},
        )
        for name in plan.stages
    ]


def lasting(plan: Plan) -> list[str]:
    """Return the folders of the stages that are there once all are done: without what goes."""
    stages = [stage for p in planned(plan, Path()) for stage in p.stages.values()]
    read = {folder for stage in stages for folder in stage.reads}
    going = {stage.folder for stage in stages if stage.release} & read
    return [folder for folder in plan.nodes if folder not in going]


def _stages(plan: Plan, recipe: str) -> dict[str, PlannedStage]:
    """Return the stages of a recipe, and shards, which are of no use once they are together."""
    found = {}
    for name, node in plan.stages[recipe].items():
        for shard in plan.nodes[node.folder].shards:
            place = f"{name} {shard.shard.index + 1}/{shard.shard.count}"
            found[place] = _stage(shard, "until_used")
        found[name] = _stage(plan.nodes[node.folder], plan.recipes[recipe].stages[name].keep)
    return found


def _stage(node: Node, keep: Keep) -> PlannedStage:
    names = outputs_of(node.job)
    policies = keep if isinstance(keep, Mapping) else dict.fromkeys(names, keep)
    used = tuple(str(names[n]) for n, policy in policies.items() if policy == "until_used")
    return PlannedStage(folder=node.folder, reads=tuple(sorted(node.reads)), release=used)


def _user() -> str:
    """Return the user's name, as a file name may have it."""
    try:
        name = getpass.getuser()
    except (OSError, KeyError):  # no entry for the user, as in some containers
        name = str(os.getuid())
    return re.sub(r"[^A-Za-z0-9_.-]", "_", name)


def alive_path(store: Path, plan: Planned) -> Path:
    """Return the file that a run of a plan holds a lock on."""
    return store / FOLDER / f"{plan.name}.lock"


def read_plans(store: Path) -> dict[str, Planned]:
    """Return all plans in a store by the names of their files.

    Raises JobError for one that cannot be read: what it needs is not known.
    """
    found = {}
    for path in sorted((store / FOLDER).glob("*.json")):
        value = read_json(path)
        if value is None:
            raise JobError(f"{shown(path)}: found no plan of a recipe; mend it, or remove it")
        found[path.stem] = from_json(Planned, value, shown(path))
    return found


def check_names(plans: list[Planned], store: Path) -> None:
    """Raise JobError where another file had the name of a recipe in the same folder of results."""
    for ours in plans:
        value = read_json(store / FOLDER / f"{ours.name}.json") or {}
        other = str(value.get("file", ours.file))
        if other != ours.file and Path(other).is_file():
            raise JobError(
                f"two recipes have the name {ours.recipe!r}: {shown(other)}, whose results are in"
                f" {shown(ours.results)}, and {shown(ours.file)}; rename one"
            )


def changed(ours: Planned, store: Path) -> str | None:
    """Return the text of a plan for its file; None where the file says the same already."""
    value = to_json(ours)
    old = read_json(store / FOLDER / f"{ours.name}.json") or {}
    if {**old, "time": "", "host": ""} == {**value, "time": "", "host": ""}:
        return None
    return json.dumps(value, indent=1, ensure_ascii=False) + "\n"
