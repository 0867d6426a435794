"""The reason that is printed for each stage that runs."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from test_snakefile import why

if TYPE_CHECKING:
    from conftest import Toy


def plan(toy: Toy, *arguments: str) -> dict[str, str]:
    """Return why stages would run."""
    done = toy.snakemake("-n", "results/wer.txt", *arguments)
    assert done.returncode == 0, done.stdout
    return why(done.stdout)


def version(toy: Toy, number: int) -> None:
    """Give the toy job another version."""
    path = toy.root / "jobs" / "toy" / "write.py"
    path.write_text(path.read_text().replace("VERSION = 1", f"VERSION = {number}"))


def test_what_was_never_made_is_new(toy: Toy) -> None:
    toy.recipe("commands", toy.stages, toy.score)
    assert plan(toy) == {"commands/a": "new", "commands/b": "new", "score table": "new"}


def test_a_changed_parameter_is_named_with_both_values(finished: Toy) -> None:
    finished.recipe("commands", finished.stages.replace("'B'", "'C'"), finished.score)
    assert plan(finished) == {
        "commands/b": "text: 'B' -> 'C'",
        "score table": "reads commands/b, which is another",
    }


def test_a_new_version_runs_what_depends_on_it_and_says_so(finished: Toy) -> None:
    version(finished, 2)
    found = plan(finished)
    assert found == {
        "commands/a": "VERSION of toy.write: 1 -> 2",
        "commands/b": "VERSION of toy.write: 1 -> 2; reads commands/a, which is another",
        "score table": "reads commands/b, which is another",
    }


@pytest.mark.parametrize(
    "stages",
    [
        "'a': Stage(job='toy.write', params={'text': 'A', 'fail': ''}),"
        "'b': Stage(job='toy.write', inputs={'parts': ('a.text',)}, params={'text': 'B'}),",
        "# a remark\n'b':   Stage(params={'text': 'B', 'threads': 1}, job='toy.write',\n"
        "inputs={'parts': ('a.text',)}),\n'a': Stage(job='toy.write', params={'text': 'A'}),",
    ],
    ids=["a default written out", "cosmetic"],
)
def test_an_edit_that_changes_nothing_runs_nothing(finished: Toy, stages: str) -> None:
    finished.recipe("commands", stages, finished.score)
    assert plan(finished) == {}


def test_what_failed_and_what_was_stopped(finished: Toy) -> None:
    folders = finished.plan("commands")
    for folder in folders.values():
        (folder / "manifest.json").unlink()
    (folders["a"] / "error.txt").write_text("no")
    assert plan(finished) == {}  # the table is there, and needs them no more
    assert why(finished.snakemake("-n").stdout) == {
        "commands/a": "failed before",
        "commands/b": "was interrupted",
    }


def test_an_output_that_somebody_removed(finished: Toy) -> None:
    folder = finished.plan("commands")["b"]
    (folder / "text.txt").unlink()
    done = finished.snakemake()
    assert why(done.stdout) == {"commands/b": "an output was removed, and is needed again"}, (
        done.stdout
    )
    assert (folder / "text.txt").read_text() == "A\nB\n"


def test_many_differences_are_counted() -> None:
    from workflows.reasons import told

    assert told(["a", "b", "c", "d", "e"]) == "a; b; c; 2 more"


def test_a_parameter_that_the_job_got_later(finished: Toy) -> None:
    path = finished.root / "jobs" / "toy" / "write.py"
    text = path.read_text().replace("import JobError", "import JobError, added")
    path.write_text(
        text.replace('    text: str = ""', '    text: str = ""\n    more: int = added(0)')
    )
    assert plan(finished) == {}
    stages = finished.stages.replace("'B',", "'B', 'more': 3,")
    finished.recipe("commands", stages, finished.score)
    again = {"score table": "reads commands/b, which is another"}
    assert plan(finished) == {"commands/b": "more: new, 3", **again}
    assert finished.snakemake("results/wer.txt").returncode == 0
    finished.recipe("commands", stages.replace("'B',", "'B2',").replace("'more': 3,", ""))
    assert plan(finished, "all")["commands/b"] == "text: 'B' -> 'B2'; more: 3 -> 0"


def test_a_foreign_manifest_is_nobodys_record(finished: Toy) -> None:
    folder = finished.plan("commands")["b"]
    spec = (folder / "stage.json").read_text()
    other = folder.with_name("0123456789abcdef")
    other.mkdir()
    (other / "stage.json").write_text(spec.replace(folder.name, other.name))
    (other / "manifest.json").write_text('{"theirs": 1}')
    finished.recipe("commands", finished.stages.replace("'B'", "'C'"), finished.score)
    assert plan(finished)["commands/b"] == "text: 'B' -> 'C'"
