"""How time and memory of our search grow with batch, beam, steps and vocabulary."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

STEPS = 10, 40


def growth(threads: int, rounds: int) -> list[dict[str, Any]]:
    """Print seconds of a step by batch and beam, and memory by steps and vocabulary."""
    rows = []
    print("processor time of a step, and of a hypothesis in it, which is not to grow")
    for what, sizes in (("batch", [1, 2, 4, 8, 16]), ("beam", [1, 3, 6, 12, 24, 48])):
        for size in sizes:
            opts = {"batch": 8, "beam": 12, "scale": 4, "classes": 1030, what: size}
            found = [_measured(threads, rounds, **opts, steps=n)["seconds"] for n in STEPS]
            step = (found[1] - found[0]) / (STEPS[1] - STEPS[0])
            each = step / opts["batch"] / opts["beam"]
            print(f"  {what} {size:3}  {step * 1e3:8.2f} ms  {each * 1e6:8.1f} us")
            rows.append({**opts, "step": step})
    print("MiB that a search adds to what its process had before; steps x vocabulary are not held")
    for classes in (1000, 20000):
        for steps in (20, 80):
            opts = {"batch": 8, "beam": 12, "scale": 4, "classes": classes, "steps": steps}
            memory = _measured(threads, 1, **opts)["memory"]
            all_scores = 8 * 12 * classes * steps * 4 / 2**20
            print(
                f"  {classes:5} labels, {steps:2} steps  {memory:6.0f}  "
                f"(the scores of all steps: {all_scores:.0f})"
            )
            rows.append({**opts, "memory": memory})
    return rows


def _measured(threads: int, rounds: int, **opts: int) -> dict[str, float]:
    """Return the least processor seconds of a search, and the MiB that the first one takes.

    In a process of its own.
    """
    root = Path(__file__).parents[2]
    out = subprocess.run(
        [sys.executable, "-m", "benchmarks.rec.growth", json.dumps([threads, rounds, opts])],
        cwd=root,
        check=True,
        capture_output=True,
        text=True,
    )
    found: dict[str, float] = json.loads(out.stdout.splitlines()[-1])
    return found


def _measure(threads: int, rounds: int, opts: dict[str, int]) -> dict[str, float]:
    import time

    from benchmarks.kernels.contestants import memory_of
    from benchmarks.rec import ours
    from benchmarks.rec.tasks import attention

    run = ours.prepare(attention(**opts, alone=True), "", threads)
    memory = memory_of(run, gpu=False)
    times = []
    for _ in range(rounds):
        start = time.process_time()
        run()
        times.append(time.process_time() - start)
    return {"seconds": min(times), "memory": memory}


if __name__ == "__main__":
    print(json.dumps(_measure(*json.loads(sys.argv[1]))))
