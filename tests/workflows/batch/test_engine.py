"""Programs of a batch system: which answers mean that it is silent, and what an end means."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from workflows.batch import engine
from workflows.batch.engine import Refused, Silent, State, call, state_of
from workflows.exit_status import FAILED, MISTAKE, OUT_OF_MEMORY

if TYPE_CHECKING:
    from conftest import Programs


def test_what_a_program_says(programs: Programs) -> None:
    programs.make("ask", out="answer\n")
    assert call(["ask", "a b; touch x", "$(touch y)"], (), text="question\n") == "answer\n"
    assert programs.arguments("ask") == ["a b; touch x", "$(touch y)"]
    assert programs.input("ask") == "question\n"


def test_a_refusal_and_a_silence(programs: Programs) -> None:
    programs.make("ask", error="ask: error: Invalid account\n", status=1)
    with pytest.raises(Refused, match=r"^ask: error: Invalid account$"):
        call(["ask"], ("Unable to contact",))
    programs.make("ask", error="Unable to contact controller", status=1)
    with pytest.raises(Silent, match="Unable to contact controller"):
        call(["ask"], ("Unable to contact",))
    programs.make("ask", status=3)
    with pytest.raises(Refused, match=r"^ask: exit status 3$"):
        call(["ask"], ("Unable to contact",))


def test_a_program_that_is_not_there_or_hangs(
    programs: Programs, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(Refused, match=r"^sbatch: not installed on this machine$"):
        call(["sbatch"], ())
    (programs.folder / "ask").write_text("#!/bin/sh\nread line\n")
    (programs.folder / "ask").chmod(0o755)
    (programs.folder / "ask").write_text("#!/bin/sh\nwhile :; do :; done\n")
    monkeypatch.setattr(engine, "SECONDS", 0.2)
    with pytest.raises(Silent, match=r"^ask: no answer in 0\.2 s$"):
        call(["ask"], ())


@pytest.mark.parametrize(
    ("status", "state"),
    [
        (0, State.DONE),
        (MISTAKE, State.MISTAKE),
        (FAILED, State.FAILED),
        (OUT_OF_MEMORY, State.OUT_OF_MEMORY),
        (128 + 9, State.OUT_OF_MEMORY),
        (128 + 11, State.FAILED),
    ],
)
def test_what_an_exit_status_means(status: int, state: State) -> None:
    assert state_of(status) is state
