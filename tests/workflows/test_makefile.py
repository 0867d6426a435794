"""Set-up by make, as far as it goes without a network."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

PROJECT = Path(__file__).parents[2]


def make(folder: Path, *arguments: str, path: str) -> subprocess.CompletedProcess[str]:
    """Run make in a folder that has our Makefile, with what is in `path` only."""
    for name in ("Makefile", "pyproject.toml", "constraints.txt"):
        shutil.copy(PROJECT / name, folder)
    program = shutil.which("make")
    assert program, "make is not installed"
    return subprocess.run(
        [program, "-C", str(folder), *arguments],
        env={**os.environ, "PATH": path},
        capture_output=True,
        text=True,
    )


def script(path: Path, text: str) -> None:
    """Write a program."""
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)


def test_an_old_python_is_told_so(tmp_path: Path) -> None:
    programs = tmp_path / "bin"
    programs.mkdir()
    script(programs / "python3", 'case "$1" in -c) exit 1;; esac; echo Python 3.9.2')
    done = make(tmp_path, "env", path=str(programs))
    assert done.returncode != 0
    expected = "make env: found Python 3.9.2, needed Python 3.11, 3.12 or 3.13"
    assert expected in done.stderr
    assert not (tmp_path / ".venv").exists()


def test_a_python_that_is_named_but_does_not_run_is_passed_over(tmp_path: Path) -> None:
    programs = tmp_path / "bin"
    programs.mkdir()
    script(programs / "python3.13", "echo not installed >&2; exit 127")
    script(programs / "python3.12", 'case "$1" in -c) exit 0;; esac; echo "$0 $*"; exit 3')
    done = make(tmp_path, "env", path=str(programs))
    assert "python3.12 -m venv .venv" in done.stdout


def test_an_environment_that_is_up_to_date_is_left_alone(tmp_path: Path) -> None:
    make(tmp_path, "--version", path=os.environ["PATH"])
    (tmp_path / ".venv").mkdir()
    (tmp_path / ".venv" / "installed-cpu-espeak-test").touch()
    for name in ("pyproject.toml", "constraints.txt"):
        os.utime(tmp_path / name, (0, 0))
    program = shutil.which("make")
    assert program
    up_to_date = subprocess.run([program, "-q", "-C", str(tmp_path), "env"])
    assert up_to_date.returncode == 0
    other = subprocess.run([program, "-q", "-C", str(tmp_path), "env", "EXTRAS=gpu"])
    assert other.returncode == 1
    os.utime(tmp_path / "constraints.txt")
    os.utime(tmp_path / ".venv" / "installed-cpu-espeak-test", (1, 1))
    changed = subprocess.run([program, "-q", "-C", str(tmp_path), "env"])
    assert changed.returncode == 1


def test_variables_reach_snakemake(tmp_path: Path) -> None:
    asked = ("-n", "wer", "RECIPES=a,b", "DATA=/some where", "RUN=there", "CORES=3")
    lines = make(tmp_path, *asked, path=os.environ["PATH"]).stdout
    assert "--cores 3 --directory 'there'" in lines
    assert "--config 'recipes=a,b' 'data=/some where'" in lines
    report = make(tmp_path, "-n", "report", *asked[2:], path=os.environ["PATH"]).stdout
    assert "--directory 'there' --no-hooks results/report/index.html" in report
    assert "--config 'recipes=a,b' 'data=/some where'" in report
    without = make(tmp_path, "-n", "wer", path=os.environ["PATH"]).stdout
    assert "data=" not in without
