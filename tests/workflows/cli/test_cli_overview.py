"""The list of recipes."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from conftest import Toy


def test_recipes_with_what_they_are_about_and_how_far_they_are(finished: Toy) -> None:
    path = finished.root / "recipes" / "commands.py"
    path.write_text('"""Orders for a\nmachine.\n\nMore.\n"""\n' + path.read_text())
    finished.recipe("other", finished.stages.replace("'B'", "'C'"))
    (finished.root / "recipes" / "broken.py").write_text("RECIPE = undefined\n")
    lines = finished.cli("recipes").stdout.splitlines()
    rows = {line.split()[0]: " ".join(line.split()) for line in lines}
    assert list(rows) == ["recipe", "broken", "commands", "other"]
    assert rows["commands"].startswith("commands Orders for a machine. 2 2 of 2 finished")
    assert rows["other"].startswith("other 2 1 of 2 finished")
    assert "recipes/broken.py:1: NameError: name 'undefined' is not defined" in rows["broken"]


def test_stages_of_a_recipe(finished: Toy) -> None:
    folders = finished.plan("commands")
    (folders["b"] / "manifest.json").unlink()
    lines = finished.cli("recipes", "commands").stdout.splitlines()
    assert [line.split()[:3] for line in lines[2:]] == [
        ["a", "toy.write", "finished"],
        ["b", "toy.write", "stopped"],
    ]


def test_an_unknown_recipe_names_the_nearest(finished: Toy) -> None:
    done = finished.cli("recipes", "comands")
    assert done.returncode == 1
    assert done.stderr == "unknown recipe 'comands'; did you mean 'commands'?\n"
