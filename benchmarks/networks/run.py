"""Times whole networks, ours and RETURNN's, from the same dicts and parameters, in one run.

    python benchmarks/networks/run.py [--tasks NAME ...] [--threads 2] [--rounds 9] [--json FILE]
    python benchmarks/networks/run.py --layout [...]  # convolutions by layout and normalisation

Each contestant lives in a process of its own and only one works at a time. RETURNN runs in the
Python that RETURNN_PYTHON names. Printed are the median of the rounds, the best one, the least
processor time (of all threads: what a busy machine spoils least), the memory that the network and
two turns add at the peak, how often our median and our best go into another's, the seconds until
the first turn was over, and how losses or outputs differ. At last, how long the largest network of
the tutorial takes to be built and checked.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np

sys.path.insert(0, str(Path(__file__).parents[2]))

from benchmarks.contest import Contestant, heading, row, start, summary, take_turns
from benchmarks.networks import layout
from benchmarks.networks.tasks import TASKS, largest

WORKER = "benchmarks.networks.worker"


def measure(name: str, threads: int, rounds: int) -> dict[str, Any]:
    """Let the contestants of a task do it in turn; print its table, and return its row."""
    with tempfile.TemporaryDirectory() as folder:
        started = {c: start(WORKER, name, c, threads, folder) for c in ("ours", "returnn")}
        found = take_turns(started, rounds)
        heading(name)
        for who, c in found.items():
            same = "" if who == "ours" else agreement(found["ours"], c, Path(folder))
            row(who, c, found["ours"], f"first after {c.first['seconds']:.0f} s{same}")
    return summary(name, found, "returnn", TASKS[name].bar)


def agreement(ours: Contestant, theirs: Contestant, folder: Path) -> str:
    """Return how losses of two turns, or outputs, differ."""
    if "losses" in ours.first:
        pairs = zip(ours.first["losses"], theirs.first["losses"], strict=True)
        return f", losses differ by {max(abs(a / b - 1) for a, b in pairs):.0e} relative"
    a, b = (np.load(folder / f"{who}.npy") for who in ("ours", "returnn"))
    return f", outputs by {np.abs(a - b).max() / np.abs(b).max():.0e} of the greatest"


def construction(rounds: int) -> dict[str, Any]:
    """Print and return how long the tutorial's largest network takes to be built and checked."""
    from returnn_lite.network import Network

    streams = {"data": {"dim": 1000, "sparse": True}, "classes": {"dim": 1000, "sparse": True}}
    times = []
    for _ in range(rounds):
        begun = time.process_time()
        Network(largest(), extern_data=streams, train=True)
        times.append(time.process_time() - begun)
    name, bar = "construction of the largest network", 0.5
    print(f"{name}\n  median {statistics.median(times):.3f}, best {min(times):.3f}, bar {bar}")
    return {"name": name, "ours": statistics.median(times), "best": min(times), "most": bar}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--tasks", nargs="+", choices=TASKS, default=list(TASKS))
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--json", type=Path)
    parser.add_argument("--layout", action="store_true", help="convolutions by layout")
    options = parser.parse_args()
    if options.layout:
        rows = layout.measure(options.threads, options.rounds)
    else:
        rows = [measure(name, options.threads, options.rounds) for name in options.tasks]
        rows.append(construction(options.rounds))
    if options.json:
        options.json.write_text(json.dumps(rows, indent=2) + "\n")


if __name__ == "__main__":
    main()
