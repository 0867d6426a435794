"""How far a long job is, and how long it still takes."""

from __future__ import annotations

import logging
import sys
import time
from collections.abc import Iterator, Sequence
from typing import TypeVar

T = TypeVar("T")


def progress(items: Sequence[T], what: str, log: logging.Logger) -> Iterator[T]:
    """Yield the items, with a bar on a terminal or a line every tenth in a log, and the time left."""
    if sys.stderr.isatty():
        from rich.progress import track

        yield from track(items, description=what)
        return
    start, total = time.monotonic(), len(items)
    shown = 0
    for i, item in enumerate(items):
        yield item
        done = i + 1
        if done * 10 // total > shown:
            shown = done * 10 // total
            seconds = time.monotonic() - start
            left = seconds * (total - done) / done
            log.info("%s: %d of %d, %.0f s, %.0f s left", what, done, total, seconds, left)
