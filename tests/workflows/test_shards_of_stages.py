"""A stage that is split into shards: what runs, what stays, and that nobody else notices."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING

import pytest
from test_snakefile import started, why

if TYPE_CHECKING:
    from conftest import Toy

STAGES = """
'a': Stage(job='toy.split'),
'b': Stage(job='toy.write', inputs={'parts': ('a.text',)}, params={'text': 'B'}),
"""
SHARDS = [f"commands/a {i}/3" for i in (1, 2, 3)]
TEXT = "".join(f"line {i}\n" for i in range(7))


def write(toy: Toy, shards: int, stages: str = STAGES) -> None:
    """Write the recipe `commands`, done in so many shards."""
    path = toy.recipe("commands", stages, toy.score)
    path.write_text(f"{path.read_text()}RECIPE = RECIPE.sharded({shards})\n")


def test_shards_are_stages_of_their_own_and_the_whole_is_the_same(toy: Toy) -> None:
    toy.recipe("commands", STAGES, toy.score)
    folders = toy.plan("commands")
    write(toy, 3)
    assert toy.plan("commands") == folders
    done = toy.snakemake("results/wer.txt")
    assert started(done.stdout) == sorted([*SHARDS, "commands/a", "commands/b", "score table"])
    assert "commands/a: puts 3 together" in done.stdout
    assert "commands/a 2/3: lines [2, 3, 4] of 3" in done.stdout
    assert (folders["a"] / "text.txt").read_text() == TEXT
    assert (folders["b"] / "text.txt").read_text() == f"{TEXT}B\n"
    shards = json.loads((folders["a"] / "manifest.json").read_text())["shards"]
    for shard in shards:  # what is put together is not there twice
        assert not (toy.root / "work" / shard / "text.txt").exists()
        assert (toy.root / "work" / shard / "released.json").exists()
    assert why(toy.snakemake("-n").stdout) == {}


def test_times_and_memory_are_those_of_all_shards(toy: Toy) -> None:
    write(toy, 3)
    folder = toy.plan("commands")["a"]
    toy.snakemake("results/wer.txt")
    manifest = folder / "manifest.json"
    known = json.loads(manifest.read_text())
    assert known["gpus"] == 0 and known["threads"] == 1  # to put together
    for number, name in enumerate(known["shards"]):
        path = toy.root / "work" / name / "released.json"
        changed = {"seconds": 100.0, "peak_memory_mib": 1000 * number, "gpus": number}
        path.write_text(json.dumps({**json.loads(path.read_text()), **changed}))
    write(toy, 5)  # it stays what was made in three
    row = " ".join(toy.cli("recipes", "commands").stdout.splitlines()[2].split())
    assert row.startswith("a toy.split finished 5 min 2.1 GB"), row
    explained = toy.cli("explain", "results/wer.txt").stdout
    assert re.search(r"shard 3: .*, 2 min, 2 threads, 2 GPUs, ", explained)
    done = toy.python(
        "from pathlib import Path; from workflows.plan import make_plan\n"
        "from workflows.report import collect\n"
        "stage = collect(make_plan(['commands']), Path('work'))[0].stages[0]\n"
        "print(stage.time, stage.memory, stage.command.count('run_job'), sep=';')"
    )
    assert done.stdout == "5 min;2.1 GB;4\n", done.stderr
    assert toy.cli("export", "results/wer.txt", "--to", "out").returncode == 0
    read_me = (toy.root / "out" / "README.md").read_text()
    assert re.search(r"commands/a: toy.split [0-9a-f]+, 300 s", read_me)
    shards = [toy.root / "out" / "stages" / name for name in known["shards"]]
    assert [sorted(p.name for p in s.iterdir()) for s in shards] == [
        ["released.json", "stage.json"]
    ] * 3
    # By hand all is done in one.
    assert toy.run(folder, "--data", "data")[0] == 0
    assert "shards" not in json.loads(manifest.read_text())


def test_another_number_of_shards_runs_nothing_again(toy: Toy) -> None:
    write(toy, 3)
    toy.snakemake("results/wer.txt")
    for number in (1, 5):
        write(toy, number)
        assert why(toy.snakemake("-n", "results/wer.txt").stdout) == {}
    assert len(list((toy.root / "work" / "toy.split").iterdir())) == 4  # no folders for five
    assert "nothing to run" in toy.cli("check").stdout


def test_a_shard_that_failed_is_done_again_and_the_others_are_not(toy: Toy) -> None:
    write(toy, 3, STAGES.replace("'toy.split'", "'toy.split', params={'fail': 4}"))
    first = toy.snakemake("results/wer.txt", "--keep-going")
    assert first.returncode == 1
    states = [line.split()[2] for line in toy.cli("recipes", "commands").stdout.splitlines()[2:]]
    assert states == ["failed", "new"]
    assert re.search(
        r"commands/a 2/3: toy.split failed.*\nfound line 4, needed another", first.stdout
    )
    write(toy, 3)
    again = started(toy.snakemake("results/wer.txt").stdout)
    assert again == ["commands/a", "commands/a 2/3", "commands/b", "score table"]


def test_what_was_put_together_is_made_again_also_without_its_shards(toy: Toy) -> None:
    write(toy, 3)
    folder = toy.plan("commands")["a"]
    toy.snakemake("results/wer.txt")
    status, said = toy.run(folder, "--data", "data")
    assert status == 0 and "lines [0, 1, 2, 3, 4, 5, 6] of 1" in said
    assert (folder / "text.txt").read_text() == TEXT
    (folder / "text.txt").unlink()
    assert set(why(toy.snakemake("-n").stdout)) == {*SHARDS, "commands/a"}


def test_two_recipes_one_of_them_split(toy: Toy) -> None:
    write(toy, 3)
    path = toy.recipe("other", STAGES)
    done = toy.snakemake("--config", "recipes=other,commands")
    assert done.returncode == 0 and "commands/a 1/3" not in done.stdout
    path.unlink()


def test_shards_are_told_by_check_and_explain(toy: Toy) -> None:
    write(toy, 3)
    checked = toy.cli("check").stdout
    assert all(shard in checked for shard in SHARDS) and "6 of 6 stages run" in checked
    toy.snakemake("results/wer.txt")
    said = toy.cli("explain", "results/commands/a").stdout
    assert re.search(
        r"   shard 2: \S+python\S* -m workflows.run_job work/toy.split/\S+ .*, 2 threa", said
    )
    assert "nothing to remove" in toy.cli("gc").stdout
    write(toy, 1)
    assert "no recipe needs it" in toy.cli("gc", "--remove").stdout
    assert "   shard " not in toy.cli("explain", "results/commands/a").stdout


@pytest.mark.parametrize(
    ("stages", "shards", "message"),
    [
        (STAGES, "0", "recipes/commands.py:6: shards: found 0, needed a whole number from 1 on"),
        (STAGES, "2.", "recipes/commands.py:6: shards: found 2.0, needed a whole number from 1 on"),
        (
            STAGES, "2, a=True",
            "recipes/commands.py:6: stage 'a': shards: found True, needed a whole number from 1 on",
        ),
        (
            STAGES, "2, b=2",
            "recipes/commands.py:6: stage 'b': shards: found 2 of toy.write, needed a job of"
            " these: toy.split",
        ),
        (
            STAGES, "2, c=2",
            "recipes/commands.py:6: ValueError: recipe 'commands' has no stage 'c'; there is a, b",
        ),
    ],
)  # fmt: skip
def test_wrong_numbers(toy: Toy, stages: str, shards: str, message: str) -> None:
    path = toy.recipe("commands", stages, toy.score)
    path.write_text(f"{path.read_text()}RECIPE = RECIPE.sharded({shards})\n")
    done = toy.cli("check")
    assert done.returncode == 1 and done.stderr.splitlines() == [message]
