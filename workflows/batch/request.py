"""What Snakemake asks for when it submits a job."""

from __future__ import annotations

import hashlib
import json
import shlex
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from jobs.job import JobError
from workflows.machine_errors import machines

MARK = "# properties = "  # Snakemake writes them into its job script, in a line of JSON


@dataclass(frozen=True, kw_only=True)
class Request:
    """A stage to run as a job of a batch system.

    folder: of the stage. title: `recipe/stage`. command: for a shell. memory: MiB. minutes: wall
    time. attempt: which one this is, from 1. unfinished: whether the stage was not done yet when
    the run was planned. exclude: machines that failed at it. resources: all that Snakemake knows of
    the job.
    """

    folder: Path
    title: str
    command: str
    threads: int
    memory: int
    minutes: int
    gpus: int = 0
    attempt: int = 1
    unfinished: bool = True
    exclude: tuple[str, ...] = ()
    resources: Mapping[str, Any] = field(default_factory=dict)

    @property
    def name(self) -> str:
        """The same for the same stage of the same store, whoever submits it and when."""
        place = hashlib.sha256(str(self.folder.resolve()).encode()).hexdigest()[:8]
        return f"{self.folder.parent.name}.{self.folder.name}.{place}"

    @property
    def log(self) -> Path:
        """What the job says before its own log begins, and what ends it."""
        return self.folder.resolve() / "batch.txt"

    def extra(self, key: str) -> list[str]:
        """Return further options that the user gives. Raises JobError for quotes without an end."""
        text = str(self.resources.get(key) or "")
        try:
            return shlex.split(text)
        except ValueError as error:
            raise JobError(f"{key}: found {text!r} ({error}), needed options for a shell") from None

    def script(self, *, allocated: bool) -> str:
        """Return the script to submit. allocated: whether the batch system assigns GPUs to jobs."""
        words = [self.command, "--threads", str(self.threads), "--gpus", str(self.gpus)]
        return "#!/bin/sh\nexec " + " ".join([*words, *["--allocated"] * allocated]) + "\n"


def read_request(jobscript: Path) -> Request:
    """Read the request in a job script of Snakemake's.

    It holds a call of Snakemake as well, which is not used: that would plan all recipes again, as
    they are by then, where the stage's own command needs stage.json alone. Raises JobError where
    the script is not of one stage.
    """
    lines = jobscript.read_text("utf-8").splitlines()
    found = [json.loads(line.removeprefix(MARK)) for line in lines if line.startswith(MARK)]
    if len(found) != 1 or found[0]["type"] != "single":
        raise JobError(f"{jobscript}: found no job of one stage; try without groups of jobs")
    params, resources = found[0]["params"], found[0]["resources"]
    folder = Path(params["folder"])
    return Request(
        folder=folder,
        title=json.loads((folder / "stage.json").read_text("utf-8"))["name"],
        command=params["command"],
        threads=found[0]["threads"],
        memory=resources["mem_mb"],
        minutes=resources["runtime"],
        gpus=resources["gpu"],
        attempt=resources["attempt"],
        unfinished=params["unfinished"],
        exclude=machines(folder),
        resources=resources,
    )
