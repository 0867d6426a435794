"""A stage is submitted once, whatever was killed or silent meanwhile."""

from __future__ import annotations

import logging
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from jobs.job import JobError
from workflows.batch import submit as module
from workflows.batch.engine import Refused, Silent, State
from workflows.batch.records import Attempt, add_attempt, attempts, read_record
from workflows.batch.request import Request
from workflows.batch.submit import FINISHED, submit

if TYPE_CHECKING:
    from conftest import FakeEngine

Make = Callable[..., Request]


@pytest.fixture
def records(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(module, "PAUSE", 0.0)
    return tmp_path / "records"


def test_a_new_job_is_recorded(
    engine: FakeEngine, make_request: Make, records: Path, log: logging.Logger
) -> None:
    engine.ids = ["17"]
    request = make_request()
    assert submit(request, engine, log, records) == "17"
    record = read_record(records, "17")
    assert (record.folder, record.memory, record.minutes) == (request.folder, 1000, 60)


def test_a_job_that_is_there_is_not_submitted_again(
    engine: FakeEngine, make_request: Make, records: Path, caplog: pytest.LogCaptureFixture
) -> None:
    engine.found = ["16"]
    assert submit(make_request(), engine, logging.getLogger(), records) == "16"
    assert engine.submitted == [] and read_record(records, "16").memory == 1000
    caplog.set_level(logging.INFO)
    engine.found = ["16"]
    submit(make_request(), engine, logging.getLogger(), records)
    assert caplog.messages == ["commands/a; touch pwned: job 16 is there already"]


def test_what_was_finished_since_the_run_was_planned_is_not_submitted(
    engine: FakeEngine, make_request: Make, records: Path, log: logging.Logger
) -> None:
    (make_request().folder / "manifest.json").touch()
    assert submit(make_request(), engine, log, records) == FINISHED
    engine.ids = ["17"]  # what Snakemake was asked to make again
    assert submit(make_request(unfinished=False), engine, log, records) == "17"


def test_a_call_that_got_through_before_the_silence(
    engine: FakeEngine, make_request: Make, records: Path, log: logging.Logger
) -> None:
    engine.ids = [Silent("Socket timed out")]
    engine.found = [None, Silent("Unable to contact"), "17"]
    assert submit(make_request(), engine, log, records) == "17"
    assert len(engine.submitted) == 1


def test_silence_is_told_once_and_ends(
    engine: FakeEngine,
    make_request: Make,
    records: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    engine.found = [Silent("Unable to contact")] * 3
    engine.ids = ["17"]
    submit(make_request(title="x/a"), engine, logging.getLogger(), records)
    assert caplog.messages == ["x/a: the batch system is silent; waiting: Unable to contact"]
    monkeypatch.setattr(module, "PATIENCE", -1.0)
    engine.found = [Silent("Unable to contact")]
    with pytest.raises(JobError, match=r"^x/a: not submitted: Unable to contact"):
        submit(make_request(title="x/a"), engine, logging.getLogger(), records)


def test_a_mistake_is_not_tried_again_in_the_same_run(
    engine: FakeEngine, make_request: Make, records: Path, log: logging.Logger
) -> None:
    mistake = Attempt(job="1", state=State.MISTAKE, memory=1, minutes=1)
    add_attempt(make_request().folder, mistake)
    message = "^x/a: no other attempt: it would end by the same mistake$"
    with pytest.raises(JobError, match=message):
        submit(make_request(title="x/a", attempt=2), engine, log, records)
    engine.ids = ["17"]  # a new run: whoever starts it may have mended it
    assert submit(make_request(attempt=1), engine, log, records) == "17"


def test_a_refusal_is_a_mistake(
    engine: FakeEngine, make_request: Make, records: Path, log: logging.Logger
) -> None:
    engine.ids = [Refused("sbatch: error: invalid account")]
    request = make_request(title="x/a")
    with pytest.raises(JobError, match=r"^x/a: not submitted: sbatch: error: invalid account$"):
        submit(request, engine, log, records)
    assert [a.state for a in attempts(request.folder)] == [State.MISTAKE]


def test_a_machine_that_failed_is_left_out_where_there_is_another(
    engine: FakeEngine, make_request: Make, records: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    request = make_request(exclude=("n1",))
    engine.ids = ["17", Refused("not available"), "18"]
    assert submit(request, engine, logging.getLogger(), records) == "17"
    assert submit(request, engine, logging.getLogger(), records) == "18"
    assert [r.exclude for r in engine.submitted] == [("n1",), ("n1",), ()]
    title = request.title
    assert caplog.messages[0] == f"{title}: not on n1, which failed"
    assert caplog.messages[-1] == f"{title}: no other machine: not available"
    assert attempts(request.folder) == []
