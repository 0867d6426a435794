"""What a plan writes: specifications, links, and nothing that is there already."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from conftest import Toy

STAGES = """
'a': Stage(job='toy.write', params={'text': 'A'}),
'b': Stage(job='toy.write', inputs={'parts': ('a.text',), 'extra': 'a.score'}),
"""


def test_a_specification_says_all_that_a_job_needs(toy: Toy) -> None:
    toy.recipe("mine", STAGES)
    folders = toy.plan("mine")
    source = folders["a"].relative_to(toy.root / "work")
    assert json.loads((folders["b"] / "stage.json").read_text()) == {
        "name": "mine/b",
        "job": "toy.write",
        "version": 1,
        "hash": folders["b"].name,
        "params": {"text": "", "fail": "", "wait": "", "threads": 1},
        "inputs": {"parts": [f"{source}/text.txt"], "extra": f"{source}/score.json"},
        "outputs": {"text": "text.txt", "score": "score.json", "parts": "parts"},
    }


def test_a_second_plan_writes_nothing(finished: Toy) -> None:
    def files() -> dict[Path, int]:
        folders = (finished.root / "work", finished.root / "results")
        return {p: p.lstat().st_mtime_ns for f in folders for p in f.rglob("*")}

    finished.plan("commands")  # the project was copied: the first plan says where it is now
    before = files()
    finished.plan("commands")
    assert files() == before


def test_links_are_relative_and_follow_the_recipe(toy: Toy) -> None:
    toy.recipe("mine", STAGES)
    folders = toy.plan("mine")
    links = toy.root / "results" / "mine"
    assert sorted(p.name for p in links.iterdir()) == ["a", "b"]
    assert str((links / "a").readlink()).startswith("../../work/toy.write/")
    assert (links / "a").resolve() == folders["a"].resolve()
    (links / "notes.txt").write_text("mine")
    toy.recipe("mine", "'a': Stage(job='toy.write', params={'text': 'new'})")
    changed = toy.plan("mine")
    assert sorted(p.name for p in links.iterdir()) == ["a", "notes.txt"]
    assert (links / "a").resolve() == changed["a"].resolve() != folders["a"].resolve()


def write(toy: Toy, work: str) -> str:
    """Write a plan to a store; return the message of its error."""
    return toy.python(
        "from pathlib import Path; from workflows.plan import make_plan\n"
        "from workflows.store import write_plan; from jobs.job import JobError\n"
        "try:\n"
        f"    write_plan(make_plan(['mine']), Path({work!r}), Path('results'))\n"
        "except JobError as error: print(error)"
    ).stdout


def test_a_store_that_cannot_be_written(toy: Toy) -> None:
    toy.recipe("mine", STAGES)
    (toy.root / "file").touch()
    expected = "cannot write: Not a directory; try another folder, by --config store=FOLDER\n"
    assert write(toy, "file").endswith(expected)


def test_a_file_in_the_place_of_a_link_is_left_alone(toy: Toy) -> None:
    toy.recipe("mine", STAGES)
    path = toy.root / "results" / "mine" / "a"
    path.parent.mkdir(parents=True)
    path.write_text("precious")
    message = "results/mine/a: found a file, needed the place for a link; move it away\n"
    assert write(toy, "work") == message
    assert path.read_text() == "precious"
