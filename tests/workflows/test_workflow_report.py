"""What a report of a recipe is made of."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from workflows.plan import Plan, make_plan, report_page
from workflows.report import LONG, collect
from workflows.stages import ERROR, LOG, MANIFEST
from workflows.store import spec

RUN = {
    "command": "python -m workflows.run_job x",
    "started": "2026-01-01T00:00:00+00:00",
    "seconds": 90.0,
    "peak_memory_mib": 100,
}
SOFTWARE = {
    "versions": {"python": "3.11"},
    "project": {"commit": "0123456789abcdef", "dirty": True},
}


@pytest.fixture(scope="module")
def plan() -> Plan:
    """That of the recipe `tiny`."""
    return make_plan(["tiny"])


def finish(plan: Plan, stage: str, store: Path, **changes: object) -> Path:
    """Write what a finished stage leaves; return its folder."""
    node = plan.stages["tiny"][stage]
    known = json.loads(spec(node))
    for name in known["outputs"].values():
        path = store / node.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"x" * 1000)
    manifest = store / node.folder / MANIFEST
    manifest.write_text(json.dumps({**known, **RUN, **SOFTWARE, **changes}))
    return manifest.parent


def test_files_of_a_recipe_that_has_not_run(plan: Plan, tmp_path: Path) -> None:
    (found,) = collect(plan, tmp_path)
    assert found.name == "tiny" and found.page == report_page("tiny")
    assert found.about.startswith("The whole chain in two minutes")
    assert {s.state for s in found.stages} == {"new"} and found.made_with == {}
    assert [s.name for s in found.stages] == [*plan.stages["tiny"]]
    systems = [(s.name, s.set, s.stage) for s in found.systems]
    assert systems[0] == ("CTC greedy", "test", "score_ctc") and len(systems) == 4
    assert [t.stage for t in found.trainings] == ["ctc", "transducer", "lm"]
    assert [t.stage for t in found.tunings] == ["tune"]
    assert [t.stage for t in found.times] == ["times_ctc", "times_transducer"]
    assert found.attention == ()


def test_the_comparison_of_a_grid(plan: Plan, tmp_path: Path) -> None:
    assert collect(plan, tmp_path)[0].comparison is None
    recipe = tmp_path / "grown.py"
    recipe.write_text(
        "from recipes import tiny\nfrom recipes.grid import grid\n"
        "RECIPE = grid('grown', lambda units: tiny.RECIPE, units=(1,))\n"
    )
    grown = make_plan([str(recipe)])
    (found,) = collect(grown, tmp_path)
    folder = tmp_path / grown.stages["grown"]["comparison"].folder
    assert found.comparison
    assert found.comparison.table == folder / "comparison.txt"
    assert found.comparison.plot == folder / "comparison.svg"


def test_files_are_those_that_stages_make(plan: Plan, tmp_path: Path) -> None:
    (found,) = collect(plan, tmp_path)

    def made(stage: str, name: str) -> Path:
        return tmp_path / plan.stages["tiny"][stage].folder / name

    system, training = found.systems[0], found.trainings[0]
    assert system.score == made("score_ctc", "score.json")
    assert system.corpus == made("check_test", "corpus.jsonl")
    assert system.hypotheses == made("search_ctc", "hypotheses.jsonl")
    assert training.scores == made("ctc", "scores.json")
    assert training.progress == made("ctc", "checkpoints/latest/progress.json")
    assert found.tunings[0].table == made("tune", "table.txt")
    assert found.times[0].corpus == made("check_dev", "corpus.jsonl")
    assert found.times[0].textgrid == made("times_ctc", "textgrid")


def test_a_stage_that_is_done(plan: Plan, tmp_path: Path) -> None:
    finish(plan, "corpus", tmp_path)
    finish(plan, "ctc", tmp_path)
    (found,) = collect(plan, tmp_path)
    stages = {s.name: s for s in found.stages}
    corpus, ctc = stages["corpus"], stages["ctc"]
    assert corpus.folder == plan.stages["tiny"]["corpus"].folder
    assert (corpus.state, corpus.time, corpus.memory) == ("finished", "2 min", "105 MB")
    assert corpus.disk.endswith(" kB") and corpus.command == RUN["command"]
    assert corpus.params["train.utterances"] == "400" and "sample_rate" not in corpus.params
    network = ctc.params["network"]
    assert len(network) < LONG + 40 and network.endswith(" characters)")
    assert ctc.reads == (
        "features_train",
        "targets_train",
        "features_dev",
        "targets_dev",
        "statistics",
        "check_fit",
    )
    assert found.made_with == {"python": "3.11", "commit": "0123456789ab with changes"}


def test_software_that_differs_between_stages(plan: Plan, tmp_path: Path) -> None:
    finish(plan, "corpus", tmp_path)
    finish(plan, "ctc", tmp_path, versions={"python": "3.12"}, project={"commit": None})
    (found,) = collect(plan, tmp_path)
    assert found.made_with["python"] == "3.11 and 3.12"
    assert found.made_with["commit"] == "0123456789ab with changes"


def test_a_stage_that_failed(plan: Plan, tmp_path: Path) -> None:
    folder = tmp_path / plan.stages["tiny"]["corpus"].folder
    folder.mkdir(parents=True)
    (folder / ERROR).write_text("corpus: found no voices\n")
    (folder / LOG).write_text("")
    (found,) = collect(plan, tmp_path)
    stage = next(s for s in found.stages if s.name == "corpus")
    assert (stage.state, stage.error) == ("failed", "corpus: found no voices\n")
