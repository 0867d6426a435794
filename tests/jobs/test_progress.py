"""Progress of long jobs."""

from __future__ import annotations

import io
import logging
import sys

import pytest

from jobs.progress import progress


class Terminal(io.StringIO):
    """A terminal that keeps what is written on it."""

    def isatty(self) -> bool:
        return True


def test_a_log_gets_a_line_every_tenth_with_the_time_left(
    caplog: pytest.LogCaptureFixture, log: logging.Logger
) -> None:
    with caplog.at_level(logging.INFO):
        assert list(progress(range(250), "features", log)) == list(range(250))
    assert len(caplog.messages) == 10
    assert caplog.messages[0].startswith("features: 25 of 250, 0 s, ")
    assert caplog.messages[-1].endswith("250 of 250, 0 s, 0 s left")
    assert not any(r.bar for r in caplog.records)


def test_few_and_no_items(caplog: pytest.LogCaptureFixture, log: logging.Logger) -> None:
    with caplog.at_level(logging.INFO):
        assert list(progress([], "none", log)) == []
        assert list(progress("ab", "two", log)) == ["a", "b"]
    assert [m.split(",")[0] for m in caplog.messages] == ["two: 1 of 2", "two: 2 of 2"]


def test_a_terminal_gets_a_bar_and_the_log_its_lines(
    caplog: pytest.LogCaptureFixture, log: logging.Logger, monkeypatch: pytest.MonkeyPatch
) -> None:
    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    monkeypatch.setenv("TERM", "xterm")
    with caplog.at_level(logging.INFO):
        list(progress("abc", "search", log))
    assert "search" in terminal.getvalue() and "100%" in terminal.getvalue()
    assert all(r.bar for r in caplog.records) and len(caplog.records) == 3
