"""Progress of long jobs."""

from __future__ import annotations

import io
import logging
import sys
from collections.abc import Callable

import pytest

from jobs.progress import progress


class Terminal(io.StringIO):
    """A terminal that keeps what is written on it."""

    def isatty(self) -> bool:
        return True


@pytest.fixture
def pause(monkeypatch: pytest.MonkeyPatch) -> Callable[[float], None]:
    """A clock that stands still; the function lets time pass."""
    now = [0.0]
    monkeypatch.setattr("time.monotonic", lambda: now[0])

    def wait(seconds: float) -> None:
        now[0] += seconds

    return wait


def messages(caplog: pytest.LogCaptureFixture, bar: bool = False) -> list[str]:
    """Return the lines that were logged, all with the same attribute `bar`."""
    assert all(r.bar is bar for r in caplog.records)
    return caplog.messages


def test_a_log_gets_a_line_every_tenth_with_the_time_left(
    caplog: pytest.LogCaptureFixture, log: logging.Logger, pause: Callable[[float], None]
) -> None:
    with caplog.at_level(logging.INFO):
        for _ in progress(range(250), "features", log):
            pause(1)
    assert len(messages(caplog)) == 10
    assert caplog.messages[0] == "features: 25 of 250, 25 s, 225 s left"
    assert caplog.messages[-1] == "features: 250 of 250, 250 s, 0 s left"


def test_what_is_quick_gets_few_lines_or_none(
    caplog: pytest.LogCaptureFixture, log: logging.Logger, pause: Callable[[float], None]
) -> None:
    with caplog.at_level(logging.INFO):
        assert list(progress(range(100), "quick", log)) == list(range(100))
        assert list(progress([], "none", log)) == []
        for _ in progress(range(10), "slower", log):
            pause(1)
    assert messages(caplog) == [
        "slower: 5 of 10, 5 s, 5 s left",
        "slower: 10 of 10, 10 s, 0 s left",
    ]


def test_a_terminal_gets_a_bar_and_the_log_its_lines(
    caplog: pytest.LogCaptureFixture,
    log: logging.Logger,
    pause: Callable[[float], None],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    monkeypatch.setenv("TERM", "xterm")
    with caplog.at_level(logging.INFO):
        for _ in progress("abc", "search", log):
            pause(5)
    assert "search" in terminal.getvalue() and "100%" in terminal.getvalue()
    assert len(messages(caplog, bar=True)) == 3
