"""Snakemake's command line, and a run."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

import pytest

from jobs.job import JobError
from workflows.cli import run
from workflows.cli.main import parser
from workflows.cli.settings import settings

if TYPE_CHECKING:
    from conftest import Toy

COMMANDS = 'recipes=["commands"]'  # as config.yaml says


def command(*arguments: str) -> list[str]:
    """Return the options of Snakemake for a command line."""
    options, rest = parser().parse_known_args(["run", *arguments])
    found = argparse.Namespace(**vars(options), rest=rest)
    return run.command_line(found, settings(found))[5:]


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        ((), ["results/wer.txt", "--config", 'recipes=["commands"]']),
        (("tiny,fsdd",), ["results/wer.txt", "--config", 'recipes=["tiny", "fsdd"]']),
        (
            ("tiny", "--cores", "4", "-n"),
            ["results/wer.txt", "--cores", "4", "-n", "--config", 'recipes=["tiny"]'],
        ),
        (
            ("tiny", "--store", "x", "--config", "a=b", "-n"),
            ["results/wer.txt", "--config", 'recipes=["tiny"]', 'store= "x" ', "a=b", "-n"],
        ),
        (("--cores", "4"), ["results/wer.txt", "--cores", "4", "--config", COMMANDS]),
        (("--all", "--config", "a=b"), ["all", "--config", COMMANDS, "a=b"]),
        (("tiny", "--all"), ["all", "--config", 'recipes=["tiny"]']),
    ],
)
def test_options_that_are_not_ours_are_snakemakes(
    arguments: tuple[str, ...], expected: list[str]
) -> None:
    assert command(*arguments) == expected


def test_a_recipe_behind_an_option_is_told() -> None:
    with pytest.raises(JobError, match="found 'fsdd' behind an option, needed recipes before"):
        command("tiny", "--cores", "4", "fsdd")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("tiny", "--config", "recipes=fsdd"), r"recipes=fsdd beside our own, needed recipes as w"),
        (("--config", "recipes=fsdd"), r"recipes=fsdd beside our own, needed recipes as words"),
        (("tiny", "--store", "a", "--config", "store=b"), r"store=b beside .*, needed --store alo"),
    ],
)
def test_what_is_asked_for_in_two_ways_is_told(arguments: tuple[str, ...], message: str) -> None:
    with pytest.raises(JobError, match=f"found --config {message}"):
        command(*arguments)


def test_a_run_from_another_folder(toy: Toy) -> None:
    path = toy.recipe("a,b", toy.stages, toy.score)
    path.rename(toy.root / "mine.py")
    (toy.root / "mine.py").write_text((toy.root / "mine.py").read_text().replace("a,b", "mine"))
    done = toy.cli("run", "mine.py", "--cores", "2", "--store", "my store")
    assert done.returncode == 0, done.stderr
    assert "mine CTC greedy test" in done.stdout and (toy.root / "my store").is_dir()
    again = toy.cli("run", "mine.py", "--store", "my store", "-n")
    assert "Nothing to be done" in again.stdout + again.stderr


def test_a_recipe_without_scores_runs_all_its_stages(toy: Toy) -> None:
    toy.recipe("mine", toy.stages)
    assert toy.cli("run", "mine").returncode == 0
    assert (toy.root / "results" / "mine" / "b" / "manifest.json").exists()


def test_an_unknown_recipe_starts_nothing(toy: Toy) -> None:
    toy.recipe("mine", toy.stages)
    done = toy.cli("run", "mien", "--cores", "1")
    assert done.returncode == 1
    assert done.stderr == "unknown recipe 'mien'; did you mean 'mine'?\n"


@pytest.mark.parametrize("name", ["2024", "a: b", "it's; $(touch pwned) \"s*?[x]&|", "[a]", "wörk"])
def test_a_store_may_have_any_name(toy: Toy, name: str) -> None:
    toy.recipe("mine", toy.stages, toy.score)
    done = toy.cli("run", "mine", "--store", name, "--cores", "2")
    assert done.returncode == 0, done.stdout + done.stderr
    assert (toy.root / name / "toy.write").is_dir() and not list(toy.root.rglob("pwned"))
    again = toy.cli("run", "mine", "--store", name, "-n")
    assert "Nothing to be done" in again.stdout + again.stderr


def test_a_store_may_be_below_the_home(toy: Toy, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(toy.root / "home"))
    toy.recipe("commands", toy.stages, toy.score)
    done = toy.snakemake("results/wer.txt", "--config", "store=~/store")
    assert done.returncode == 0, done.stdout
    assert (toy.root / "home" / "store" / "toy.write").is_dir()
    assert "nothing to run" in toy.cli("check", "--store", "~/store").stdout
