"""What a plan writes: specifications, links, and nothing that is there already."""

from __future__ import annotations

import errno
import json
import os
import shutil
import stat
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from jobs.job import JobError
from workflows import store as store_module
from workflows.plan import make_plan
from workflows.store import write_plan

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


def test_a_foreign_file_in_the_place_of_a_stage_is_left_alone(toy: Toy) -> None:
    toy.recipe("mine", STAGES)
    folder = toy.plan("mine")["a"]
    shutil.rmtree(folder)
    folder.write_text("precious")
    place = folder.relative_to(toy.root)
    assert write(toy, "work") == (
        f"{place}: found a file, needed the place for a stage; move it away\n"
    )
    assert folder.read_text() == "precious"


def test_a_foreign_file_in_the_place_of_results_is_left_alone(toy: Toy) -> None:
    toy.recipe("mine", STAGES)
    (toy.root / "results").mkdir()
    (toy.root / "results" / "mine").write_text("precious")
    message = "results/mine: found a file, needed the place for links; move it away\n"
    assert write(toy, "work") == message
    shutil.rmtree(toy.root / "results")
    (toy.root / "results").write_text("precious")
    assert write(toy, "work") == (
        "results/mine: cannot write: Not a directory; try another folder, by --directory FOLDER\n"
    )


def test_a_store_of_a_group_can_be_written_by_the_group(toy: Toy) -> None:
    toy.recipe("mine", STAGES)
    store = toy.root / "work"
    store.mkdir()
    store.chmod(0o2775)
    folder = toy.plan("mine")["a"]
    assert toy.run(folder)[0] == 0
    for path in (folder, folder / "stage.json", folder / "manifest.json", folder / "log.txt"):
        assert path.stat().st_mode & stat.S_IWGRP, path
    store.chmod(0o755)
    toy.recipe("mine", STAGES.replace("'A'", "'B'"))
    assert not (toy.plan("mine")["a"] / "stage.json").stat().st_mode & stat.S_IWGRP


def test_a_full_disk_tells_what_makes_room(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(path: Path, text: str) -> None:
        raise OSError(errno.ENOSPC, "No space left on device", str(path))

    monkeypatch.setattr(store_module, "_write", full)
    with pytest.raises(JobError) as caught:
        write_plan(make_plan(["tiny"]), tmp_path / "work", tmp_path / "results")
    assert str(caught.value).endswith(
        ": cannot write: No space left on device; make room (returnn-lite gc lists what no recipe"
        " needs), or try another folder, by --config store=FOLDER"
    )


@pytest.fixture
def readable(finished: Toy) -> Iterator[Path]:
    """A folder with a copy of the project, where every user may read and nobody else write."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        shutil.copytree(finished.root, folder / "project", symlinks=True)
        folder.chmod(0o755)
        yield folder / "project"


def plan_as_guest(readable: Path, toy: Toy) -> str:
    """Plan the recipe `commands` as a user who may not write to the store; return what is said."""
    guest = readable.parent / "guest"
    guest.mkdir()
    guest.chmod(0o777)
    if os.getuid() != 0:  # the same user, who has taken the right from itself
        for path in [readable / "work", *(readable / "work").rglob("*")]:
            if path.is_dir() and not path.is_symlink():
                path.chmod(0o555)
    code = (
        "import logging, os; logging.basicConfig(format='%(message)s')\n"
        "from pathlib import Path; from workflows.plan import make_plan\n"
        "from workflows.store import write_plan; from jobs.job import JobError\n"
        f"store, results = Path({str(readable / 'work')!r}), Path({str(guest / 'results')!r})\n"
        "import getpass, pwd; plan = make_plan(['commands'])\n"
        "if os.getuid() == 0: os.setuid(65534)\n"  # once all modules are there
        "try: write_plan(plan, store, results)\n"
        "except JobError as error: print(error)"
    )
    toy.root = readable
    done = toy.python(code)
    for path in [readable / "work", *(readable / "work").rglob("*")]:
        if path.is_dir() and not path.is_symlink():
            path.chmod(0o755)
    return done.stdout + done.stderr


def test_a_store_that_can_only_be_read_serves_what_is_there(readable: Path, finished: Toy) -> None:
    said = plan_as_guest(readable, finished)
    assert said.endswith("read only: its owner may remove what this run uses\n"), said
    link = readable.parent / "guest" / "results" / "commands" / "a"
    assert (link / "text.txt").read_text() == "A\n"


def test_a_store_that_can_only_be_read_is_told_where_something_is_to_be_made(
    readable: Path, finished: Toy
) -> None:
    path = readable / "recipes" / "commands.py"
    path.write_text(path.read_text().replace("'B'", "'C'"))
    said = plan_as_guest(readable, finished)
    message = said.partition("\n")[0]
    assert message.endswith(
        ": cannot write: Permission denied; let its group write (chmod g+ws), or try another"
        " folder, by --config store=FOLDER"
    )
