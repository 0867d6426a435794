"""How much memory a job needs at its peak, with all processes that it starts."""

from __future__ import annotations

import contextlib
import resource
import threading
from collections.abc import Iterator
from pathlib import Path

import psutil

INTERVAL = 0.5  # seconds between two looks


class Peak:
    """mib: the most memory seen so far, MiB of resident pages."""

    def __init__(self) -> None:
        self._sampled = 0

    def sample(self) -> None:
        """Add up this process and its descendants as they are now."""
        total, process = 0, psutil.Process()
        for p in [process, *process.children(recursive=True)]:
            with contextlib.suppress(psutil.Error):
                total += p.memory_info().rss
        self._sampled = max(self._sampled, total)

    @property
    def mib(self) -> int:
        # The kernel's own peaks, in KiB, miss nothing, but are of one process each.
        children = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss
        return max(self._sampled // 2**20, children // 2**10, _own_peak_kib() // 2**10)


def _own_peak_kib() -> int:
    """Return this process's own peak; getrusage counts what its parent had before exec as well."""
    status = Path("/proc/self/status")
    if status.exists():
        lines = [line.split() for line in status.read_text().splitlines()]
        return next(int(words[1]) for words in lines if words[0] == "VmHWM:")
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


@contextlib.contextmanager
def peak_memory() -> Iterator[Peak]:
    """Watch the memory of this process and its descendants while the body runs."""
    peak, done = Peak(), threading.Event()

    def watch() -> None:
        while not done.wait(INTERVAL):
            peak.sample()

    thread = threading.Thread(target=watch, daemon=True)
    thread.start()
    try:
        yield peak
    finally:
        done.set()
        thread.join()
