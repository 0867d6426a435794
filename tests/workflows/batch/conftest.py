"""Stand-ins for the programs of a batch system, and an engine without any."""

from __future__ import annotations

import json
import shlex
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from workflows.batch.engine import State
from workflows.batch.request import Request


@dataclass
class Programs:
    """Executables in a folder of their own, which is the whole PATH but for sh."""

    folder: Path

    def make(self, name: str, out: str = "", error: str = "", status: int = 0) -> None:
        """Make a program that says something, after it has noted its arguments and its input."""
        log, note = self.folder / f"{name}.calls", self.folder / f"{name}.input"
        lines = [
            f'for a in "$@"; do printf "%s\\n" "$a"; done >> {shlex.quote(str(log))}',
            f'while IFS= read -r l; do printf "%s\\n" "$l"; done > {shlex.quote(str(note))}',
            f"printf %s {shlex.quote(out)}",
            f"printf %s {shlex.quote(error)} >&2",
            f"exit {status}",
        ]
        path = self.folder / name
        path.write_text("\n".join(["#!/bin/sh", *lines, ""]))
        path.chmod(0o755)

    def arguments(self, name: str) -> list[str]:
        """Return the arguments of all calls of a program."""
        path = self.folder / f"{name}.calls"
        return path.read_text().splitlines() if path.exists() else []

    def input(self, name: str) -> str:
        """Return what the last call of a program read."""
        return (self.folder / f"{name}.input").read_text()


@pytest.fixture
def programs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Programs:
    """A PATH without any program."""
    folder = tmp_path / "bin"
    folder.mkdir()
    monkeypatch.setenv("PATH", str(folder))
    return Programs(folder)


@dataclass
class FakeEngine:
    """An engine that answers what it is told to; an exception among the answers is raised."""

    ids: list[str | Exception] = field(default_factory=list)
    found: list[str | Exception | None] = field(default_factory=list)
    known: Mapping[str, State] | Exception = field(default_factory=dict)
    accounts: Mapping[str, State] = field(default_factory=dict)
    submitted: list[Request] = field(default_factory=list)
    asked: int = 0
    cancelled: list[str] = field(default_factory=list)

    def submit(self, request: Request) -> str:
        self.submitted.append(request)
        return _answer(self.ids.pop(0))

    def active(self, name: str) -> str | None:
        return _answer(self.found.pop(0)) if self.found else None

    def cancel(self, names: Collection[str]) -> list[str]:
        self.cancelled += sorted(names)
        return [_answer(self.found.pop(0)) for _ in names]

    def states(self) -> Mapping[str, State]:
        self.asked += 1
        return _answer(self.known)

    def past(self, job: str, memory: int, minutes: int) -> State | None:
        return self.accounts.get(job)


def _answer(value: Any) -> Any:
    if isinstance(value, Exception):
        raise value
    return value


@pytest.fixture
def engine() -> FakeEngine:
    """An engine that knows no job."""
    return FakeEngine()


@pytest.fixture
def make_request(tmp_path: Path) -> Callable[..., Request]:
    """Return a function that makes a request; what is not given is of a job of one thread."""
    folder = tmp_path / "work" / "toy.write" / "0123456789abcdef"
    folder.mkdir(parents=True)
    spec = {"name": "commands/a; touch pwned"}
    (folder / "stage.json").write_text(json.dumps(spec))

    def make(**given: object) -> Request:
        values: dict[str, object] = {
            "folder": folder,
            "title": spec["name"],
            "command": "python -m workflows.run_job 'a b.json'",
            "threads": 1,
            "memory": 1000,
            "minutes": 60,
        }
        return Request(**{**values, **given})  # type: ignore[arg-type]

    return make
