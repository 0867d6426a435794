"""A small project of its own: our Snakefile and runner, with toy jobs and recipes."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import pytest

PROJECT = Path(__file__).parents[2]
CONTRACT = ["__init__.py", "job.py", "typed_json.py", "files.py", "progress.py"]
CONTRACT += ["shards.py", "skipped.py"]

WRITE = '''
"""Write a text, or fail, or take long."""
import os
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
    if params.fail == "full":
        raise OSError(28, "No space left on device", "text.txt")
    if params.fail == "gpu":
        tries = outputs.text.parent / "tries"
        with tries.open("a") as out:
            out.write("x")
        if tries.stat().st_size < int(params.text):
            raise RuntimeError("CUDA_ERROR_ECC_UNCORRECTABLE: uncorrectable ECC error")
    if params.fail == "bug":
        raise RuntimeError("a bug")
    parts = "".join(p.read_text() for p in inputs.parts)
    log.info("OMP_NUM_THREADS=%s", os.environ["OMP_NUM_THREADS"])
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

SPLIT = '''
"""Number lines, possibly in shards."""
from dataclasses import dataclass
from pathlib import Path
from jobs.files import written
from jobs.job import JobError, Resources, file, unhashed
from jobs.shards import WHOLE

NAME = "toy.split"
VERSION = 1

@dataclass(frozen=True, kw_only=True)
class Inputs:
    text: Path | None = None

@dataclass(frozen=True, kw_only=True)
class Outputs:
    text: Path = file("text.txt")

@dataclass(frozen=True, kw_only=True)
class Params:
    lines: int = 7
    fail: int = unhashed(-1)

def resources(params):
    return Resources(threads=2, mem_mb=100, minutes=5)

def run(inputs, outputs, params, log, shard=WHOLE):
    lines = shard.of(range(params.lines), [1.0] * params.lines)
    log.info("lines %s of %d", lines, shard.count)
    if params.fail in lines:
        raise JobError(f"found line {params.fail}, needed another")
    with written(outputs.text) as tmp:
        tmp.write_text("".join(f"line {i}\\n" for i in lines))

def merge(inputs, parts, outputs, params, log):
    log.info("puts %d together", len(parts))
    with written(outputs.text) as tmp:
        tmp.write_text("".join(part.text.read_text() for part in parts))
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
    comparisons: tuple[Path, ...] = ()

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
        below = "".join(path.read_text() for path in inputs.comparisons)
        tmp.write_text("\\n".join(["recipe system set", *rows]) + "\\n" + below)
'''

STAGES = """
'a': Stage(job='toy.write', params={'text': 'A'}),
'b': Stage(job='toy.write', inputs={'parts': ('a.text',)}, params={'text': 'B', 'threads': 2}),
"""
SCORE = "Score(system='CTC greedy', set='test', stage='b'),"
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

    @property
    def stages(self) -> str:
        """The stages of the recipe `commands`, as Python text."""
        return STAGES

    @property
    def score(self) -> str:
        """Its score."""
        return SCORE

    def environment(self) -> dict[str, str]:
        """Return an environment in which `jobs` and `workflows` are those of this project."""
        return {**os.environ, "PYTHONPATH": str(self.root), "COLUMNS": "100"}

    def command(self, *arguments: str) -> list[str]:
        """Return a command line of Snakemake."""
        return [sys.executable, "-m", "snakemake", "--cores", "4", *arguments]

    def popen(self, *arguments: str) -> subprocess.Popen[str]:
        """Start Snakemake; stdout and stderr are in its stdout."""
        return self._popen(self.command(*arguments))

    def snakemake(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Run Snakemake; stdout and stderr are in `.stdout`."""
        process = self.popen(*arguments)
        text, _ = process.communicate(timeout=60)
        return subprocess.CompletedProcess(process.args, process.returncode, text)

    def _popen(self, command: list[str]) -> subprocess.Popen[str]:
        return subprocess.Popen(
            command,
            cwd=self.root,
            env=self.environment(),
            text=True,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
        )

    def plan(self, name: str) -> dict[str, Path]:
        """Write the plan of a recipe; return the folder of each stage."""
        done = self.python(
            "import json; from pathlib import Path; from workflows.plan import make_plan\n"
            "from workflows.store import write_plan\n"
            f"plan = make_plan([{name!r}]); write_plan(plan, Path('work'), Path('results'))\n"
            f"print(json.dumps({{k: n.folder for k, n in plan.stages[{name!r}].items()}}))"
        )
        assert done.returncode == 0, done.stderr
        return {k: self.root / "work" / v for k, v in json.loads(done.stdout).items()}

    def cli(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Run returnn-lite in the project, on a wide terminal."""
        return subprocess.run(
            [sys.executable, "-m", "workflows", *arguments],
            cwd=self.root,
            env={**self.environment(), "COLUMNS": "200"},
            text=True,
            capture_output=True,
            timeout=120,
        )

    def start(self, folder: Path, *arguments: str) -> subprocess.Popen[str]:
        """Start the runner for the stage of a folder; stdout and stderr are in its stdout."""
        command = [sys.executable, "-m", "workflows.run_job", str(folder / "stage.json")]
        return self._popen([*command, *arguments])

    def run(self, folder: Path, *arguments: str) -> tuple[int, str]:
        """Run the runner; return its exit status, and what it wrote on stdout and stderr."""
        process = self.start(folder, *arguments)
        text, _ = process.communicate(timeout=60)
        return process.returncode, text

    def wait_for(self, text: str, path: Path) -> None:
        """Wait until a file says something."""
        for _ in range(400):
            if path.exists() and text in path.read_text():
                return
            time.sleep(0.05)
        raise AssertionError(f"{path} does not say {text!r}")

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


def make_project(root: Path) -> Toy:
    """Make a project with our Snakefile, and the jobs toy.write, toy.split and score.table."""
    root.mkdir()
    for name in ("Snakefile", "config.yaml", "constraints.txt"):
        shutil.copy(PROJECT / name, root)
    for name in ("workflows", "profiles"):
        shutil.copytree(PROJECT / name, root / name, ignore=shutil.ignore_patterns("__pycache__"))
    for folder, files in (("jobs", CONTRACT), ("recipes", ["__init__.py", "recipe.py"])):
        (root / folder).mkdir()
        for name in files:
            shutil.copy(PROJECT / folder / name, root / folder)
    for path, text in (
        ("toy/write.py", WRITE), ("toy/split.py", SPLIT), ("score/table.py", TABLE)
    ):  # fmt: skip
        target = root / "jobs" / path
        target.parent.mkdir(exist_ok=True)
        (target.parent / "__init__.py").touch()
        target.write_text(text)
    return Toy(root)


@pytest.fixture
def toy(tmp_path: Path) -> Toy:
    """A project without recipes."""
    return make_project(tmp_path / "project")


@pytest.fixture(scope="session")
def finished_once(tmp_path_factory: pytest.TempPathFactory) -> tuple[Toy, str]:
    """A project whose recipe `commands` was run, and what the run said."""
    toy = make_project(tmp_path_factory.mktemp("finished") / "project")
    toy.recipe("commands", STAGES, SCORE)
    done = toy.snakemake("results/wer.txt")
    assert done.returncode == 0, done.stdout
    return toy, done.stdout


@pytest.fixture
def finished(finished_once: tuple[Toy, str], tmp_path: Path) -> Toy:
    """A copy of the project whose recipe was run."""
    root = tmp_path / "project"
    shutil.copytree(finished_once[0].root, root, symlinks=True)
    shutil.rmtree(root / "work" / ".plans")  # of the project that was copied
    return Toy(root)
