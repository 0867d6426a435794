"""A contestant's process: gets ready, then does the task once for each line of its input.

    python -m benchmarks.networks.worker <task> <contestant> <threads> <folder>

Answers are lines of JSON: the seconds until the first turn was over, the MiB that the network and
two turns took at the peak, and the losses of these turns; then wall and processor seconds of each
further turn. What a forward pass found is written into the folder.
"""

from __future__ import annotations

import importlib
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.contest import answers, serve
from benchmarks.kernels.contestants import memory_of

MODULES = {"ours": "ours", "returnn": "returnn_peer"}


def main(task_name: str, contestant: str, threads: int, folder: Path) -> None:
    """Serve."""
    to = answers()
    from benchmarks.networks.tasks import TASKS

    module = importlib.import_module(f"benchmarks.networks.{MODULES[contestant]}")
    module.load(threads)
    found: dict[str, Any] = {}
    begun = time.perf_counter()

    def begin() -> None:
        run = module.prepare(TASKS[task_name])
        turns = [run()]
        found.update(run=run, seconds=time.perf_counter() - begun, turns=[*turns, run()])

    memory = memory_of(begin, gpu=False)
    first = {"memory": memory, "seconds": found["seconds"]}
    if TASKS[task_name].gives_loss:
        first["losses"] = [turn["loss"] for turn in found["turns"]]
    else:
        np.save(folder / f"{contestant}.npy", found["turns"][0]["output"])
    serve(found["run"], first, to)


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], int(sys.argv[3]), Path(sys.argv[4]))
