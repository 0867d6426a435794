"""Locks: who waits for whom."""

from __future__ import annotations

import errno
import fcntl
import logging
import threading
import time
from pathlib import Path

import pytest

from jobs.job import JobError
from workflows.lock import held, hold, locked, store_locked, try_locked


def test_a_lock_is_held_until_its_process_lets_go(tmp_path: Path) -> None:
    path = tmp_path / ".lock"
    assert not held(path)
    with try_locked(path) as first, try_locked(path) as second:
        assert first and not second and held(path)
    assert not held(path)


def test_a_run_holds_its_lock_to_the_end(tmp_path: Path) -> None:
    hold(tmp_path / "run.lock")
    assert held(tmp_path / "run.lock")
    hold(tmp_path / "no" / "folder")  # a store that cannot be written: nothing to hold


def test_who_removes_waits_for_those_who_plan_and_they_for_it(tmp_path: Path) -> None:
    order = []

    def remove() -> None:
        with store_locked(tmp_path, alone=True):
            order.append("removed")

    with store_locked(tmp_path), store_locked(tmp_path):  # two plans at once
        thread = threading.Thread(target=remove)
        thread.start()
        time.sleep(0.1)
        order.append("planned")
    thread.join()
    assert order == ["planned", "removed"]


def test_a_file_system_without_locks_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def flock(descriptor: int, kind: int) -> None:
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr(fcntl, "flock", flock)
    with (
        pytest.raises(JobError, match=r"found a file system without locks .*, needed flock"),
        locked(tmp_path / ".lock", logging.getLogger()),
    ):
        pass
