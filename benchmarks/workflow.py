"""Times the workflow itself: planning of many stages, and what it adds to each small job.

    python benchmarks/workflow.py [--plan 2000] [--run 100] [--rounds 3] [--json FILE]

Planning is `snakemake -n` over the chain of the recipe `commands` with many seeds, in a store that
is empty and in one that has all specifications already. The overhead of a stage is that of a job
that does nothing: by itself (a Python that imports the job and runs it), by the runner, which
locks, logs and leaves a manifest, and by Snakemake, all on one core, in turn. Printed are medians
and the best of the rounds: wall seconds, and processor seconds, which a busy machine changes less.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
LINKED = ("Snakefile", "config.yaml", "workflows", "profiles", "returnn_lite", "cupy_kernels")
LIMITS = {"plan": 20.0, "stage": 0.3}  # seconds that are aimed at
PLAN, ADDED = "plan the stages", "what the workflow adds to a stage"  # what has a limit
Times = list[tuple[float, float]]  # of rounds: wall and processor seconds

NOTHING = '''"""A job that does nothing."""

from dataclasses import dataclass
from pathlib import Path

from jobs.files import written
from jobs.job import Resources, file

NAME = "bench.nothing"
VERSION = 1


@dataclass(frozen=True, kw_only=True)
class Inputs:
    text: Path | None = None


@dataclass(frozen=True, kw_only=True)
class Outputs:
    text: Path = file("text.txt")


@dataclass(frozen=True, kw_only=True)
class Params:
    number: int


def resources(params):
    return Resources(mem_mb=100, minutes=1)


def run(inputs, outputs, params, log):
    with written(outputs.text) as tmp:
        tmp.write_text("")
'''

SMALL = """from recipes.recipe import Recipe, Stage

RECIPE = Recipe(
    name="small",
    stages={{
        f"s{{i}}": Stage(
            job="bench.nothing",
            inputs={{"text": f"s{{i // 2}}.text"}} if i else {{}},
            params={{"number": i}},
        )
        for i in range({count})
    }},
)
"""

LARGE = """from recipes import commands
from recipes.grid import grid


def at(seed):
    return commands.RECIPE.replace("large", corpus={{"seed": seed}})


RECIPE = grid("large", at, seed=range({count}))
"""

ALONE = """import logging, pathlib, sys
from jobs.bench import nothing
outputs = nothing.Outputs(text=pathlib.Path(sys.argv[1]))
nothing.run(nothing.Inputs(), outputs, nothing.Params(number=1), logging.getLogger())
"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Print the times; the exit status is 1 where a limit is passed."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--plan", type=int, default=2000, help="stages to plan")
    parser.add_argument("--run", type=int, default=100, help="stages to run")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--json", type=Path, help="write the numbers to a file, too")
    options = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory() as name:
        project = make_project(Path(name), options.plan, options.run)
        found = {**planning(project, options), **overhead(project, options)}
    for what, times in found.items():
        median = [statistics.median(column) for column in zip(*times, strict=True)]
        best = [min(column) for column in zip(*times, strict=True)]
        print(
            f"{what:44}  wall {median[0]:7.3f} (best {best[0]:.3f}) s,"
            f" processor {median[1]:7.3f} (best {best[1]:.3f}) s"
        )
    plan, stage = (min(wall for wall, _ in found[what]) for what in (PLAN, ADDED))
    limits = f"planning {plan:.1f} of {LIMITS['plan']} s, stage {stage:.3f} of {LIMITS['stage']} s"
    print(f"limits: {limits}")
    if options.json:
        options.json.write_text(json.dumps(found, indent=1) + "\n", "utf-8")
    return int(plan > LIMITS["plan"] or stage > LIMITS["stage"])


def make_project(folder: Path, plan: int, run: int) -> Path:
    """Make a project like this one with the job and the recipes of the benchmark."""
    for name in LINKED:
        (folder / name).symlink_to(ROOT / name)
    for name in ("jobs", "recipes"):
        ignore = shutil.ignore_patterns("__pycache__")
        shutil.copytree(ROOT / name, folder / name, ignore=ignore)
    (folder / "jobs" / "bench").mkdir()
    (folder / "jobs" / "bench" / "__init__.py").touch()
    (folder / "jobs" / "bench" / "nothing.py").write_text(NOTHING)
    chain = 30  # stages of the recipe commands
    (folder / "recipes" / "large.py").write_text(LARGE.format(count=-(-plan // chain)))
    (folder / "recipes" / "small.py").write_text(SMALL.format(count=run))
    return folder


def planning(project: Path, options: argparse.Namespace) -> dict[str, Times]:
    """Return the times of planning, before and after the specifications were written."""
    first, again = [], []
    for _ in range(options.rounds):
        shutil.rmtree(project / "work", ignore_errors=True)
        command = snakemake("large", "-n", "--quiet")
        first.append(timed(project, *command))
        again.append(timed(project, *command))
    count = sum(1 for _ in project.glob("work/*/*/stage.json")) - 1  # the table
    assert count >= options.plan, f"planned {count} stages"
    print(f"{count} stages to plan")
    return {PLAN: first, f"{PLAN} again": again}


def overhead(project: Path, options: argparse.Namespace) -> dict[str, Times]:
    """Return the times of one stage: by itself, by the runner, by Snakemake, and what that adds."""
    alone_times, runner_times, whole_times, added = [], [], [], []
    for _ in range(options.rounds):
        shutil.rmtree(project / "work", ignore_errors=True)
        plan = timed(project, *snakemake("small", "-n", "--quiet"))
        run = timed(project, *snakemake("small", "--quiet"))
        stages = options.run + 1  # with the table
        whole = tuple((r - p) / stages for r, p in zip(run, plan, strict=True))
        specs = sorted(project.glob("work/bench.nothing/*/stage.json"))[:10]
        runner = [timed(project, "-m", "workflows.run_job", str(spec)) for spec in specs]
        alone = [timed(project, "-c", ALONE, "text.txt") for _ in specs]
        bare, by_runner = (
            tuple(map(statistics.mean, zip(*x, strict=True))) for x in (alone, runner)
        )
        alone_times.append(bare)
        runner_times.append(by_runner)
        whole_times.append(whole)
        added.append((whole[0] - bare[0], whole[1] - bare[1]))
    return {
        "a stage alone": alone_times,
        "a stage by the runner": runner_times,
        "a stage by Snakemake, without planning": whole_times,
        ADDED: added,
    }


def snakemake(recipe: str, *arguments: str) -> list[str]:
    """Return the arguments of Python that run all stages of a recipe on one core."""
    command = ["-m", "snakemake", "--cores", "1", "all", *arguments]
    return [*command, "--config", f"recipes={recipe}"]


def timed(project: Path, *arguments: str) -> tuple[float, float]:
    """Run Python in the project; return wall and processor seconds."""
    environment = {**os.environ, "PYTHONPATH": str(project), "OMP_NUM_THREADS": "1"}
    command = [sys.executable, *arguments]
    before, start = resource.getrusage(resource.RUSAGE_CHILDREN), time.monotonic()
    done = subprocess.run(command, cwd=project, env=environment, capture_output=True, text=True)
    wall, after = time.monotonic() - start, resource.getrusage(resource.RUSAGE_CHILDREN)
    assert done.returncode == 0, done.stdout + done.stderr
    return wall, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


if __name__ == "__main__":
    sys.exit(main())
