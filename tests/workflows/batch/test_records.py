"""What is kept of jobs and attempts, and what follows for the next attempt."""

from __future__ import annotations

from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from workflows.batch.engine import State
from workflows.batch.records import (
    Attempt,
    Record,
    add_attempt,
    attempts,
    enough_memory,
    enough_minutes,
    read_record,
)


def attempt(state: State, job: str = "1", memory: int = 1000, minutes: int = 60) -> Attempt:
    return Attempt(job=job, state=state, memory=memory, minutes=minutes)


def test_a_record_comes_back(tmp_path: Path) -> None:
    record = Record(folder=tmp_path / "a b", memory=1, minutes=2, submitted=3.5, missing=4.0)
    record.write(tmp_path / "records", "17")
    assert read_record(tmp_path / "records", "17") == record


def test_attempts_are_noted_once_for_each_job(tmp_path: Path) -> None:
    assert attempts(tmp_path) == []
    first, second = attempt(State.OUT_OF_MEMORY), attempt(State.LOST, "2")
    for each in (first, second, second):
        add_attempt(tmp_path, each)
    assert attempts(tmp_path) == [first, second]


def test_what_ran_out_is_doubled_and_nothing_else() -> None:
    past = [attempt(State.OUT_OF_MEMORY), attempt(State.FAILED), attempt(State.CANCELLED)]
    assert (enough_memory(1000, past), enough_minutes(60, past)) == (2000, 60)
    past = [attempt(State.OUT_OF_TIME), attempt(State.OUT_OF_TIME, "2", minutes=120)]
    assert (enough_memory(1000, past), enough_minutes(60, past)) == (1000, 240)


@given(st.lists(st.tuples(st.sampled_from(State), st.integers(1, 10**6))), st.integers(1, 10**6))
def test_never_less_than_the_job_asks_for_nor_than_was_too_little(
    past: list[tuple[State, int]], own: int
) -> None:
    tried = [attempt(state, memory=mib, minutes=mib) for state, mib in past]
    for enough, state in (
        (enough_memory(own, tried), State.OUT_OF_MEMORY),
        (enough_minutes(own, tried), State.OUT_OF_TIME),
    ):
        assert enough >= own
        assert all(enough > mib for found, mib in past if found is state)


def test_lines_that_are_no_attempts_are_left_out(tmp_path: Path) -> None:
    add_attempt(tmp_path, attempt(State.LOST))
    with (tmp_path / "attempts.jsonl").open("ab") as file:
        file.write(b'{"job": "2"}\nforeign\n7\n\xff\n{"job": "3", "sta')
    assert attempts(tmp_path) == [attempt(State.LOST)]
