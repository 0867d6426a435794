"""Diagrams of recipes."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from conftest import Toy


def test_a_diagram_has_a_box_for_each_stage_and_an_arrow_for_each_input(toy: Toy) -> None:
    toy.recipe(
        "mine",
        "'a': Stage(job='toy.write', params={'text': 'x'}),"
        "'b': Stage(job='toy.write', inputs={'parts': ('a.text', 'a.score')})",
    )
    done = toy.python("import sys; from workflows.draw import main; sys.exit(main(['mine']))")
    assert done.returncode == 0 and done.stdout.splitlines() == [
        "## mine",
        "",
        "```mermaid",
        "flowchart TD",
        '  s0["a<br/><i>toy.write</i>"]',
        '  s1["b<br/><i>toy.write</i>"]',
        "  s0 --> s1",
        "```",
    ]


def test_an_unknown_recipe_is_an_error_without_traceback(toy: Toy) -> None:
    toy.recipe("mine", "")
    done = toy.python("import sys; from workflows.draw import main; sys.exit(main(['mien']))")
    assert done.returncode == 1
    assert done.stderr == "unknown recipe 'mien'; did you mean 'mine'?\n"
