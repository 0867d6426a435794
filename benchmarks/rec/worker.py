"""A contestant's process: gets ready, then does the task once for each line of its input.

    python -m benchmarks.rec.worker <task> <contestant> <threads>

Answers are lines of JSON: what the first turn found and how many MiB it took, then wall and
processor seconds of each further turn.
"""

from __future__ import annotations

import importlib
import sys

from benchmarks.contest import answers, serve
from benchmarks.kernels.contestants import memory_of

MODULES = {"ours": "ours", "returnn": "returnn_peer", "pytorch": "pytorch_peer"}


def main(task_name: str, contestant: str, threads: int) -> None:
    """Serve."""
    to = answers()
    from benchmarks.rec.tasks import TASKS

    who, _, variant = contestant.partition("_")
    module = importlib.import_module(f"benchmarks.rec.{MODULES[who]}")
    run = module.prepare(TASKS[task_name], variant, threads)
    first = {}
    memory = memory_of(lambda: first.update(run()), gpu=False)
    serve(run, {"memory": memory, "found": first}, to)


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], int(sys.argv[3]))
