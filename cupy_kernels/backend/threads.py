"""How many threads a kernel takes on the host."""

from __future__ import annotations

import os

from cupy_kernels import check


def thread_count(threads: int | None) -> int:
    """`threads`, or what OMP_NUM_THREADS says, or the processors that this process may use."""
    if threads is not None:
        if not check.whole(threads) or threads < 1:
            raise ValueError(f"threads: found {threads!r}, needed at least 1; try threads=1")
        return int(threads)
    setting = os.environ.get("OMP_NUM_THREADS", "").split(",")[0].strip()
    if setting.isdigit() and int(setting) > 0:
        return int(setting)
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
