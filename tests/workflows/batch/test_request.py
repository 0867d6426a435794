"""What a job script of Snakemake's asks for."""

from __future__ import annotations

import json
import shlex
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from jobs.job import JobError
from workflows.batch.request import Request, read_request


@pytest.fixture
def stage(make_request: Callable[..., Request]) -> Path:
    return make_request().folder


def write(path: Path, **properties: Any) -> Path:
    """Write a job script as Snakemake does."""
    path.write_text(f"#!/bin/sh\n# properties = {json.dumps(properties)}\ncd /x && snakemake\n")
    return path


def test_a_job_script_of_one_stage(stage: Path, tmp_path: Path) -> None:
    resources = {"mem_mb": 300, "runtime": 5, "gpu": 1, "attempt": 2, "slurm_partition": "p"}
    params = {"command": "python x", "folder": str(stage), "unfinished": False}
    (stage / "machines.txt").write_text("n1\n")
    script = write(tmp_path / "x.sh", type="single", threads=2, params=params, resources=resources)
    assert read_request(script) == Request(
        folder=stage,
        title="commands/a; touch pwned",
        command="python x",
        threads=2,
        memory=300,
        minutes=5,
        gpus=1,
        attempt=2,
        unfinished=False,
        exclude=("n1",),
        resources=resources,
    )


def test_a_group_of_jobs(tmp_path: Path) -> None:
    script = write(tmp_path / "x.sh", type="group")
    with pytest.raises(JobError, match="found no job of one stage; try without groups of jobs"):
        read_request(script)


def test_options_with_a_quote_that_does_not_end(make_request: Callable[..., Request]) -> None:
    request = make_request(resources={"slurm_extra": "--nodelist 'a b' -x", "sge_extra": "-m 'a"})
    assert request.extra("slurm_extra") == ["--nodelist", "a b", "-x"]
    assert request.extra("nothing") == []
    message = r"sge_extra: found \"-m 'a\" \(No closing quotation\), needed options for a shell"
    with pytest.raises(JobError, match=message):
        request.extra("sge_extra")


def test_a_name_is_of_the_stage_and_the_store(
    make_request: Callable[..., Request], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    request = make_request()
    assert request.name.startswith("toy.write.0123456789abcdef.")
    monkeypatch.chdir(tmp_path)
    relative = make_request(folder=request.folder.relative_to(tmp_path), threads=2, attempt=3)
    assert relative.name == request.name
    other = make_request(folder=tmp_path / "store" / "toy.write" / "0123456789abcdef")
    assert other.name != request.name


def test_the_script_runs_the_stage_itself(make_request: Callable[..., Request]) -> None:
    request = make_request(threads=3, gpus=1)
    command = "python -m workflows.run_job 'a b.json' --threads 3 --gpus 1"
    assert request.script(allocated=False) == f"#!/bin/sh\nexec {command}\n"
    assert request.script(allocated=True) == f"#!/bin/sh\nexec {command} --allocated\n"
    assert shlex.split(command)[3] == "a b.json"
