"""No job outlives a run that ends in order."""

from __future__ import annotations

import fcntl
import logging
import os
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from workflows.batch import left as module
from workflows.batch.engine import Silent
from workflows.batch.left import RUN, cancel_left, new_run, noted

if TYPE_CHECKING:
    from conftest import FakeEngine


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv(RUN, "")  # is put back at the end
    return new_run(tmp_path / "records")


def test_what_was_submitted_is_cancelled(
    run: Path, engine: FakeEngine, caplog: pytest.LogCaptureFixture
) -> None:
    for name in ("b", "a b", "b"):
        with noted("toy", name):
            pass
    engine.found = ["17", "18"]
    cancel_left(run, {"toy": lambda: engine}, logging.getLogger())
    assert engine.cancelled == ["a b", "b"]
    assert caplog.messages == ["cancelled what was left in the queue: 17, 18"]
    assert not run.exists()


def test_without_submissions_nobody_is_asked(run: Path, log: logging.Logger) -> None:
    cancel_left(run, {}, log)
    assert not run.parent.exists()


def test_a_submission_outside_of_a_run(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv(RUN, raising=False)
    monkeypatch.chdir(tmp_path)
    with noted("toy", "a"):
        assert not list(tmp_path.iterdir())


def test_a_silent_system(run: Path, engine: FakeEngine, caplog: pytest.LogCaptureFixture) -> None:
    with noted("toy", "a"):
        pass
    engine.found = [Silent("Unable to contact")]
    cancel_left(run, {"toy": lambda: engine}, logging.getLogger())
    expected = "toy: jobs of this run may be left in the queue: Unable to contact"
    assert caplog.messages == [expected]


def test_submissions_under_way_are_waited_for(
    run: Path, engine: FakeEngine, log: logging.Logger, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "PAUSE", 0.01)
    with noted("toy", "a"):
        pass
    file = os.open(run, os.O_RDONLY)
    fcntl.flock(file, fcntl.LOCK_SH)
    engine.found = ["17"]
    cancelling = threading.Thread(
        target=cancel_left, args=(run, {"toy": lambda: engine}, log), daemon=True
    )
    cancelling.start()
    time.sleep(0.1)
    assert engine.cancelled == []
    os.close(file)
    cancelling.join()
    assert engine.cancelled == ["a"]
    with noted("toy", "b"):  # for good: a program that hangs
        monkeypatch.setattr(module, "SECONDS", 0.05)
        engine.found = ["18"]
        cancel_left(run, {"toy": lambda: engine}, log)
    assert engine.cancelled == ["a", "b"]
