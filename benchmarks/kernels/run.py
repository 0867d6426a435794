"""Times the kernels of cupy_kernels and what a user would pick instead, in turn, in one run.

    python benchmarks/kernels/run.py [--tasks ctc ...] [--threads 2] [--rounds 15] [--json FILE]
    python benchmarks/kernels/run.py --gpu [...]  # needs numpy, cupy and PyTorch alone

Each contestant lives in a process of its own, so that none disturbs another's threads or memory;
only one works at a time. Packages that are not installed are left out. Printed are the median of
the rounds, the best one, the least processor time (of all threads: what a busy machine spoils
least), the memory that one run adds at its peak, and how often our median and our processor time
go into a peer's.

A file beside this one has the tasks of an operation, `TASKS`: name -> an object with a method for
each contestant that can do it, `ours` among them, which takes the number of threads and returns a
function that does the task once. Names that begin with `gpu_` are contestants on a GPU.
"""

from __future__ import annotations

import argparse
import importlib
import json
import multiprocessing
import statistics
import time
from dataclasses import dataclass, field
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from contestants import memory_of

NOT_TASKS = ("run", "contestants", "returnn_step", "__init__")
NOT_CONTESTANTS = ("arrays", "weights")


def tasks() -> dict[str, Any]:
    """Return the tasks of all files here, by name."""
    names = [p.stem for p in sorted(Path(__file__).parent.glob("*.py")) if p.stem not in NOT_TASKS]
    return {k: task for n in names for k, task in importlib.import_module(n).TASKS.items()}


def contestants(task: Any, gpu: bool = False) -> list[str]:
    """Return the names of those that can do a task, ours first."""
    names = [n for n in dir(task) if not n.startswith("_") and callable(getattr(task, n))]
    names = [n for n in names if n not in NOT_CONTESTANTS and n.startswith("gpu_") == gpu]
    return sorted(names, key=lambda n: "ours" not in n)


def serve(pipe: Connection, task: str, contestant: str, threads: int) -> None:
    """A contestant's process: sets up, warms up, then runs whenever it is told to.

    Sends an error or the memory of its first run in MiB, then wall and processor seconds of each.
    """
    try:
        run = getattr(tasks()[task], contestant)(threads)
    except ImportError as error:
        pipe.send(str(error))
        return
    pipe.send(memory_of(run, contestant.startswith("gpu_")))
    while pipe.recv():
        start = time.perf_counter(), time.process_time()
        run()
        pipe.send((time.perf_counter() - start[0], time.process_time() - start[1]))


@dataclass
class Contestant:
    """A process that is ready. memory: MiB of a run. times: wall and processor seconds of each."""

    pipe: Connection
    memory: float
    times: list[tuple[float, float]] = field(default_factory=list)

    def turn(self) -> None:
        """Run once."""
        self.pipe.send(True)
        self.times.append(self.pipe.recv())


def start(task: str, threads: int, gpu: bool) -> dict[str, Contestant]:
    """Start the processes of all contestants whose packages are there."""
    context = multiprocessing.get_context("spawn")
    started = {}
    for name in contestants(tasks()[task], gpu):
        pipe, theirs = context.Pipe()
        context.Process(target=serve, args=(theirs, task, name, threads), daemon=True).start()
        found = pipe.recv()
        if isinstance(found, str):
            print(f"{task}: {name} left out: {found}")
        else:
            started[name] = Contestant(pipe, found)
    return started


def measure(task: str, threads: int, rounds: int, gpu: bool) -> dict[str, Contestant]:
    """Let the contestants run in turn."""
    started = start(task, threads, gpu)
    for turn in range(rounds):
        for contestant in started.values():
            if turn < 3 or min(contestant.times)[0] < 2.0:  # the slow take three turns
                contestant.turn()
    for contestant in started.values():
        contestant.pipe.send(False)
    return started


def report(task: str, found: dict[str, Contestant], gpu: bool) -> dict[str, Any]:
    """Print a task's table; return its row for the JSON file."""
    walls = {name: [wall for wall, _ in c.times] for name, c in found.items()}
    median = {name: statistics.median(values) for name, values in walls.items()}
    processor = {name: min(cpu for _, cpu in c.times) for name, c in found.items()}
    first = next(iter(median))  # ours
    heads = "median     best  processor      MiB  ratio of medians, of processor times"
    print(f"{task}\n  {'':20} {heads}")
    for name, wall in median.items():
        ratios = wall / median[first], processor[name] / processor[first]
        row = f"{wall:9.4f} {min(walls[name]):8.4f} {processor[name]:10.4f}"
        print(f"  {name:17} {row} {found[name].memory:8.0f}  {ratios[0]:6.2f} {ratios[1]:6.2f}")
    ours, peers = median[first], {n: wall for n, wall in median.items() if "ours" not in n}
    ratio = min(peers.values()) / ours if peers else None
    memory = {name: contestant.memory for name, contestant in found.items()}
    return {
        "name": task,
        "ours": ours,
        "peers": peers,
        "ratio": ratio,
        "bar": getattr(tasks()[task], "gpu_bar", 0.0) if gpu else tasks()[task].bar,
        "memory": memory,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--tasks", nargs="+", choices=tasks(), default=list(tasks()))
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--json", type=Path)
    parser.add_argument("--gpu", action="store_true", help="those that run on a GPU")
    options = parser.parse_args()
    rows = []
    for task in options.tasks:
        if contestants(tasks()[task], options.gpu):
            found = measure(task, options.threads, options.rounds, options.gpu)
            rows += [report(task, found, options.gpu)] if found else []
    if options.json:
        options.json.write_text(json.dumps(rows, indent=2) + "\n")


if __name__ == "__main__":
    main()
