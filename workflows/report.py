"""What a report of recipes is made of: the files of their stages in the store."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from jobs.job import CHECKPOINTS, outputs_of
from jobs.report import evidence
from recipes.recipe import Score
from workflows.chain import differing, shards_of
from workflows.cli.overview import description, measured, stage_state
from workflows.graph import Node, Output
from workflows.plan import Plan, report_page
from workflows.stages import ERROR, record

LONG = 300  # characters of a parameter's value that are shown


def collect(plan: Plan, store: Path) -> list[evidence.Evidence]:
    """Return what is known of each recipe of a plan, also of one that has not run to its end."""
    return [_recipe(plan, name, store) for name in plan.recipes]


def _recipe(plan: Plan, name: str, store: Path) -> evidence.Evidence:
    nodes = plan.stages[name]
    records = {stage: record(store / node.folder) or {} for stage, node in nodes.items()}

    def stages(job: str) -> list[tuple[str, Node]]:
        return [(stage, node) for stage, node in nodes.items() if job == node.job.NAME]

    return evidence.Evidence(
        name=name,
        about=description(plan.files[name]),
        page=report_page(name),
        stages=tuple(
            _stage(stage, node, nodes, records[stage], store) for stage, node in nodes.items()
        ),
        systems=tuple(
            _system(name, score, nodes[score.stage], store) for score in plan.recipes[name].scores
        ),
        trainings=tuple(
            evidence.Training(
                stage=stage,
                scores=_output(node, "scores", store),
                progress=store / node.folder / CHECKPOINTS / "latest" / "progress.json",
            )
            for stage, node in stages("train.network")
        ),
        tunings=tuple(
            evidence.Tuning(stage=stage, table=_output(node, "table", store))
            for stage, node in stages("search.tune")
        ),
        times=tuple(
            evidence.Times(stage=stage, corpus=corpus, textgrid=_output(node, "textgrid", store))
            for stage, node in stages("align.export")
            if (corpus := _input(node, "corpus", store))
        ),
        attention=tuple(
            evidence.Attention(stage=stage, weights=_output(node, "weights", store))
            for stage, node in stages("align.attention")
        ),
        comparison=_comparison(plan, name, store),
        made_with=_made_with(records.values()),
    )


def _comparison(plan: Plan, name: str, store: Path) -> evidence.Grid | None:
    """Return the comparison of a grid; None for other recipes."""
    stage = plan.recipes[name].comparison
    if stage is None:
        return None
    node = plan.stages[name][stage]
    plot = _output(node, "plot", store) if "plot" in outputs_of(node.job) else None
    return evidence.Grid(table=_output(node, "table", store), plot=plot)


def _system(recipe: str, score: Score, node: Node, store: Path) -> evidence.System:
    return evidence.System(
        recipe=recipe,
        name=score.system,
        set=score.set,
        stage=score.stage,
        score=_output(node, "score", store),
        corpus=_input(node, "corpus", store),
        hypotheses=_input(node, "hypotheses", store),
    )


def _output(node: Node, name: str, store: Path) -> Path:
    return store / Output(node=node, name=name).path


def _input(node: Node, name: str, store: Path) -> Path | None:
    """Return the file of an input; None for one that is not given, or not one file."""
    found = node.inputs.get(name)
    return store / found.path if isinstance(found, Output) else None


def _stage(
    name: str, node: Node, nodes: Mapping[str, Node], known: Mapping[str, Any], store: Path
) -> evidence.Stage:
    state = stage_state(node, store)
    sources = {source.node.folder for source in node.sources}
    time, memory, disk = measured(node, known, store)
    errors = [store / part.folder / ERROR for part in (node, *node.shards)]
    commands = [part.get("command", "") for part in (*shards_of(known, store), known)]
    return evidence.Stage(
        name=name,
        job=node.job.NAME,
        folder=node.folder,
        state=state,
        reads=tuple(n for n, other in nodes.items() if other.folder in sources),
        time=time,
        memory=memory,
        disk=disk,
        started=known.get("started", ""),
        command="\n".join(commands),
        params={k: _shortened(v) for k, v in differing(known)[0].items()} if known else {},
        error="".join(_texts(errors)) if state == "failed" else "",
    )


def _texts(paths: Iterable[Path]) -> list[str]:
    """Return the texts of those files that are there."""
    return [path.read_text("utf-8", "replace") for path in paths if path.is_file()]


def _shortened(value: Any) -> str:
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= LONG else f"{text[:LONG]}... ({len(text)} characters)"


def _made_with(records: Iterable[Mapping[str, Any]]) -> dict[str, str]:
    """Return the software and the commit of finished stages; of several values, all."""
    found: dict[str, dict[str, None]] = {}
    for known in records:
        project = known.get("project", {})
        commit = project.get("commit") and f"{project['commit']:.12}"
        values = {**known.get("versions", {}), "commit": commit}
        if commit and project.get("dirty"):
            values["commit"] = f"{commit} with changes"
        for key, value in values.items():
            if value:
                found.setdefault(key, {})[value] = None
    return {key: " and ".join(values) for key, values in found.items()}
