"""Run a recipe that is killed again and again, and compare all that it made with another run's.

    python -m tests.killed_chain <folder of a finished run> <new folder> [--recipe tiny] [--seed 1]

Every few seconds all processes of the run get SIGKILL, or Snakemake alone, whose jobs then go on
beside those of the next start; then it is started again, until it ends by itself.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
SECONDS = (2.0, 14.0)  # from one start to the next kill: of the order of a stage of `tiny`
TIMES = {"seconds", "real_time_factor"}  # what no two runs have in common
UNSTABLE = {
    "manifest.json",
    "log.txt",
    "batch.txt",
    "stage.json",
    ".lock",
    ".snakemake_timestamp",
}


def main() -> int:
    """Return 0 where both runs made the same."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("finished", type=Path)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--recipe", default="tiny")
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    kills = run_killed(options.folder, options.recipe, random.Random(options.seed))
    wrong = differences(options.finished, options.folder)
    files = len(outputs(options.folder))
    sys.stdout.write(f"killed {kills} times; {files} files, of which differ {wrong or 'none'}\n")
    return 0 if kills and files and not wrong else 1


def run_killed(folder: Path, recipe: str, draw: random.Random) -> int:
    """Start the recipe until it ends without being killed; return how often it was."""
    folder.mkdir(parents=True)
    config = ["results/wer.txt", "--config", f"recipes={recipe}"]
    program = [sys.executable, "-m", "snakemake", "--directory", str(folder), "--no-hooks", *config]
    kills = 0
    while True:
        with (folder / "run.log").open("a") as log:
            process = subprocess.Popen(
                program, cwd=ROOT, stdout=log, stderr=log, start_new_session=True
            )
        try:
            status = process.wait(draw.uniform(*SECONDS))
        except subprocess.TimeoutExpired:
            kills += 1
            if draw.random() < 0.7:
                os.killpg(process.pid, signal.SIGKILL)
            else:
                process.kill()
            process.wait()
            continue
        if status:
            raise SystemExit(f"the run failed, see {folder / 'run.log'}")
        return kills


def outputs(folder: Path) -> dict[str, Path]:
    """Return the table and all files that stages made, by their path in the folder."""
    made = [p for p in sorted(folder.glob("work/*/*/**/*")) if p.is_file()]
    kept = [p for p in made if p.name not in UNSTABLE and "checkpoints" not in p.parts]
    return {str(p.relative_to(folder)): p for p in [folder / "results" / "wer.txt", *kept]}


def differences(one: Path, other: Path) -> list[str]:
    """Return the files that are not the same in both folders, but for times."""
    ours, theirs = outputs(one), outputs(other)
    both = ours.keys() & theirs.keys()
    differing = [name for name in both if content(ours[name]) != content(theirs[name])]
    return sorted({*differing, *(ours.keys() ^ theirs.keys())})


def content(path: Path) -> Any:
    """Return what a file says, without times and without the folder of the run."""
    if path.suffix == ".json":
        value = json.loads(path.read_text("utf-8"))
        return {k: v for k, v in value.items() if k not in TIMES} if type(value) is dict else value
    return path.read_bytes()


if __name__ == "__main__":
    start = time.monotonic()
    code = main()
    sys.stdout.write(f"{time.monotonic() - start:.0f} s\n")
    sys.exit(code)
