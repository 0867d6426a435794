"""The commands that profiles give to Snakemake: what they print, and how they end."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import yaml

from workflows.batch.__main__ import main
from workflows.batch.left import RUN, cancel_left, new_run
from workflows.batch.request import Request
from workflows.batch.systems import ENGINES

if TYPE_CHECKING:
    from conftest import Programs

PROFILES = Path(__file__).parents[3] / "profiles"


@pytest.fixture
def jobscript(
    make_request: Callable[..., Request], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> str:
    """A job script of Snakemake's for a stage, in the folder where we are."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / ".snakemake").mkdir()
    resources = {"mem_mb": 300, "runtime": 5, "gpu": 0, "attempt": 1}
    params = {"command": "x", "folder": str(make_request().folder), "unfinished": True}
    properties = {"type": "single", "threads": 1, "params": params, "resources": resources}
    (tmp_path / "job.sh").write_text(f"# properties = {json.dumps(properties)}\n")
    return "job.sh"


def test_a_job_is_submitted_and_asked_about(
    programs: Programs, jobscript: str, capsys: pytest.CaptureFixture[str]
) -> None:
    programs.make("squeue")
    programs.make("sbatch", out="17\n")
    assert main(["slurm", "submit", jobscript]) == 0
    assert capsys.readouterr().out == "17\n"
    for state, said in (("RUNNING", "running"), ("COMPLETED", "success"), ("TIMEOUT", "failed")):
        programs.make("squeue", out=f"17 {state} 0\n")
        assert main(["slurm", "status", "--every", "-1", "17"]) == 0
        assert capsys.readouterr().out == f"{said}\n"


def test_a_submitted_job_is_cancelled_with_its_run(
    programs: Programs, jobscript: str, monkeypatch: pytest.MonkeyPatch, log: logging.Logger
) -> None:
    monkeypatch.delenv(RUN, raising=False)
    run = new_run(Path(".snakemake/batch"))
    programs.make("squeue")
    programs.make("sbatch", out="17\n")
    main(["slurm", "submit", jobscript])
    (line,) = run.read_text().splitlines()
    programs.make("squeue", out=f"16 RUNNING other\n17 RUNNING {line.split()[1]}\n")
    programs.make("scancel")
    cancel_left(run, ENGINES, log)
    assert programs.arguments("scancel") == ["17"] and not run.exists()


def test_a_refused_job(
    programs: Programs, jobscript: str, capsys: pytest.CaptureFixture[str]
) -> None:
    programs.make("squeue")
    programs.make("sbatch", error="sbatch: error: invalid account\n", status=1)
    assert main(["slurm", "submit", jobscript]) == 1
    said = capsys.readouterr()
    expected = "commands/a; touch pwned: not submitted: sbatch: error: invalid account\n"
    assert (said.out, said.err) == ("", expected)


@pytest.mark.parametrize("engine", ENGINES)
def test_each_engine_has_a_profile(engine: str) -> None:
    profile = yaml.safe_load((PROFILES / engine / "config.yaml").read_text())
    assert any(f"workflows.batch {engine}" in line for line in profile["__definitions__"])
    assert profile["executor"] == "cluster-generic"


def test_all_profiles_agree_on_what_is_done_when() -> None:
    profiles = [yaml.safe_load(path.read_text()) for path in PROFILES.glob("*/config.yaml")]
    assert len(profiles) == 4
    for key in ("scheduler", "nolock", "ignore-incomplete", "rerun-triggers", "quiet"):
        assert all(profile[key] == profiles[0][key] for profile in profiles), key
