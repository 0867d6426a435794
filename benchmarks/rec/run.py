"""Times rec layers, ours, RETURNN's, and PyTorch's written by hand, in turn, in one run.

    python benchmarks/rec/run.py [--tasks NAME ...] [--threads 2] [--rounds 9] [--json FILE]
    python benchmarks/rec/run.py --growth  # how time and memory of our search grow

Each contestant lives in a process of its own and only one works at a time. RETURNN runs in the
Python that RETURNN_PYTHON names, PyTorch in that of PYTORCH_PYTHON, or else in this one; who cannot
start is left out. Printed are the median of the rounds, the best one, the least processor time (of
all threads), the memory that the first turn adds at its peak, and how often our median and our best
go into another's. What they find has to agree: losses, or labels and scores.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT))

from benchmarks.rec.growth import growth  # noqa: E402
from benchmarks.rec.tasks import TASKS, Task  # noqa: E402


@dataclass
class Contestant:
    """A process that is ready. first: what it found, and the MiB it took. times: of each turn."""

    process: subprocess.Popen[str]
    first: dict[str, Any]
    times: list[tuple[float, float]] = field(default_factory=list)

    def turn(self) -> None:
        """Do the task once."""
        assert self.process.stdin is not None and self.process.stdout is not None
        self.process.stdin.write("\n")
        self.process.stdin.flush()
        self.times.append(json.loads(self.process.stdout.readline()))

    def best(self, which: int = 0) -> float:
        """Return the least wall (0) or processor (1) seconds."""
        return min(times[which] for times in self.times)

    def median(self) -> float:
        """Return the median of wall seconds."""
        return statistics.median(wall for wall, _ in self.times)


def contestants(task: Task) -> list[str]:
    """Return the names of those that can do a task, ours first."""
    variants = [f"_{v}" if v else "" for v in task.nets]
    found = [f"ours{v}" for v in variants]
    returnn = [f"returnn{v}" for v in variants if v != "_no_rec_layer"]
    return [*found, *returnn, *(["pytorch"] if task.pytorch else [])]


def start(name: str, task: str, threads: int) -> Contestant | None:
    """Start a process; None where it cannot do the task."""
    who = name.split("_")[0].upper()
    python = os.environ.get(f"{who}_PYTHON", "" if who == "RETURNN" else sys.executable)
    if not python:
        print(f"{task}: {name} left out: {who}_PYTHON names no Python")
        return None
    quiet = {"CUDA_VISIBLE_DEVICES": "", "TF_CPP_MIN_LOG_LEVEL": "3", "PYTHONPATH": str(ROOT)}
    # Threads that spin while they wait take ten times as long on a machine with other work.
    quiet["OMP_WAIT_POLICY"] = "PASSIVE"
    process = subprocess.Popen(
        [python, "-m", "benchmarks.rec.worker", task, name, str(threads)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, **quiet},
    )
    assert process.stdout is not None and process.stderr is not None
    line = process.stdout.readline()
    if not line:
        print(f"{task}: {name} left out: {process.stderr.read()[-300:]}")
        return None
    return Contestant(process, json.loads(line))


def measure(name: str, threads: int, rounds: int) -> dict[str, Contestant]:
    """Let the contestants of a task do it in turn."""
    started = {c: start(c, name, threads) for c in contestants(TASKS[name])}
    found = {c: process for c, process in started.items() if process is not None}
    for _ in range(rounds):
        for contestant in found.values():
            contestant.turn()
    for contestant in found.values():
        contestant.process.communicate()
    return found


def agreement(ours: dict[str, Any], theirs: dict[str, Any]) -> str:
    """Return how results differ: the loss, or the share of best labels, and the scores."""
    if "loss" in ours:
        return f"loss differs by {abs(ours['loss'] - theirs['loss']):.0e}"
    pairs = list(zip(ours["labels"], theirs["labels"], strict=True))
    equal = sum(a == b for a, b in pairs)
    scores = zip(ours["scores"], theirs["scores"], strict=True)
    most = max(abs(a - b) for rows in scores for a, b in zip(*rows, strict=True))
    return f"{equal} of {len(pairs)} best sequences equal, scores differ by {most:.0e}"


def report(name: str, found: dict[str, Contestant]) -> dict[str, Any]:
    """Print a task's table; return its row for the JSON file."""
    ours, task = found["ours"], TASKS[name]
    print(f"{name}\n  {'':18}   median     best  processor    MiB  ratio of medians, of best")
    for who, c in found.items():
        row = f"{c.median():9.4f} {c.best():8.4f} {c.best(1):10.4f} {c.first['memory']:6.0f}"
        ratios = f"{c.median() / ours.median():6.2f} {c.best() / ours.best():6.2f}"
        same = "" if c is ours else agreement(ours.first["found"], c.first["found"])
        print(f"  {who:18}{row}  {ratios}  {same}", flush=True)
    peers = {who: c.median() for who, c in found.items() if not who.startswith("ours")}
    against = task.against or "returnn"
    ratio = found[against].median() / ours.median() if against in found else None
    return {
        "name": name,
        "ours": ours.median(),
        "peers": peers,
        "against": against,
        "ratio": ratio,
        "bar": task.bar,
        "memory": {who: c.first["memory"] for who, c in found.items()},
        "best": {who: c.best() for who, c in found.items()},
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--tasks", nargs="+", choices=TASKS, default=list(TASKS))
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--json", type=Path)
    parser.add_argument("--growth", action="store_true", help="how our search grows")
    options = parser.parse_args()
    if options.growth:
        rows = growth(options.threads, options.rounds)
    else:
        rows = []
        for name in options.tasks:
            found = measure(name, options.threads, options.rounds)
            rows += [report(name, found)] if "ours" in found else []
    if options.json:
        options.json.write_text(json.dumps(rows, indent=2) + "\n")


if __name__ == "__main__":
    main()
