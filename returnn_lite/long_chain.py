"""Long chains of layers: those at the far end come first, since Python's calls go only so deep."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")
_STEP = 500


def far_ends(start: T, before: Callable[[T], T | None]) -> list[T]:
    """Return some of a chain that ends with start, from its beginning on; none of a short one.

    before: what comes before one in the chain. Who asks for them in this order asks for some
    hundreds at a time, where each asks for that before it.
    """
    chain = {start: None}
    found = before(start)
    while found is not None and found not in chain:
        chain[found] = None
        found = before(found)
    return list(chain)[:0:-_STEP] if len(chain) > _STEP else []
