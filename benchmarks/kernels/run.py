"""Times the kernels of cupy_kernels and what a user would pick instead, in turn, in one run.

    python benchmarks/kernels/run.py [--tasks ctc ...] [--threads 2] [--rounds 15] [--json FILE]
    python benchmarks/kernels/run.py --gpu [...]  # needs numpy, cupy and PyTorch alone

Each contestant lives in a process of its own, so that none disturbs another's threads or memory;
only one works at a time. Packages that are not installed are left out. Printed are the median of
the rounds, the best one, the least processor time (of all threads: what a busy machine spoils
least), and how often our median and our processor time go into a peer's.

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
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

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
    """A contestant's process: sets up, warms up, then runs whenever it is told to."""
    try:
        run = getattr(tasks()[task], contestant)(threads)
    except ImportError as error:
        pipe.send(str(error))
        return
    run()
    pipe.send("")
    while pipe.recv():
        start = time.perf_counter(), time.process_time()
        run()
        pipe.send((time.perf_counter() - start[0], time.process_time() - start[1]))


def start(task: str, threads: int, gpu: bool) -> dict[str, Connection]:
    """Start the processes of all contestants whose packages are there."""
    context = multiprocessing.get_context("spawn")
    pipes = {}
    for name in contestants(tasks()[task], gpu):
        pipe, theirs = context.Pipe()
        context.Process(target=serve, args=(theirs, task, name, threads), daemon=True).start()
        if missing := pipe.recv():
            print(f"{task}: {name} left out: {missing}")
        else:
            pipes[name] = pipe
    return pipes


def measure(
    task: str, threads: int, rounds: int, gpu: bool
) -> dict[str, list[tuple[float, float]]]:
    """Wall and processor seconds of each contestant in each round."""
    pipes = start(task, threads, gpu)
    times: dict[str, list[tuple[float, float]]] = {name: [] for name in pipes}
    for turn in range(rounds):
        for name, pipe in pipes.items():
            if turn < 3 or min(times[name])[0] < 2.0:  # the slow take three turns
                pipe.send(True)
                times[name].append(pipe.recv())
    for pipe in pipes.values():
        pipe.send(False)
    return times


def report(task: str, times: dict[str, list[tuple[float, float]]]) -> dict[str, Any]:
    """Print a task's table; return its row for the JSON file."""
    walls = {name: [wall for wall, _ in values] for name, values in times.items()}
    median = {name: statistics.median(values) for name, values in walls.items()}
    processor = {name: min(cpu for _, cpu in values) for name, values in times.items()}
    first = next(iter(median))  # ours
    print(f"{task}\n  {'':20} median     best  processor  ratio of medians, of processor times")
    for name, wall in median.items():
        ratios = wall / median[first], processor[name] / processor[first]
        row = f"{wall:9.4f} {min(walls[name]):8.4f} {processor[name]:10.4f}"
        print(f"  {name:17} {row}  {ratios[0]:6.2f} {ratios[1]:6.2f}")
    ours, peers = median[first], {n: wall for n, wall in median.items() if "ours" not in n}
    ratio = min(peers.values()) / ours if peers else None
    return {"name": task, "ours": ours, "peers": peers, "ratio": ratio, "bar": tasks()[task].bar}


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
            times = measure(task, options.threads, options.rounds, options.gpu)
            rows += [report(task, times)] if times else []
    if options.json:
        options.json.write_text(json.dumps(rows, indent=2) + "\n")


if __name__ == "__main__":
    main()
