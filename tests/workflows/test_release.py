"""Outputs that are kept until they are used."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from test_snakefile import why

if TYPE_CHECKING:
    from conftest import Toy

STAGES = """
'a': Stage(job='toy.write', params={'text': 'A'}, keep={'text': 'until_used'}),
'b': Stage(job='toy.write', inputs={'parts': ('a.text',)}, params={'text': 'B'}),
'c': Stage(job='toy.write', inputs={'parts': ('a.text',)}, params={'text': 'C'}),
"""


def test_what_is_used_goes_once_the_last_reader_is_done(toy: Toy) -> None:
    toy.recipe("commands", STAGES, toy.score)
    folders = toy.plan("commands")
    assert toy.snakemake("results/wer.txt").returncode == 0
    assert (folders["a"] / "text.txt").exists()  # c reads it, and has not run
    done = toy.snakemake()  # all stages: c, too
    assert done.returncode == 0 and set(why(done.stdout)) == {"commands/c"}, done.stdout
    assert not (folders["a"] / "text.txt").exists() and (folders["a"] / "score.json").exists()
    assert json.loads((folders["a"] / "released.json").read_text())["name"] == "commands/a"
    assert why(toy.snakemake("-n").stdout) == {}
    assert "2 of 3 finished, 1 released" in toy.cli("recipes").stdout


def test_what_is_needed_again_is_made_again(toy: Toy) -> None:
    toy.recipe("commands", STAGES, toy.score)
    toy.snakemake()
    toy.recipe("commands", STAGES.replace("'C'", "'D'"), toy.score)
    done = toy.snakemake()
    reasons = why(done.stdout)
    assert reasons == {
        "commands/a": "an output was removed, and is needed again",
        "commands/c": "text: 'C' -> 'D'",
    }
    folders = toy.plan("commands")
    assert (folders["c"] / "text.txt").read_text() == "A\nD\n"
    assert not (folders["a"] / "text.txt").exists()


def test_another_recipe_that_keeps_it_has_its_way(toy: Toy) -> None:
    toy.recipe("commands", STAGES, toy.score)
    toy.recipe("other", STAGES.replace(", keep={'text': 'until_used'}", ""))
    assert toy.snakemake("--config", "recipes=commands,other").returncode == 0
    assert (toy.plan("commands")["a"] / "text.txt").exists()


def test_a_plan_that_cannot_be_read_fails_nobodys_stage(toy: Toy) -> None:
    toy.recipe("commands", STAGES)
    folders = toy.plan("commands")
    (toy.root / "work" / ".plans" / "other.json").write_text("no plan")
    assert toy.run(folders["a"])[0] == 0 and toy.run(folders["b"])[0] == 0
    status, said = toy.run(folders["c"])
    assert status == 0 and (folders["a"] / "text.txt").exists()
    assert "what is used stays: work/.plans/other.json: found no plan of a recipe; mend it" in said


def test_where_nothing_is_to_go_no_plan_is_read(toy: Toy) -> None:
    toy.recipe("commands", toy.stages, toy.score)
    folder = toy.plan("commands")["a"]
    (toy.root / "work" / ".plans" / "other.json").write_text("no plan")
    assert toy.run(folder)[0] == 0


def test_wrong_policies(toy: Toy) -> None:
    keep = STAGES.replace("'text': 'until_used'", "'txt': 'until_used', 'score': 'used'")
    toy.recipe("commands", keep, toy.score)
    done = toy.cli("check")
    assert done.returncode == 1 and done.stderr.splitlines() == [
        "recipes/commands.py:3: stage 'a': keep: toy.write has no output 'txt'; did you mean"
        " 'text'?",
        "recipes/commands.py:3: stage 'a': keep: found 'used', needed 'always' or 'until_used'",
    ]


def test_files_that_others_refer_to_are_needed_by_who_reads_those(toy: Toy) -> None:
    """As recordings are: a check passes on their names, features read them."""
    path = toy.root / "jobs" / "toy" / "write.py"
    path.write_text(path.read_text().replace('file("text.txt")', 'file("text.txt", refers=True)'))
    stages = (
        "'a': Stage(job='toy.write', params={'text': 'A'}, keep='until_used'),"
        "'b': Stage(job='toy.write', inputs={'parts': ('a.text',)}),"
        "'c': Stage(job='toy.write', inputs={'parts': ('b.text',)}, params={'fail': 'job'}),"
    )
    toy.recipe("commands", stages)
    assert toy.snakemake().returncode == 1
    assert (toy.plan("commands")["a"] / "text.txt").exists()
