"""How far a long job is, and how long it still takes."""

from __future__ import annotations

import logging
import sys
import time
from collections.abc import Iterator, Sequence
from typing import TypeVar

T = TypeVar("T")


def progress(items: Sequence[T], what: str, log: logging.Logger) -> Iterator[T]:
    """Yield the items; log a line every tenth with the time left, and show a bar on a terminal.

    Records of the lines have the attribute `bar`: whether a bar on stderr shows the same.
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
    start, total, shown = time.monotonic(), len(items), 0
    for done, item in enumerate(items, 1):
        yield item
        if done * 10 // total > shown:
            shown = done * 10 // total
            seconds = time.monotonic() - start
            left = seconds * (total - done) / done
            message = "%s: %d of %d, %.0f s, %.0f s left"
            log.info(message, what, done, total, seconds, left, extra={"bar": bar})
