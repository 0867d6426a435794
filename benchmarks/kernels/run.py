"""Times the kernels of cupy_kernels and what a user would pick instead, in turn, in one run.

    python benchmarks/kernels/run.py [--tasks ctc ...] [--threads 2] [--rounds 15] [--json FILE]
    python benchmarks/kernels/run.py --gpu [...]  # needs numpy, cupy and PyTorch alone

Each contestant lives in a process of its own, so that none disturbs another's threads or memory;
only one works at a time. RETURNN runs in the Python that RETURNN_PYTHON names, others in that of
PYTORCH_PYTHON and the like, or else in this one; who cannot start is left out. Printed are the
median of the rounds, the best one, the least processor time (of all threads: what a busy machine
spoils least), the memory that one run adds at its peak, and how often our median and our best go
into a peer's.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[2]))

from benchmarks.contest import heading, row, start, summary, take_turns
from benchmarks.kernels.tasks import contestants, tasks

WORKER = "benchmarks.kernels.worker"


def measure(name: str, task: Any, threads: int, rounds: int, gpu: bool) -> dict[str, Any] | None:
    """Let the contestants of a task do it in turn; print its table, and return its row."""
    started = {c: start(WORKER, name, c, threads, gpu=gpu) for c in contestants(task, gpu)}
    found = take_turns(started, rounds)
    ours = "gpu_ours" if gpu else "ours"
    if ours not in found:
        return None
    heading(name)
    for who, c in found.items():
        row(who, c, found[ours])
    bar = getattr(task, "gpu_bar", 0.0) if gpu else task.bar
    return summary(name, found, ours=ours, bar=bar)


def main() -> None:
    known = tasks()
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--tasks", nargs="+", choices=known, default=list(known))
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--json", type=Path)
    parser.add_argument("--gpu", action="store_true", help="those that run on a GPU")
    options = parser.parse_args()
    found = [
        measure(name, known[name], options.threads, options.rounds, options.gpu)
        for name in options.tasks
        if contestants(known[name], options.gpu)
    ]
    if options.json:
        rows = [row for row in found if row is not None]
        options.json.write_text(json.dumps(rows, indent=2) + "\n")


if __name__ == "__main__":
    main()
