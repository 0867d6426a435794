"""A contestant's process: gets ready, then does the task once for each line of its input.

    python -m benchmarks.rec.worker <task> <contestant> <threads>

Answers are lines of JSON: what the first turn found and how many MiB it took, then wall and
processor seconds of each further turn.
"""

from __future__ import annotations

import importlib
import json
import os
import sys
import time

from benchmarks.kernels.contestants import memory_of

MODULES = {"ours": "ours", "returnn": "returnn_peer", "pytorch": "pytorch_peer"}


def main(task_name: str, contestant: str, threads: int) -> None:
    """Serve."""
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # libraries may print what they like
    from benchmarks.rec.tasks import TASKS

    who, _, variant = contestant.partition("_")
    module = importlib.import_module(f"benchmarks.rec.{MODULES[who]}")
    run = module.prepare(TASKS[task_name], variant, threads)
    first = {}
    memory = memory_of(lambda: first.update(run()), gpu=False)
    print(json.dumps({"memory": memory, "found": first}), file=answers, flush=True)
    for _ in sys.stdin:
        start = time.perf_counter(), time.process_time()
        run()
        times = time.perf_counter() - start[0], time.process_time() - start[1]
        print(json.dumps(times), file=answers, flush=True)


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], int(sys.argv[3]))
