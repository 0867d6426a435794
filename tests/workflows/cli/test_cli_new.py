"""A new recipe from another one."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from conftest import Toy


def test_a_new_recipe_shows_what_is_different(finished: Toy) -> None:
    done = finished.cli(
        "new", "mine", "commands", "--set", "b.text=C", "--set", "a.threads=3", "--set", "b.fail="
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout == "recipes/mine.py: edit it, then returnn-lite check mine\n"
    assert (finished.root / "recipes" / "mine.py").read_text() == (
        '"""commands with other parameters: say here what for."""\n\n'
        "from __future__ import annotations\n\nfrom recipes import commands\n\n"
        'RECIPE = commands.RECIPE.replace("mine", b={"text": "C", "fail": ""}, a={"threads": 3})\n'
    )
    assert "mine/b" in finished.cli("check", "mine").stdout


def test_stages_with_dots_in_their_names(toy: Toy) -> None:
    toy.recipe("base", "'lr0.1': Stage(job='toy.write'), 'lr0': Stage(job='toy.write')")
    done = toy.cli("new", "mine", "base", "--set", 'lr0.1.text="it\'s"')
    assert done.returncode == 0, done.stderr
    assert '**{"lr0.1": {"text": "it\'s"}}' in (toy.root / "recipes" / "mine.py").read_text()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("mine", "comands"), "unknown recipe 'comands'; did you mean 'commands'?\n"),
        (("../x", "commands"), "found recipe name '../x', needed letters, digits and _ only\n"),
        (("a;b", "commands"), "found recipe name 'a;b', needed letters, digits and _ only\n"),
        (("class", "commands"), "found recipe name 'class', needed letters, digits and _ only\n"),
        (
            ("m", "commands", "--set", "b.x=1", "--set", "b.x.y=2"),
            "--set b.x.y=2: found x=1 before, needed one or the other\n",
        ),
        (
            ("report", "commands"),
            "recipes/report.py: found the name 'report', which results/ has; rename it\n",
        ),
        (("commands", "commands"), "recipes/commands.py: found a file, needed a new name\n"),
        (("m", "commands", "--set", "b"), "--set b: found no '=', needed STAGE.PARAM=VALUE\n"),
        (("m", "commands", "--set", "c.x=1"), "--set c.x=1: unknown stage; there are: a, b\n"),
        (
            ("m", "commands", "--set", "b.txt=1"),
            "recipes/m.py:7: stage 'b': unknown key 'txt'; did you mean 'text'?\n",
        ),
    ],
)
def test_mistakes_leave_no_file(finished: Toy, arguments: tuple[str, ...], message: str) -> None:
    before = sorted((finished.root / "recipes").glob("*.py"))
    done = finished.cli("new", *arguments)
    assert done.returncode == 1 and done.stderr == message
    assert sorted((finished.root / "recipes").glob("*.py")) == before
