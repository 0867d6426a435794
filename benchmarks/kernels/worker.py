"""A contestant's process: sets up, warms up, then does the task once for each line of its input.

    python -m benchmarks.kernels.worker <task> <contestant> <threads>

Answers are lines of JSON: the MiB of the first turn; then wall and processor seconds of each.
"""

from __future__ import annotations

import sys

from benchmarks.contest import answers, serve
from benchmarks.kernels.contestants import memory_of
from benchmarks.kernels.tasks import tasks


def main(task: str, contestant: str, threads: int) -> None:
    """Serve."""
    to = answers()
    run = getattr(tasks()[task], contestant)(threads)
    serve(run, {"memory": memory_of(run, contestant.startswith("gpu_"))}, to)


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], int(sys.argv[3]))
