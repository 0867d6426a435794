"""How far a long job is, and how long it still takes."""

from __future__ import annotations

import logging
import sys
import time
from collections.abc import Iterator, Sequence
from typing import TypeVar

T = TypeVar("T")

PAUSE = 5.0  # seconds


def progress(items: Sequence[T], what: str, log: logging.Logger) -> Iterator[T]:
    """Yield the items; log how far it is and the time left, and show a bar on a terminal.

    A line comes at every tenth, and at most every PAUSE seconds. Its record has the attribute
    `bar`: whether a bar on stderr shows the same.
    """
    bar = sys.stderr.isatty()
    lines = _with_lines(items, what, log, bar)
    if not bar:
        return lines
    from rich.console import Console
    from rich.progress import track

    console = Console(stderr=True)
    return iter(track(lines, description=what, total=len(items), console=console))


def _with_lines(items: Sequence[T], what: str, log: logging.Logger, bar: bool) -> Iterator[T]:
    start = last = time.monotonic()
    total, tenths = len(items), 0
    for done, item in enumerate(items, 1):
        yield item
        now = time.monotonic()
        if done * 10 // total > tenths and now - last >= PAUSE:
            last, tenths = now, done * 10 // total
            left = (now - start) * (total - done) / done
            message = "%s: %d of %d, %.0f s, %.0f s left"
            log.info(message, what, done, total, now - start, left, extra={"bar": bar})
