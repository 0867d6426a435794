"""From a number back to what it was made from."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from jobs.job import JobError
from workflows.chain import Row, chain, choose, differing, locate, rows

if TYPE_CHECKING:
    from conftest import Toy

FOUND = [
    Row(recipe="commands", system="CTC greedy", set="test", folder="a"),
    Row(recipe="commands", system="transducer", set="test", folder="b"),
    Row(recipe="commands", system="transducer + LM", set="test", folder="c"),
]


def test_a_table_a_link_and_a_file_lead_to_their_stage(finished: Toy) -> None:
    store, folder = locate(finished.root / "results" / "wer.txt")
    assert store == finished.root / "work"
    (row,) = rows(store, folder)
    b = finished.root / "results" / "commands" / "b"
    assert locate(b) == locate(b / "text.txt") == locate(b / "parts" / "part")
    assert locate(b)[1] == row.folder and rows(*locate(b)) == []


def test_another_table_is_told(finished: Toy) -> None:
    table = finished.root / "results" / "wer.txt"
    table.write_text("edited")
    with pytest.raises(JobError, match=r"found another table than any in .*; run"):
        locate(table)


def test_what_nobody_made_names_what_is_near(finished: Toy) -> None:
    with pytest.raises(JobError, match=r"found nothing, needed .*; did you mean 'commands'\?"):
        locate(finished.root / "results" / "comands")


def test_a_chain_has_sources_first_and_each_once(finished: Toy) -> None:
    store, folder = locate(finished.root / "results" / "wer.txt")
    names = [known["name"] for known in chain(store, [folder])]
    assert names == ["commands/a", "commands/b", "score table"]
    (finished.plan("commands")["a"] / "manifest.json").unlink()
    with pytest.raises(JobError, match=r"found no manifest.json; it was removed, or moved"):
        chain(store, [folder])


@pytest.mark.parametrize(
    ("wanted", "folder"),
    [("1", "a"), ("greedy", "a"), ("LM", "c"), ("commands transducer test", "b")],
)
def test_rows_by_number_or_words(wanted: str, folder: str) -> None:
    assert choose(FOUND, wanted).folder == folder


@pytest.mark.parametrize(
    ("wanted", "message"), [("transducer", "found 2 rows"), ("4", "found no row"), ("0", "no row")]
)
def test_rows_that_are_none_or_several_list_all(wanted: str, message: str) -> None:
    with pytest.raises(JobError, match=message) as caught:
        choose(FOUND, wanted)
    assert "  3  commands transducer + LM test" in str(caught.value)


def test_parameters_that_differ_from_defaults_at_any_depth() -> None:
    params = {"seed": 1, "train": {"utterances": 10, "speakers": 74}, "lm_sentences": 5}
    differ, same = differing({"job": "corpus.commands", "params": params})
    assert differ == {"train.utterances": 10, "lm_sentences": 5}
    assert same == {"seed": 1, "train.speakers": 74}


def test_a_job_that_there_is_no_more_has_no_defaults() -> None:
    assert differing({"job": "corpus.gone", "params": {"a": 1}}) == ({"a": 1}, {})


def test_the_store_may_be_far_away(finished: Toy, tmp_path: Path) -> None:
    away = tmp_path / "away"
    (finished.root / "work").rename(away)
    done = finished.snakemake("results/wer.txt", "--config", f"store={away}")
    assert done.returncode == 0, done.stdout
    assert locate(finished.root / "results" / "wer.txt")[0] == away
