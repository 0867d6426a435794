"""The contract between a job and whoever runs it: parameters, files, resources, errors, log.

A job is one module, `jobs/<family>/<name>.py`, that defines

- `NAME`: `"<family>.<name>"`, and `VERSION`: raised whenever the same inputs give other outputs;
- frozen keyword-only dataclasses `Inputs` (fields `Path`, `Path | None`, `tuple[Path, ...]`),
  `Outputs` (fields `Path`, made by `file(...)` or `folder(...)`), and `Params` (JSON values or
  nested dataclasses; a ValueError from `__post_init__` is shown before anything runs);
- `resources(params) -> Resources`;
- where it reads files that no job makes, `external(params) -> list[Path]`: those that are small
  enough to be read where a recipe is planned; where their content changes, the stage is another;
- where something of its outputs is known before it runs, `expected(params, inputs) -> dict[str,
  Expected]`, by their names, from what is known of its inputs; what does not fit is a JobError;
- where its work can be done in shards, `merge(inputs, parts, outputs, params, log)`, which puts
  together the Outputs of all shards, so that they are as if made at once; its `run` takes a fifth
  argument, the Shard (see jobs/shards.py) that it is to do;
- `run(inputs, outputs, params, log) -> None`. What lets a killed run go on later is in the folder
  `checkpoints` beside the outputs, and may go once these are there.

Importing the module costs milliseconds: heavy libraries are imported inside `run`.
"""

from __future__ import annotations

import dataclasses
import difflib
import functools
import importlib
import logging
import typing
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

CHECKPOINTS = "checkpoints"


class JobError(Exception):
    """A mistake in data or parameters, told in a few lines: what was found, needed, and to do."""


@dataclass(frozen=True, kw_only=True)
class Resources:
    """What a job may use; never part of its hash. mem_mb: MiB; minutes: wall time."""

    threads: int = 1
    mem_mb: int = 1000
    minutes: int = 60
    gpu: int = 0


@dataclass(frozen=True, kw_only=True)
class Expected:
    """What is known of an output before it is made.

    bytes: about. seconds: of the recordings that it is about, 0 where that is not known. stream: of
    a file of sequences, as in extern_data. model: network, config, extern_data of a trained one.
    """

    bytes: int = 0
    seconds: float = 0.0
    stream: dict[str, Any] | None = None
    model: dict[str, Any] | None = None


class Job(Protocol):
    """A job module, as described above."""

    NAME: str
    VERSION: int
    Inputs: type[Any]
    Outputs: type[Any]
    Params: type[Any]

    def resources(self, params: Any) -> Resources: ...

    def run(self, inputs: Any, outputs: Any, params: Any, log: logging.Logger) -> None: ...


def file(name: str, *, refers: bool = False) -> Any:
    """Declare an output file by its name in the stage's folder.

    refers: whether it names files of the stages that were read, so that these are still needed.
    """
    metadata = {"folder": False, "refers": refers}
    return dataclasses.field(default=Path(name), metadata=metadata)


def folder(name: str) -> Any:
    """Declare an output folder by its name in the stage's folder."""
    return dataclasses.field(default=Path(name), metadata={"folder": True})


def unhashed(default: Any) -> Any:
    """Declare a parameter that cannot change the outputs, such as a path or a number of threads."""
    return dataclasses.field(default=default, metadata={"hashed": False})


def added(default: Any) -> Any:
    """Declare a parameter that a job got later; its default is what the job did before.

    At its default it is no part of a hash, so that what was made before is not made again.
    """
    return dataclasses.field(default=default, metadata={"added": True})


def nearest(name: str, names: Iterable[str]) -> str:
    """Return `; did you mean 'x'?` or the list of names, to end an error about a wrong name."""
    names = sorted(names)
    close = difflib.get_close_matches(str(name), names, n=1)
    return (
        f"; did you mean {close[0]!r}?" if close else f"; there are: {', '.join(names) or 'none'}"
    )


def nearest_folder(path: Path) -> str:
    """Return `; did you mean 'x'?`, or nothing, to end an error about a folder that is not there.

    The name that is wrong is the first one in the path that does not exist.
    """
    while not path.parent.is_dir() and path.parent != path:
        path = path.parent
    names = [other.name for other in path.parent.glob("*/")] if path.parent.is_dir() else []
    close = difflib.get_close_matches(path.name, names, n=1)
    return f"; did you mean '{path.parent / close[0]}'?" if close else ""


def job_names() -> list[str]:
    """Return the names of all jobs, read from the file system."""
    root = Path(__file__).parent
    paths = sorted(root.glob("[a-z]*/[a-z]*.py"))
    return [f"{p.parent.name}.{p.stem}" for p in paths if "\nNAME = " in p.read_text("utf-8")]


@functools.cache
def load_job(name: str) -> Job:
    """Return the module of a job. Raises JobError for an unknown name."""
    names = job_names()
    if name not in names:
        raise JobError(f"unknown job {name!r}{nearest(name, names)}")
    return typing.cast(Job, importlib.import_module(f"jobs.{name}"))


def outputs_of(job: Job) -> dict[str, Path]:
    """Return the outputs of a job: field of Outputs -> name of the file in the stage's folder."""
    return {f.name: typing.cast(Path, f.default) for f in dataclasses.fields(job.Outputs)}


def folders_of(job: Job) -> set[str]:
    """Return those fields of a job's Outputs that are folders."""
    return {f.name for f in dataclasses.fields(job.Outputs) if f.metadata["folder"]}


def referring(job: Job) -> set[str]:
    """Return those fields of a job's Outputs that name files of the stages that it reads."""
    return {f.name for f in dataclasses.fields(job.Outputs) if f.metadata.get("refers")}
