"""What a run would do, before it does it: stages, files, memory and disk."""

from __future__ import annotations

import dataclasses
import graphlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from jobs.job import Expected, JobError, outputs_of
from jobs.typed_json import to_json
from workflows.graph import Node, Output, placed
from workflows.plan import Plan
from workflows.plans import lasting
from workflows.reasons import Reasons
from workflows.stages import disk_use, finished


@dataclass(frozen=True, kw_only=True)
class Step:
    """A stage that would run, and why.

    bytes: that it is expected to write; None where nothing is known. mem_mb: that it asks for.
    peak_mib: what a stage of that name took before.
    """

    node: Node
    why: str
    bytes: int | None
    mem_mb: int
    peak_mib: int | None


def steps(plan: Plan, store: Path, data: str | None, *, whole: bool = False) -> list[Step]:
    """Return the stages that a run would run, each after those that it reads.

    whole: of all of the plan, instead of what the table of scores needs. Raises JobError where a
    network does not fit the data that it will get, or external files are missing: one line for each
    mistake.
    """
    expected, errors = expectations(plan, data)
    errors += list(missing_files(plan, data))
    if errors:
        raise JobError("\n".join(errors))
    reasons = Reasons(store)
    targets = lasting(plan) if whole else [plan.table.folder]
    run = _unfinished(plan, store, targets)
    found = []
    for node in _order(plan):
        if node.folder in run:
            before = reasons.before(node)
            found.append(
                Step(
                    node=node,
                    why=reasons.why(node),
                    bytes=_bytes(node, expected[node.folder], before, store),
                    mem_mb=node.resources.mem_mb,
                    peak_mib=before.get("peak_memory_mib"),
                )
            )
    return found


def _unfinished(plan: Plan, store: Path, targets: list[str]) -> set[str]:
    """Return the stages that are not done, of targets and of what the stages found read."""
    found: set[str] = set()
    waiting = list(targets)
    while waiting:
        node = plan.nodes[waiting.pop()]
        done = finished(store / node.folder, map(str, outputs_of(node.job).values()))
        if not done and node.folder not in found:
            found.add(node.folder)
            waiting += node.reads
    return found


def _order(plan: Plan) -> list[Node]:
    sources = {folder: set(node.reads) for folder, node in plan.nodes.items()}
    return [plan.nodes[folder] for folder in graphlib.TopologicalSorter(sources).static_order()]


def expectations(plan: Plan, data: str | None) -> tuple[dict[str, dict[str, Expected]], list[str]]:
    """Return what is known of outputs (folder -> output -> what), and what does not fit."""
    found: dict[str, dict[str, Expected]] = {}
    errors = []
    for node in _order(plan):
        if not node.shard.whole:
            continue
        inputs = {
            name: found[value.node.folder].get(value.name, Expected())
            for name, value in node.inputs.items()
            if isinstance(value, Output)
        }
        found[node.folder] = {}
        if hasattr(node.job, "expected"):
            try:
                found[node.folder] = node.job.expected(placed(node.params, data), inputs)
            except JobError as error:
                errors.append(f"{node.name}: {error}")
        for shard in node.shards:
            found[shard.folder] = {
                name: dataclasses.replace(e, bytes=e.bytes // len(node.shards))
                for name, e in found[node.folder].items()
            }
    return found, errors


def _bytes(
    node: Node, expected: Mapping[str, Expected], before: Mapping[str, Any], store: Path
) -> int | None:
    """Return the size that the job tells, or that the stage of this name had before."""
    told = sum(e.bytes for e in expected.values())
    if told:
        return told
    return disk_use(store / before["job"] / before["hash"]) if before else None


def missing_files(plan: Plan, data: str | None) -> Iterator[str]:
    """Yield a line for each file or folder outside the store that a recipe names and that is not.

    Only what the recipe itself names: a default may be of no use where there is another input.
    """
    for recipe in plan.recipes.values():
        for name, stage in recipe.stages.items():
            params = plan.stages[recipe.name][name].params
            known = {f.name for f in dataclasses.fields(params)}
            for key in sorted(known & stage.params.keys()):
                value = to_json(getattr(placed(params, data), key))
                if isinstance(value, str) and _is_place(stage.params[key]):
                    if "{data}" in value:
                        yield f"{recipe.name}/{name}: {key}: {value}: needed --data FOLDER"
                    elif not Path(value).exists():
                        yield f"{recipe.name}/{name}: {key}: found no {value}"


def _is_place(value: Any) -> bool:
    return isinstance(value, str) and value.startswith(("{data}", "/")) and "\n" not in value
