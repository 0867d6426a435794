"""What plans leave in a store, so that others know what is needed."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from conftest import Toy

PLAN = (
    "from pathlib import Path; from workflows.plan import make_plan\n"
    "from workflows.store import write_plan; from jobs.job import JobError\n"
    "try: write_plan(make_plan([{name!r}]), Path('work'), Path('results'))\n"
    "except JobError as error: print(error)"
)


def test_a_plan_says_whose_it_is_and_what_it_needs(toy: Toy) -> None:
    path = toy.recipe("mine", toy.stages, toy.score)
    folders = toy.plan("mine")
    (file,) = (toy.root / "work" / ".plans").glob("*.json")
    said = json.loads(file.read_text())
    below = {name: str(folder.relative_to(toy.root / "work")) for name, folder in folders.items()}
    assert said["recipe"] == "mine" and said["file"] == str(path) and said["user"] and said["host"]
    assert said["results"] == str(toy.root / "results")
    assert {name: s["folder"] for name, s in said["stages"].items() if name in below} == below
    assert said["stages"]["b"]["reads"] == [below["a"]]
    toy.recipe("mine", toy.stages.replace("'A'", "'B'"))
    toy.plan("mine")
    assert len(list((toy.root / "work" / ".plans").glob("*.json"))) == 1


def test_two_recipes_of_one_name_never_share_a_folder_of_results(toy: Toy) -> None:
    toy.recipe("mine", toy.stages)
    toy.plan("mine")
    other = toy.root / "elsewhere"
    other.mkdir()
    text = (toy.root / "recipes" / "mine.py").read_text()
    (toy.root / "recipes" / "mine.py").rename(toy.root / "other_mine.py")
    (other / "mine.py").write_text(text)
    assert toy.python(PLAN.format(name="elsewhere/mine.py")).stdout == ""  # the first is gone
    (toy.root / "other_mine.py").rename(toy.root / "recipes" / "mine.py")
    said = toy.python(PLAN.format(name="mine")).stdout
    assert said == (
        "two recipes have the name 'mine': elsewhere/mine.py, whose results are in results, and"
        " recipes/mine.py; rename one\n"
    )


def test_a_file_that_is_no_plan_stops_those_who_would_remove(toy: Toy) -> None:
    toy.recipe("mine", toy.stages)
    toy.plan("mine")
    (toy.root / "work" / ".plans" / "x.json").write_text("{")
    done = toy.cli("gc", "--remove")
    message = "work/.plans/x.json: found no plan of a recipe; mend it, or remove it\n"
    assert done.returncode == 1 and done.stderr == message
