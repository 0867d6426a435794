"""The contract of jobs, held by every job of the project."""

from __future__ import annotations

import dataclasses
import re
import subprocess
import sys
import types
import typing
from pathlib import Path
from typing import Any

import pytest

from jobs.job import (
    JobError,
    folders_of,
    job_names,
    load_job,
    nearest,
    nearest_folder,
    outputs_of,
)
from workflows.stages import RESERVED

PROJECT = Path(__file__).parents[2]
PLAIN = (bool, int, float, str, Path, type(None), Any)


def test_an_unknown_job_names_the_nearest() -> None:
    with pytest.raises(
        JobError, match=r"unknown job 'features\.extarct'; did you mean 'features\.extract'\?"
    ):
        load_job("features.extarct")


def test_modules_that_are_no_jobs_are_none() -> None:
    with pytest.raises(JobError, match=r"unknown job 'corpus\.manifest'"):
        load_job("corpus.manifest")


def test_nearest_gives_all_names_where_none_is_near() -> None:
    assert nearest("xyz", ["b", "a"]) == "; there are: a, b"
    assert nearest("xyz", []) == "; there are: none"


@pytest.mark.parametrize("name", job_names())
def test_a_job_keeps_the_contract(name: str) -> None:
    job = load_job(name)
    assert name == job.NAME and isinstance(job.VERSION, int) and job.VERSION >= 1
    for kind in (job.Inputs, job.Outputs, job.Params):
        assert kind.__dataclass_params__.frozen, f"{kind} is not frozen"
        assert all(f.kw_only for f in dataclasses.fields(kind)), f"{kind} is not keyword-only"
    assert set(typing.get_type_hints(job.Inputs).values()) <= {
        Path,
        Path | None,
        tuple[Path, ...],
    }
    files = [str(path) for path in outputs_of(job).values()]
    assert files and len(set(files)) == len(files) and not RESERVED & set(files)
    assert all(re.fullmatch(r"[a-z][\w.-]*", f) for f in files), files
    assert folders_of(job) <= set(outputs_of(job))
    assert (job.__doc__ or "").strip() and callable(job.run) and callable(job.resources)


@pytest.mark.parametrize("name", job_names())
def test_params_have_types_that_can_be_checked(name: str) -> None:
    def check(kind: Any) -> None:
        origin, arguments = typing.get_origin(kind), typing.get_args(kind)
        if dataclasses.is_dataclass(kind):
            for hint in typing.get_type_hints(kind).values():
                check(hint)
        elif origin in (tuple, dict, typing.Union, types.UnionType):
            for argument in arguments:
                assert argument is Ellipsis or check(argument) is None
        else:
            assert origin is typing.Literal or kind in PLAIN, f"{name}: {kind}"

    check(load_job(name).Params)


def test_importing_all_jobs_imports_no_heavy_library() -> None:
    code = (
        "import sys; from jobs.job import job_names, load_job; [load_job(n) for n in job_names()];"
        "print(sorted({'tensorflow', 'numpy', 'h5py', 'soundfile'} & set(sys.modules)))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=PROJECT, capture_output=True, text=True, check=True
    )
    assert done.stdout == "[]\n"


def test_a_missing_folder_is_told_with_the_nearest_one(tmp_path: Path) -> None:
    (tmp_path / "speech" / "recordings").mkdir(parents=True)
    (tmp_path / "speech" / "recording.txt").touch()
    near = tmp_path / "speech" / "recordings"
    assert nearest_folder(tmp_path / "speech" / "recording") == f"; did you mean '{near}'?"
    assert nearest_folder(tmp_path / "speach" / "any") == f"; did you mean '{tmp_path / 'speech'}'?"
    assert nearest_folder(tmp_path / "speech" / "xyz") == ""
