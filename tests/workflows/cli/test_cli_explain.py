"""What is printed of a number."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from conftest import Toy


def test_commands_parameters_versions_and_times(finished: Toy) -> None:
    done = finished.cli("explain", "results/wer.txt", "CTC")
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    folder = finished.plan("commands")["b"]
    assert lines[0] == f"row commands CTC greedy test: toy.write/{folder.name}"
    assert lines[2].startswith("2 stages, ") and lines[3].startswith("in all of them: python = ")
    at = lines.index(f"2. commands/b: toy.write (version 1), {folder.name}")
    command, how, *rest = lines[at + 1 :]
    assert f"-m workflows.run_job work/toy.write/{folder.name}/stage.json" in command
    assert " s, " in how and "2 threads" in how
    assert rest[1:] == [
        '   text = "B"',
        "   threads = 2",
        '   by default: fail = "", wait = ""',
    ]


def test_long_values_are_cut_unless_all_is_asked_for(toy: Toy) -> None:
    toy.recipe("mine", f"'a': Stage(job='toy.write', params={{'text': {'x' * 500!r}}})")
    toy.cli("run", "mine")
    said = toy.cli("explain", "results/mine/a").stdout
    assert "(502 characters; --full shows them)" in said and "x" * 300 not in said
    assert "x" * 500 in toy.cli("explain", "results/mine/a", "--full").stdout


def test_what_differs_in_one_stage_is_told_there(finished: Toy) -> None:
    path = finished.plan("commands")["a"] / "manifest.json"
    path.write_text(path.read_text().replace('"numpy": "', '"numpy": "0.'))
    said = finished.cli("explain", "results/commands/b").stdout
    head, first, second = said.split("\n\n")
    assert "numpy" not in head and 'here: numpy = "0.' in first and "here: numpy" in second


def test_a_row_that_there_is_not(finished: Toy) -> None:
    done = finished.cli("explain", "results/wer.txt", "7")
    assert done.returncode == 1 and done.stderr == (
        "row '7': found no row, needed a number or words of one:\n  1  commands CTC greedy test\n"
    )
