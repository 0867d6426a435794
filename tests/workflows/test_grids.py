"""A recipe that spans parameters, from its plan to the table."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from test_snakefile import started

from jobs.job import JobError
from workflows.plan import make_plan

if TYPE_CHECKING:
    from conftest import Toy

TINY = """
from recipes import tiny
from recipes.grid import grid

def at(rate, seed):
    options = {"learning_rate": rate, "seed": seed}
    return tiny.RECIPE.replace("point", transducer={"options": options})

RECIPE = grid("rates", at, rate=(2e-3, 4e-3), seed=(1, 2))
"""

COMPARE = '''
"""A comparison."""
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from jobs.files import written
from jobs.job import Resources, file

NAME = "score.compare"
VERSION = 1

@dataclass(frozen=True, kw_only=True)
class Inputs:
    scores: tuple[Path, ...]

@dataclass(frozen=True, kw_only=True)
class Outputs:
    table: Path = file("comparison.txt")

@dataclass(frozen=True, kw_only=True)
class Params:
    rows: tuple[Any, ...]
    over: tuple[str, ...]

def resources(params):
    return Resources()

def run(inputs, outputs, params, log):
    with written(outputs.table) as tmp:
        tmp.write_text(f"{len(inputs.scores)} scores\\n")
'''

TOY = """
from recipes.grid import grid

def at(text, seed):
    return Recipe(
        name="point",
        stages={
            "a": Stage(job="toy.write", params={"text": "A"}),
            "b": Stage(job="toy.write", inputs={"parts": ("a.text",)}, params={"text": text}),
            "c": Stage(job="toy.write", inputs={"parts": ("b.text",)}, params={"text": str(seed)}),
        },
        scores=(Score(system="CTC", set="test", stage="c"),),
    )

RECIPE = grid("commands", at, text=("x", "y"), seed=(1, 2))
"""


def test_a_point_shares_all_stages_with_the_recipe_that_it_is(tmp_path: Path) -> None:
    path = tmp_path / "rates.py"
    path.write_text(TINY)
    plan = make_plan(["tiny", str(path)])
    alone, spanned = plan.stages["tiny"], plan.stages["rates"]
    assert spanned["ctc"].folder == alone["ctc"].folder  # no axis changes it
    at_defaults = spanned["transducer,rate=0.002,seed=1"]
    assert at_defaults.folder == alone["transducer"].folder
    others = [n for n in spanned.values() if n.job.NAME == "train.network"]
    assert len({node.folder for node in others}) == 4 + 2  # transducers; CTC and language model
    assert plan.table.inputs["comparisons"][0].node is spanned["comparison"]
    rows = [row.system for row in plan.table.params.rows if row.recipe == "rates"]
    assert len(rows) == 1 + 3 * 4 and "CTC greedy" in rows
    assert "transducer + LM rate=0.004 seed=2" in rows


def test_a_comparison_that_there_is_not(tmp_path: Path) -> None:
    path = tmp_path / "mine.py"
    text = "from recipes.recipe import Recipe, Stage\nRECIPE = Recipe(name='mine', stages={}{})\n"
    path.write_text(text.format("{}", ", comparison='compare'"))
    with pytest.raises(JobError, match=r"mine.py:2: comparison: found stage 'compare', which the"):
        make_plan([str(path)])
    stage = "{'compare': Stage(job='units.encode')}"
    path.write_text(text.format(stage, ", comparison='compare'"))
    message = "comparison: found stage 'compare', a units.encode, which has no output 'table'; try"
    with pytest.raises(JobError, match=message):
        make_plan([str(path)])


def test_the_table_needs_the_comparison_and_only_what_differs_runs(toy: Toy) -> None:
    (toy.root / "jobs" / "score" / "compare.py").write_text(COMPARE)
    source = Path(__file__).parents[2] / "recipes" / "grid.py"
    (toy.root / "recipes" / "grid.py").write_text(source.read_text())
    path = toy.recipe("commands", "")
    path.write_text(re.sub("RECIPE = .*\n", TOY, path.read_text()))
    done = toy.snakemake("results/wer.txt")
    assert done.returncode == 0, done.stdout
    names = [f"commands/c,text={text},seed={seed}" for text in "xy" for seed in (1, 2)]
    middle = ["commands/b,text=x", "commands/b,text=y"]
    all_of_them = ["commands/a", *middle, *names, "commands/comparison", "score table"]
    assert started(done.stdout) == sorted(all_of_them)
    assert (toy.root / "results" / "wer.txt").read_text().endswith("\n4 scores\n")
    link = toy.root / "results" / "commands" / "c,text=y,seed=2"
    assert (link / "text.txt").read_text() == "A\ny\n2\n"
    assert (toy.root / "results/commands/comparison/comparison.txt").read_text() == "4 scores\n"
    path.write_text(path.read_text().replace("seed=(1, 2)", "seed=(1, 2, 3)"))
    again = toy.snakemake("results/wer.txt")
    new = ["commands/c,text=x,seed=3", "commands/c,text=y,seed=3"]
    assert started(again.stdout) == sorted([*new, "commands/comparison", "score table"])
    said = toy.cli("explain", "results/wer.txt", "CTC text=y seed=3").stdout
    assert "commands/c,text=y,seed=3: toy.write" in said
