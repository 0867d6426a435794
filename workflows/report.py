"""What a report of recipes is made of: the files of their stages, wherever they are in the store."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from jobs.job import CHECKPOINTS, JobError
from jobs.report import evidence
from workflows.chain import differing
from workflows.cli.overview import description, stage_state
from workflows.cli.sizes import bytes_text, time_text
from workflows.graph import Node, Output
from workflows.plan import Plan
from workflows.stages import ERROR, disk_use, record

LONG = 300  # characters of a parameter's value that are shown


def collect(plan: Plan, store: Path) -> list[evidence.Evidence]:
    """Return what is known of each recipe of a plan, also of one that has not run, or not to the
    end.
    """
    return [_recipe(plan, name, store) for name in plan.recipes]


def _recipe(plan: Plan, name: str, store: Path) -> evidence.Evidence:
    nodes = plan.stages[name]
    of_job = {
        job: {stage: node for stage, node in nodes.items() if node.job.NAME == job}
        for job in {node.job.NAME for node in nodes.values()}
    }

    def stages(job: str) -> Mapping[str, Node]:
        return of_job.get(job, {})

    def output(node: Node, key: str) -> Path:
        return store / Output(node=node, name=key).path

    def read(node: Node, key: str) -> Path | None:
        found = node.inputs.get(key)
        return store / found.path if isinstance(found, Output) else None

    trainings = stages("train.network").items()
    return evidence.Evidence(
        name=name,
        about=description(plan.files[name]),
        stages=tuple(_stage(stage, node, nodes, store) for stage, node in nodes.items()),
        systems=tuple(
            evidence.System(
                recipe=name,
                name=score.system,
                set=score.set,
                stage=score.stage,
                score=output(nodes[score.stage], "score"),
                corpus=read(nodes[score.stage], "corpus"),
                hypotheses=read(nodes[score.stage], "hypotheses"),
            )
            for score in plan.recipes[name].scores
        ),
        trainings=tuple(
            evidence.Training(
                stage=stage,
                scores=output(node, "scores"),
                progress=store / node.folder / CHECKPOINTS / "latest" / "progress.json",
            )
            for stage, node in trainings
        ),
        tunings=tuple(
            evidence.Tuning(stage=stage, table=output(node, "table"))
            for stage, node in stages("search.tune").items()
        ),
        times=tuple(
            evidence.Times(stage=stage, corpus=corpus, textgrid=output(node, "textgrid"))
            for stage, node in stages("align.export").items()
            if (corpus := read(node, "corpus"))
        ),
        made_with=_made_with([node for node in nodes.values()], store),
    )


def _stage(name: str, node: Node, nodes: Mapping[str, Node], store: Path) -> evidence.Stage:
    folder = store / node.folder
    state = stage_state(node, store)
    known: dict[str, Any] = record(folder) or {}
    sources = {source.node.folder for source in node.sources}
    error = folder / ERROR
    memory = known.get("peak_memory_mib")
    return evidence.Stage(
        name=name,
        job=node.job.NAME,
        folder=node.folder,
        state=state,
        reads=tuple(n for n, other in nodes.items() if other.folder in sources),
        time=time_text(known["seconds"]) if "seconds" in known else "",
        memory="" if memory is None else bytes_text(memory * 2**20),
        disk=bytes_text(disk_use(folder)) if folder.exists() else "",
        started=known.get("started", ""),
        command=known.get("command", ""),
        params={k: _shortened(v) for k, v in differing(known)[0].items()} if known else {},
        error=error.read_text("utf-8") if state == "failed" and error.is_file() else "",
    )


def _shortened(value: Any) -> str:
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= LONG else f"{text[:LONG]}... ({len(text)} characters)"


def _made_with(nodes: list[Node], store: Path) -> dict[str, str]:
    """Return the software and the commit of finished stages; of several values, all."""
    found: dict[str, dict[str, None]] = {}
    for node in nodes:
        known = record(store / node.folder) or {}
        commit = known.get("project", {}).get("commit")
        dirty = " with changes" if known.get("project", {}).get("dirty") else ""
        values = {
            **known.get("versions", {}),
            **({"commit": f"{commit:.12}{dirty}"} if commit else {}),
        }
        for key, value in values.items():
            found.setdefault(key, {})[value] = None
    return {key: " and ".join(values) for key, values in found.items()}
