"""Contestants in processes of their own, which take turns."""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TextIO

ROOT = Path(__file__).parents[1]
SLOW = 5.0  # seconds: who takes longer has three turns


@dataclass
class Contestant:
    """A process that is ready. first: what it found at first. times: of each turn, in seconds."""

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


def start(module: str, task: str, name: str, *options: Any, gpu: bool = False) -> Contestant | None:
    """Start a process of a module's; None where it cannot do the task.

    RETURNN runs in the Python that RETURNN_PYTHON names, others in that of PYTORCH_PYTHON and the
    like, or else in this one. gpu: may see a GPU.
    """
    who = name.removeprefix("gpu_").split("_")[0].upper()
    python = os.environ.get(f"{who}_PYTHON", "" if who == "RETURNN" else sys.executable)
    if not python:
        print(f"{task}: {name} left out: {who}_PYTHON names no Python")
        return None
    quiet = {"TF_CPP_MIN_LOG_LEVEL": "3", "PYTHONPATH": str(ROOT)}
    if not gpu:
        quiet["CUDA_VISIBLE_DEVICES"] = ""
    # Threads that spin while they wait take ten times as long on a machine with other work.
    quiet["OMP_WAIT_POLICY"] = "PASSIVE"
    process = subprocess.Popen(
        [python, "-m", module, task, name, *map(str, options)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, **quiet},
    )
    assert process.stdout is not None and process.stderr is not None
    line = process.stdout.readline()
    if not line:
        said = process.stderr.read().strip().splitlines() or ["it ended at once"]
        print(f"{task}: {name} left out: {said[-1]}")
        return None
    return Contestant(process, json.loads(line))


def take_turns(started: dict[str, Contestant | None], rounds: int) -> dict[str, Contestant]:
    """Let the contestants do a task in turn, then end them."""
    found = {c: process for c, process in started.items() if process is not None}
    for turn in range(rounds):
        for contestant in found.values():
            if turn < 3 or contestant.best() < SLOW:
                contestant.turn()
    for contestant in found.values():
        contestant.process.communicate()
    return found


def answers() -> TextIO:
    """Return where a contestant's process puts its answers; libraries may print what they like."""
    found = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    return found


def serve(run: Callable[[], Any], first: dict[str, Any], to: TextIO) -> None:
    """Answer what was found at first, then wall and processor seconds of a turn for each line."""
    print(json.dumps(first), file=to, flush=True)
    for _ in sys.stdin:
        begun = time.perf_counter(), time.process_time()
        run()
        times = time.perf_counter() - begun[0], time.process_time() - begun[1]
        print(json.dumps(times), file=to, flush=True)


def heading(name: str) -> None:
    """Print the head of a task's table."""
    print(f"{name}\n  {'':24}   median     best  processor    MiB  ratio of medians, of best")


def row(who: str, c: Contestant, ours: Contestant, more: str = "") -> None:
    """Print a contestant's row."""
    times = f"{c.median():9.4f} {c.best():8.4f} {c.best(1):10.4f} {c.first['memory']:6.0f}"
    ratios = f"{c.median() / ours.median():6.2f} {c.best() / ours.best():6.2f}"
    print(f"  {who:24}{times}  {ratios}  {more}", flush=True)


def summary(
    name: str,
    found: dict[str, Contestant],
    against: str | None = None,
    bar: float = 0.0,
    ours: str = "ours",
) -> dict[str, Any]:
    """Return a task's row for the JSON file.

    against: whose time the ratio and its bar are of; None: of the fastest peer's.
    """
    peers = {who: c.median() for who, c in found.items() if "ours" not in who}
    other = min(peers.values(), default=None) if against is None else None
    if against in found:
        other = found[against].median()
    return {
        "name": name,
        "ours": found[ours].median(),
        "peers": peers,
        "against": against,
        "ratio": other / found[ours].median() if other else None,
        "bar": bar,
        "memory": {who: c.first["memory"] for who, c in found.items()},
        "best": {who: c.best() for who, c in found.items()},
        "processor": {who: c.best(1) for who, c in found.items()},
    }
