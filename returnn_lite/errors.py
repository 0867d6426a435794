"""The error a user sees for a mistake in a network, its data or its options."""

from __future__ import annotations

import difflib
from collections.abc import Iterable

_MOST = 30  # names in a message


class NetworkError(Exception):
    """`<layer> (<class>): found <value>, needed <condition>; try <action>`.

    located: whether it says which layer it is about.
    """

    located = False


def nearest(name: str, names: Iterable[str]) -> str:
    """Return `; did you mean 'x'?`, or the list of valid names, to end an error message."""
    names = sorted(names)
    # Letters in another order are the commonest mistake.
    same = [n for n in names if sorted(n.lower()) == sorted(name.lower())]
    by_lower = {n.lower(): n for n in names}
    close = same or [by_lower[n] for n in difflib.get_close_matches(name.lower(), by_lower, n=1)]
    if close:
        return f"; did you mean {close[0]!r}?"
    more = [f"{len(names) - _MOST} more"] if len(names) > _MOST else []
    return f"; there are: {', '.join([*names[:_MOST], *more]) or 'none'}"
