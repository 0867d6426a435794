"""The plan of a run: stages shared, and a table of all scores."""

from __future__ import annotations

from pathlib import Path

import pytest

from jobs.job import JobError
from workflows.plan import make_plan

HEAD = "from recipes.recipe import Recipe, Score, Stage\n"
UNITS = "Stage(job='score.table', inputs={'scores': ()}, params={'rows': []})"


def write(folder: Path, name: str, body: str) -> str:
    """Write a recipe and return its path."""
    path = folder / f"{name}.py"
    path.write_text(f"{HEAD}RECIPE = Recipe(name={name!r}, {body})\n")
    return str(path)


def test_recipes_share_stages_that_are_the_same(tmp_path: Path) -> None:
    one = write(tmp_path, "one", f"stages={{'t': {UNITS}}}")
    two = write(tmp_path, "two", f"stages={{'u': {UNITS}, 'v': {UNITS}}}")
    plan = make_plan([one, two])
    assert plan.stages["one"]["t"].hash == plan.stages["two"]["u"].hash
    node = plan.nodes[plan.stages["two"]["v"].folder]
    assert node.name == "one/t"
    assert plan.jobs == ["score.table"]


def test_mistakes_in_all_recipes_are_told_at_once(tmp_path: Path) -> None:
    one = write(tmp_path, "one", "stages={'t': Stage(job='score.tabel')}")
    two = write(tmp_path, "two", "stages={'u': Stage(job='featrues.extract')}")
    with pytest.raises(JobError) as caught:
        make_plan([one, two])
    first, second = str(caught.value).splitlines()
    assert first.endswith(
        "one.py:2: stage 't': unknown job 'score.tabel'; did you mean 'score.table'?"
    )
    assert "two.py:2: stage 'u': unknown job 'featrues.extract'; did you mean" in second


def test_no_recipe_at_all() -> None:
    with pytest.raises(JobError, match="recipes: found none, needed at least one"):
        make_plan([])
