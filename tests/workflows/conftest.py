"""A small project of its own: our Snakefile and runner, with toy jobs and recipes."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

PROJECT = Path(__file__).parents[2]
CONTRACT = ["__init__.py", "job.py", "typed_json.py", "files.py", "progress.py"]

WRITE = '''
"""Write a text, or fail, or take long."""
import time
from dataclasses import dataclass
from pathlib import Path
from jobs.files import written
from jobs.job import JobError, Resources, file, folder, unhashed

NAME = "toy.write"
VERSION = 1

@dataclass(frozen=True, kw_only=True)
class Inputs:
    parts: tuple[Path, ...] = ()
    extra: Path | None = None

@dataclass(frozen=True, kw_only=True)
class Outputs:
    text: Path = file("text.txt")
    score: Path = file("score.json")
    parts: Path = folder("parts")

@dataclass(frozen=True, kw_only=True)
class Params:
    text: str = ""
    fail: str = ""
    wait: str = unhashed("")
    threads: int = unhashed(1)

def resources(params):
    return Resources(threads=params.threads, mem_mb=100, minutes=5)

def run(inputs, outputs, params, log):
    log.info("writes %r", params.text)
    while params.wait and Path(params.wait).exists():
        time.sleep(0.05)
    if params.fail == "job":
        raise JobError("corpus: found no utterances\\nneeded one; try another")
    if params.fail == "bug":
        raise RuntimeError("a bug")
    parts = "".join(p.read_text() for p in inputs.parts)
    with written(outputs.text) as tmp:
        tmp.write_text(parts + params.text + "\\n")
    if params.fail == "missing":
        return
    with written(outputs.score) as tmp:
        tmp.write_text("{}")
    with written(outputs.parts) as tmp:
        tmp.mkdir()
        (tmp / "part").write_text(params.text)
'''

TABLE = '''
"""A table of scores."""
from dataclasses import dataclass
from pathlib import Path
from jobs.files import written
from jobs.job import Resources, file

NAME = "score.table"
VERSION = 1

@dataclass(frozen=True, kw_only=True)
class Row:
    recipe: str
    system: str
    set: str
    reproduce: str

@dataclass(frozen=True, kw_only=True)
class Inputs:
    scores: tuple[Path, ...]

@dataclass(frozen=True, kw_only=True)
class Outputs:
    table: Path = file("wer.txt")

@dataclass(frozen=True, kw_only=True)
class Params:
    rows: tuple[Row, ...]

def resources(params):
    return Resources()

def run(inputs, outputs, params, log):
    with written(outputs.table) as tmp:
        rows = (f"{r.recipe} {r.system} {r.set} {r.reproduce}" for r in params.rows)
        tmp.write_text("\\n".join(["recipe system set", *rows]) + "\\n")
'''

HEAD = "from recipes.recipe import Recipe, Score, Stage\n"


@dataclass
class Toy:
    """A project in a folder of its own."""

    root: Path

    def recipe(self, name: str, stages: str, scores: str = "", base: str = "") -> Path:
        """Write recipes/<name>.py; stages and scores: Python text."""
        path = self.root / "recipes" / f"{name}.py"
        parts = [f"name={name!r}", f"stages={{{stages}}}", f"scores=({scores})"]
        body = f"RECIPE = Recipe({', '.join(parts)})\n"
        path.write_text(HEAD + base + body)
        return path

    def environment(self) -> dict[str, str]:
        """Return an environment in which `jobs` and `workflows` are those of this project."""
        return {**os.environ, "PYTHONPATH": str(self.root), "COLUMNS": "100"}

    def command(self, *arguments: str) -> list[str]:
        """Return a command line of Snakemake."""
        return [sys.executable, "-m", "snakemake", "--cores", "4", *arguments]

    def snakemake(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Run Snakemake; stdout and stderr are in `.stdout`."""
        return subprocess.run(
            self.command(*arguments),
            cwd=self.root,
            env=self.environment(),
            text=True,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            timeout=60,
        )

    def python(self, code: str) -> subprocess.CompletedProcess[str]:
        """Run Python code in the project."""
        return subprocess.run(
            [sys.executable, "-c", code],
            cwd=self.root,
            env=self.environment(),
            text=True,
            capture_output=True,
            timeout=60,
        )


@pytest.fixture
def toy(tmp_path: Path) -> Toy:
    """A project with our Snakefile, and the jobs toy.write and score.table."""
    root = tmp_path / "project"
    root.mkdir()
    for name in ("Snakefile", "config.yaml"):
        shutil.copy(PROJECT / name, root)
    for name in ("workflows", "profiles"):
        shutil.copytree(PROJECT / name, root / name)
    for folder, files in (("jobs", CONTRACT), ("recipes", ["__init__.py", "recipe.py"])):
        (root / folder).mkdir()
        for name in files:
            shutil.copy(PROJECT / folder / name, root / folder)
    for path, text in (("toy/write.py", WRITE), ("score/table.py", TABLE)):
        target = root / "jobs" / path
        target.parent.mkdir()
        (target.parent / "__init__.py").touch()
        target.write_text(text)
    return Toy(root)
