"""What becomes of memory that is freed: the next step gets it, rather than the system."""

from __future__ import annotations

import ctypes
import os

_OPTIONS = ("MALLOC_", "GLIBC_TUNABLES")  # variables by which users say so themselves
_TRIM_THRESHOLD, _MMAP_THRESHOLD, _ARENA_MAX = -1, -3, -8  # of mallopt, as in malloc.h
_NEVER = 2**30  # bytes


def keep() -> None:
    """Let glibc's malloc keep what is freed, in one pool for all threads.

    A step makes tensors of the same sizes as the one before. As malloc comes, it gives the large
    ones back to the system, which fills their pages with zeros anew, and each thread has a pool of
    its own, so that what one frees no other gets. Nothing is changed where the environment has an
    option of malloc, nor where there is another one.
    """
    if any(name.startswith(_OPTIONS) for name in os.environ):
        return
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        mallopt(_ARENA_MAX, 1)
        mallopt(_TRIM_THRESHOLD, _NEVER)
        mallopt(_MMAP_THRESHOLD, _NEVER)
