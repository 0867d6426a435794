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
import sys
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[2]))

from benchmarks.contest import Contestant, heading, row, start, summary, take_turns
from benchmarks.rec.growth import growth
from benchmarks.rec.tasks import TASKS, Task

WORKER = "benchmarks.rec.worker"


def contestants(task: Task) -> list[str]:
    """Return the names of those that can do a task, ours first."""
    variants = [f"_{v}" if v else "" for v in task.nets]
    found = [f"ours{v}" for v in variants]
    returnn = [f"returnn{v}" for v in variants if v != "_no_rec_layer"]
    return [*found, *returnn, *(["pytorch"] if task.pytorch else [])]


def measure(name: str, threads: int, rounds: int) -> dict[str, Contestant]:
    """Let the contestants of a task do it in turn."""
    started = {c: start(WORKER, name, c, threads) for c in contestants(TASKS[name])}
    return take_turns(started, rounds)


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
    heading(name)
    for who, c in found.items():
        same = "" if c is ours else agreement(ours.first["found"], c.first["found"])
        row(who, c, ours, same)
    return summary(name, found, task.against or "returnn", task.bar)


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
