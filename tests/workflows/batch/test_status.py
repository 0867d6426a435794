"""How a job is: one question for all jobs, silence, and what a failed job leaves."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from workflows.batch import status as module
from workflows.batch.engine import Silent, State
from workflows.batch.records import Attempt, Record, attempts
from workflows.batch.status import status
from workflows.batch.submit import FINISHED

if TYPE_CHECKING:
    from conftest import FakeEngine

Ask = Callable[..., State]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    path = tmp_path / "stage"
    path.mkdir()
    return path


@pytest.fixture
def ask(engine: FakeEngine, folder: Path, tmp_path: Path) -> Ask:
    """A function that asks for the status of job 17, which was submitted long ago."""
    for job in ("16", "17"):
        record = Record(folder=folder, memory=1000, minutes=60, submitted=1.0)
        record.write(tmp_path / "records", job)

    def ask(job: str = "17", every: float = -1.0) -> State:
        return status(job, engine, tmp_path / "records", every, logging.getLogger())

    return ask


def test_one_question_for_all_jobs(engine: FakeEngine, ask: Ask) -> None:
    engine.known = {"16": State.DONE, "17": State.ACTIVE}
    assert [ask(job, every=60.0) for job in ("16", "17", "16")] == ["done", "active", "done"]
    assert engine.asked == 1
    ask(every=-1.0)
    assert engine.asked == 2


def test_a_job_that_was_submitted_since_the_last_question(
    engine: FakeEngine, ask: Ask, folder: Path, tmp_path: Path
) -> None:
    ask("16", every=60.0)
    record = Record(folder=folder, memory=1, minutes=1, submitted=time.time())
    record.write(tmp_path / "records", "18")
    assert ask("18", every=60.0) is State.ACTIVE


def test_in_silence_jobs_are_active_and_it_is_told_once(
    engine: FakeEngine, ask: Ask, caplog: pytest.LogCaptureFixture
) -> None:
    engine.known = Silent("Unable to contact")
    assert [ask(), ask(), ask(every=60.0)] == [State.ACTIVE] * 3
    said = "the batch system is silent; jobs count as running: Unable to contact"
    assert caplog.messages == [said] and engine.asked == 2
    engine.known = {"17": State.DONE}
    assert ask() is State.DONE


@pytest.mark.parametrize(
    ("state", "message"),
    [
        (
            State.OUT_OF_MEMORY,
            "job 17 needed more than its 1000 MiB of memory; another attempt has 2000\n",
        ),
        (State.OUT_OF_TIME, "job 17 needed more than its 60 minutes; another attempt has 120\n"),
        (State.CANCELLED, "job 17 was cancelled\n"),
        (State.LOST, "job 17 lost its node, or the batch system lost sight of it\n"),
    ],
)
def test_why_a_job_failed(
    engine: FakeEngine, ask: Ask, folder: Path, state: State, message: str
) -> None:
    engine.known = {"17": state}
    (folder / "error.txt").write_text("stopped by a signal\n")
    assert ask() is state
    assert (folder / "error.txt").read_text() == message
    assert attempts(folder) == [Attempt(job="17", state=state, memory=1000, minutes=60)]


def test_what_the_job_said_itself_stays(engine: FakeEngine, ask: Ask, folder: Path) -> None:
    engine.known = {"17": State.MISTAKE}
    (folder / "error.txt").write_text("found no utterances\n")
    ask()
    assert (folder / "error.txt").read_text() == "found no utterances\n"
    (folder / "error.txt").unlink()
    ask()
    expected = f"job 17 ended without a message; see {folder / 'batch.txt'}\n"
    assert (folder / "error.txt").read_text() == expected


def test_a_job_that_the_batch_system_has_forgotten(
    engine: FakeEngine, ask: Ask, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine.accounts = {"17": State.OUT_OF_TIME}
    assert ask() is State.OUT_OF_TIME
    engine.accounts = {}
    assert ask() is State.ACTIVE  # accounts may come late, and files too
    monkeypatch.setattr(module, "GRACE", -1.0)
    assert ask() is State.LOST
    (folder / "manifest.json").touch()
    assert ask() is State.DONE


def test_what_was_finished_without_a_job(engine: FakeEngine, ask: Ask) -> None:
    assert ask(FINISHED) is State.DONE and engine.asked == 0
