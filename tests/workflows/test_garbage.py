"""What may go from a store, and what never does."""

from __future__ import annotations

import fcntl
import json
import shutil
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from conftest import Toy


def changed(toy: Toy) -> Path:
    """Change the stage b of a finished recipe; return the folder that nobody needs any more."""
    old = toy.plan("commands")["b"]
    toy.recipe("commands", toy.stages.replace("'B'", "'C'"), toy.score)
    return old


def test_what_no_recipe_needs_goes_and_all_else_stays(finished: Toy) -> None:
    old = changed(finished)
    kept = finished.plan("commands")["a"]
    said = finished.cli("gc").stdout
    assert "commands/b" in said and "no recipe needs it" in said and old.is_dir()
    assert "commands/a" not in said
    said = finished.cli("gc", "--remove").stdout
    assert said.splitlines()[-1].endswith("removed") and not old.exists()
    assert (kept / "text.txt").exists() and (kept / "manifest.json").exists()
    assert finished.cli("gc", "--remove").stdout.endswith("nothing to remove\n")


def test_foreign_files_stay_where_they_are(finished: Toy) -> None:
    old = changed(finished)
    (old / "notes.txt").write_text("precious")
    foreign = finished.root / "work" / "toy.write" / "0123456789abcdef"
    foreign.mkdir()
    (foreign / "data").write_text("precious")
    (finished.root / "work" / "README").write_text("precious")
    finished.cli("gc", "--remove")
    assert [p.name for p in old.iterdir()] == ["notes.txt"]
    assert (foreign / "data").exists() and (finished.root / "work" / "README").exists()


def test_a_name_in_a_specification_never_leads_out_of_its_folder(finished: Toy) -> None:
    old = changed(finished)
    precious = finished.root / "precious"
    precious.write_text("x")
    for name in ("stage.json", "manifest.json"):
        value = json.loads((old / name).read_text())
        value["outputs"] = {"a": "../../../precious", "b": "..", "c": str(precious)}
        (old / name).write_text(json.dumps(value))
    finished.cli("gc", "--remove")
    assert precious.exists() and (finished.root / "work").is_dir()


def test_a_stage_that_runs_stays(finished: Toy) -> None:
    old = changed(finished)
    with (old / ".lock").open("a") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        assert "nothing to remove" in finished.cli("gc", "--remove").stdout
    assert old.exists()


def test_while_a_run_goes_on_its_recipe_loses_nothing(finished: Toy) -> None:
    old = changed(finished)
    finished.plan("commands")
    (plan,) = (
        p for p in (finished.root / "work" / ".plans").glob("*.json")
        if json.loads(p.read_text())["results"] == str(finished.root / "results")
    )  # fmt: skip
    with plan.with_suffix(".lock").open("a") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        finished.cli("gc", "--remove")
    assert old.exists()


def test_what_another_folder_of_results_has_planned_stays_until_it_is_forgotten(
    finished: Toy,
) -> None:
    old = changed(finished)
    here = finished.root / "other"
    here.mkdir()
    finished.recipe("commands", finished.stages, finished.score)
    done = finished.snakemake(
        "-n", "--directory", str(here), "--config", f"store={finished.root / 'work'}"
    )
    assert done.returncode == 0, done.stdout
    changed(finished)
    assert "nothing to remove" in finished.cli("gc", "--remove").stdout and old.exists()
    wrong = finished.cli("gc", "--forget", "x")
    assert wrong.returncode == 1
    assert wrong.stderr.startswith("--forget: found no plan 'x'; there are: commands-")
    for path in (finished.root / "work" / ".plans").glob("*.json"):
        if json.loads(path.read_text())["results"] != str(finished.root / "results"):
            assert finished.cli("gc", "--remove", "--forget", path.stem).returncode == 0
    assert not old.exists()


def test_a_recipe_whose_file_is_gone_needs_nothing_and_one_with_a_mistake_what_it_did(
    finished: Toy,
) -> None:
    finished.recipe("other", finished.stages.replace("'B'", "'D'"))
    folder = finished.plan("other")["b"]
    assert finished.run(folder, "--data", "x")[0] in (0, 1)
    path = finished.root / "recipes" / "other.py"
    path.write_text("RECIPE = undefined\n")
    said = finished.cli("gc", "--remove")
    assert "other: keeps what it needed: recipes/other.py:1: NameError" in said.stderr
    assert (folder / "stage.json").exists()
    path.unlink()
    finished.cli("gc", "--remove")
    assert not folder.exists()


def test_checkpoints_of_finished_trainings_and_leftovers_go(finished: Toy) -> None:
    folders = finished.plan("commands")
    for name in ("checkpoints", ".text.txt.7.tmp"):
        (folders["b"] / name).mkdir()
        (folders["b"] / name / "x").write_bytes(b"x" * 5000)
    said = finished.cli("gc", "--remove").stdout
    assert ".text.txt.7.tmp, checkpoints" in said and "10.0 kB" in said
    assert (folders["b"] / "text.txt").exists() and not (folders["b"] / "checkpoints").exists()


def test_what_is_young_may_stay(finished: Toy) -> None:
    old = changed(finished)
    finished.cli("gc", "--remove", "--days", "1")
    assert old.exists()


def test_a_store_that_is_not_there(toy: Toy) -> None:
    toy.recipe("commands", toy.stages)
    shutil.rmtree(toy.root / "work", ignore_errors=True)
    assert toy.cli("gc").stdout == "nothing to remove\n"
