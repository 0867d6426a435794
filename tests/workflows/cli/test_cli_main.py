"""The command line as a whole: help, wrong words, and what it does not import."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from workflows.cli.main import COMMANDS, main

if TYPE_CHECKING:
    from conftest import Toy

PROJECT = Path(__file__).parents[3]


@pytest.mark.parametrize("command", COMMANDS)
def test_each_command_has_help_that_says_what_it_does(
    command: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as caught:
        main([command, "--help"])
    said = capsys.readouterr().out
    assert caught.value.code == 0 and f"returnn-lite {command}" in said
    assert str(COMMANDS[command].__doc__).partition("\n")[0] in said


def test_a_wrong_command_names_the_nearest(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["recipe"]) == 2
    assert capsys.readouterr().err == "unknown command 'recipe'; did you mean 'recipes'?\n"


def test_a_wrong_option_is_told(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        main(["check", "--frobnicate"])
    assert caught.value.code == 2
    assert "unknown --frobnicate; see returnn-lite check --help" in capsys.readouterr().err


def test_no_command_loads_heavy_libraries() -> None:
    code = (
        "import sys; from workflows.cli.main import main; main(['check', 'commands'])\n"
        "print([m for m in ('tensorflow', 'snakemake', 'cupy') if m in sys.modules])"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=PROJECT, capture_output=True, text=True, check=True
    )
    assert done.stdout.endswith("[]\n")


def test_a_reader_that_has_enough_is_no_error() -> None:
    command = [sys.executable, "-m", "workflows", "recipes"]
    with subprocess.Popen(
        command, cwd=PROJECT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as done:
        assert done.stdout and done.stderr
        done.stdout.close()
        assert done.stderr.read() == ""


def test_a_file_that_cannot_be_written_is_told_in_a_line(finished: Toy) -> None:
    (finished.root / "file").touch()
    done = finished.cli("export", "results/wer.txt", "--to", "file/wer.zip")
    assert done.returncode == 1 and done.stderr == "file: File exists\n"
