"""What is told before a run."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from workflows.cli.main import main

if TYPE_CHECKING:
    from conftest import Toy


def stages(text: str) -> dict[str, str]:
    """Return the rows of the table: stage -> the rest."""
    lines = [" ".join(line.split()) for line in text.split("\n\n")[0].splitlines()[1:]]
    return {line.partition(" toy.")[0]: line for line in lines if " toy." in line}


def test_what_runs_and_why(finished: Toy) -> None:
    assert finished.cli("check").stdout == "all that is asked for is there: nothing to run\n"
    finished.recipe("commands", finished.stages.replace("'B'", "'C'"), finished.score)
    done = finished.cli("check", "commands")
    assert done.returncode == 0
    found = stages(done.stdout)
    assert list(found) == ["commands/b"] and "text: 'B' -> 'C'" in found["commands/b"]
    assert "2 of 3 stages run" in done.stdout and "MiB for one stage" in done.stdout


def test_it_says_what_a_run_then_does(finished: Toy) -> None:
    """Not more: `c` is not needed for the table."""
    more = finished.stages.replace("'B'", "'C'") + "'c': Stage(job='toy.write'),"
    finished.recipe("commands", more, finished.score)
    for option in ((), ("--all",)):
        told = stages(finished.cli("check", *option).stdout)
        target = ("all",) if option else ("results/wer.txt",)
        said = finished.snakemake("-n", *target).stdout
        assert set(told) == {
            name for name in ("commands/a", "commands/b", "commands/c") if f"{name}: toy" in said
        }


def test_it_writes_nothing(toy: Toy) -> None:
    toy.recipe("commands", toy.stages, toy.score)
    assert toy.cli("check").returncode == 0
    assert not (toy.root / "work").exists() and not (toy.root / "results").exists()


def test_files_that_are_missing(toy: Toy) -> None:
    stages = (
        "'a': Stage(job='toy.write', params={'text': '{data}/speech'}),"
        "'b': Stage(job='toy.write', params={'text': '/nowhere/at all'}),"
    )
    toy.recipe("commands", stages)
    done = toy.cli("check", "--data", "corpora")
    assert done.returncode == 1 and done.stderr.splitlines() == [
        f"commands/a: text: found no {toy.root}/corpora/speech",
        "commands/b: text: found no /nowhere/at all",
    ]
    (toy.root / "corpora" / "speech").mkdir(parents=True)
    toy.recipe("commands", stages.partition("'b'")[0])
    assert toy.cli("check", "--data", "corpora").returncode == 0


def test_a_disk_that_is_too_small(toy: Toy) -> None:
    path = toy.root / "jobs" / "toy" / "write.py"
    path.write_text(
        path.read_text()
        + "def expected(params, inputs):\n"
        + "    from jobs.job import Expected\n"
        + "    return {'text': Expected(bytes=10**18)}\n"
    )
    toy.recipe("commands", toy.stages, toy.score)
    done = toy.cli("check")
    assert done.returncode == 1 and "about 1000000.0 TB" in done.stdout
    assert ", needed about 2000000.0 TB; make room (returnn-lite gc), or try --store FOLDER" in (
        done.stderr
    )


@pytest.mark.parametrize("recipe", ["commands", "tiny"])
def test_a_recipe_of_the_project_in_seconds_with_its_networks(
    recipe: str, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    start = time.monotonic()
    assert main(["check", recipe, "--store", str(tmp_path)]) == 0
    assert time.monotonic() - start < 5
    said = capsys.readouterr().out
    (ctc,) = (line for line in said.splitlines() if f"{recipe}/ctc" in line)
    assert "train.network" in ctc and "about" in ctc and "MB" in ctc


def test_a_network_that_does_not_fit_its_data(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    """The labels of the units are 120, and a blank: 7 outputs are too few of them."""
    path = tmp_path / "wrong.py"
    path.write_text(
        "from recipes import commands\n"
        "RECIPE = commands.RECIPE.replace('wrong', ctc={'network': {'output': {'n_out': 7}}})\n"
    )
    assert main(["check", str(path), "--store", str(tmp_path)]) == 1
    said = capsys.readouterr().err
    assert said.startswith("wrong/ctc: ") and len(said.splitlines()) < 6, said
