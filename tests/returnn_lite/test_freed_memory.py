"""Memory that is freed, in a process of its own: what is said to malloc holds until its end."""

from __future__ import annotations

import ctypes
import os
import subprocess
import sys

import pytest

pytestmark = pytest.mark.skipif(
    not hasattr(ctypes.CDLL(None), "mallopt"), reason="no malloc of glibc here"
)

SIZE = 2**26  # bytes: as malloc comes, it gives them back
AGAIN = f"""
import ctypes, resource
from returnn_lite.lazy import tf

tf.zeros([1])
libc = ctypes.CDLL(None)
libc.malloc.argtypes, libc.malloc.restype = [ctypes.c_size_t], ctypes.c_void_p
libc.free.argtypes = [ctypes.c_void_p]
for _ in range(2):
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    memory = libc.malloc({SIZE})
    ctypes.memset(memory, 1, {SIZE})
    libc.free(memory)
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


def _new_pages_of_the_second(**environment: str) -> int:
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("MALLOC_", "GLIBC_"))}
    command = [sys.executable, "-c", AGAIN]
    run = subprocess.run(command, env={**kept, **environment}, capture_output=True, text=True)
    assert run.returncode == 0, run.stderr[-2000:]
    return int(run.stdout)


def test_it_is_kept() -> None:
    assert _new_pages_of_the_second() < 10


def test_options_in_the_environment_have_their_way() -> None:
    pages = _new_pages_of_the_second(MALLOC_MMAP_THRESHOLD_="131072")
    assert pages >= SIZE // os.sysconf("SC_PAGE_SIZE")
