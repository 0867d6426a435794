"""Peak memory of a job and of what it starts."""

from __future__ import annotations

import subprocess
import sys

from workflows.memory import peak_memory

ALLOCATE = "x = bytearray(200 * 2**20); x[::4096] = b'1' * len(x[::4096])"


def run(code: str) -> int:
    """Return the peak that a fresh process sees, in MiB."""
    text = f"from workflows.memory import peak_memory\nwith peak_memory() as p:\n    {code}\n"
    done = subprocess.run(
        [sys.executable, "-c", text + "print(p.mib)"], capture_output=True, text=True, check=True
    )
    return int(done.stdout)


def test_memory_that_is_given_back_still_counts() -> None:
    assert 200 <= run(f"{ALLOCATE}; del x") < 300
    assert run("pass") < 100


def test_memory_of_a_process_that_is_started_counts() -> None:
    assert (
        run(f"import subprocess, sys; subprocess.run([sys.executable, '-c', {ALLOCATE!r}])") >= 200
    )


def test_what_a_parent_held_before_does_not_count() -> None:
    held = bytearray(300 * 2**20)
    held[::4096] = b"1" * len(held[::4096])
    assert run("pass") < 100


def test_samples_add_up_processes() -> None:
    with peak_memory() as peak:
        peak.sample()
    assert peak.mib > 10
