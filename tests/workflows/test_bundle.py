"""A number as a folder or archive for another group."""

from __future__ import annotations

import shutil
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from jobs.job import JobError
from workflows.bundle import _check

if TYPE_CHECKING:
    from conftest import Toy


def export(toy: Toy, target: str, *options: str) -> subprocess.CompletedProcess[str]:
    """Export the only row of the table."""
    return toy.cli("export", "results/wer.txt", "--to", target, *options)


def test_a_folder_says_what_was_made_and_how_to_make_it(finished: Toy) -> None:
    done = export(finished, "out")
    assert done.returncode == 0, done.stderr
    out = finished.root / "out"
    b = finished.plan("commands")["b"]
    text = (out / "README.md").read_text()
    assert text.startswith("# commands/b\n") and "returnn-lite run commands" in text
    assert b.name in text and "- commands/a: toy.write" in text
    below = out / "stages" / "toy.write" / b.name
    assert sorted(p.name for p in below.iterdir()) == ["manifest.json", "stage.json"]
    for name in ("commands.py", "recipe.py"):
        assert (out / "recipes" / name).read_bytes() == (
            finished.root / "recipes" / name
        ).read_bytes()
    assert (out / "constraints.txt").exists() and not (out / "changes.patch").exists()


def test_with_artifacts_it_is_a_store_in_which_nothing_runs(finished: Toy) -> None:
    assert export(finished, "out.tar.gz", "--artifacts").returncode == 0
    with tarfile.open(finished.root / "out.tar.gz") as tar:
        tar.extractall(finished.root, filter="data")
    for name in ("work", "results"):
        shutil.rmtree(finished.root / name)
    done = finished.snakemake("--config", "store=out/stages", "-n", "results/wer.txt")
    assert "commands/b" not in done.stdout and "score table" in done.stdout, done.stdout


@pytest.mark.parametrize("name", ["out.tar.gz", "out.zip"])
def test_archives_are_the_same_each_time_and_stay_in_their_folder(finished: Toy, name: str) -> None:
    export(finished, name, "--artifacts")
    first = (finished.root / name).read_bytes()
    (finished.root / name).unlink()
    export(finished, name, "--artifacts")
    assert (finished.root / name).read_bytes() == first
    if name.endswith("zip"):
        with zipfile.ZipFile(finished.root / name) as archive:
            members = archive.namelist()
    else:
        with tarfile.open(finished.root / name) as tar:
            members = tar.getnames()
    assert all(m.startswith("out/") and ".." not in m for m in members) and len(members) > 10


@pytest.mark.parametrize("name", ["../x", "/x", "a/../../x", "a\\..\\x"])
def test_no_member_leaves_its_folder(name: str) -> None:
    with pytest.raises(JobError, match="found a name that leaves its folder"):
        _check(name)


def test_a_link_out_of_an_artifact_is_not_followed(finished: Toy) -> None:
    secret = finished.root / "secret"
    secret.write_text("x")
    (finished.plan("commands")["a"] / "parts" / "link").symlink_to(secret)
    done = export(finished, "out", "--artifacts")
    assert done.returncode == 1 and "found a link that leaves its folder" in done.stderr
    assert not (finished.root / "out").exists()


def test_a_recipe_that_makes_another_number_now_is_told(finished: Toy) -> None:
    finished.recipe("commands", finished.stages.replace("'B'", "'C'"), finished.score)
    done = export(finished, "out")
    assert done.returncode == 1 and done.stderr.startswith(
        "recipes/commands.py: found a recipe that makes another commands/b now"
        " (text: 'B' -> 'C'), needed the one that made it; go back to commit"
    )


def test_what_is_there_is_not_overwritten(finished: Toy) -> None:
    (finished.root / "out").mkdir()
    done = export(finished, "out")
    assert done.returncode == 1 and done.stderr == (
        "out: found something there, needed a new name; move it away\n"
    )


def test_a_checkout_with_changes_brings_them_along(finished: Toy) -> None:
    def git(*arguments: str) -> None:
        identity = ["-c", "user.name=x", "-c", "user.email=x@example.org"]
        subprocess.run(["git", *identity, *arguments], cwd=finished.root, check=True)

    (finished.root / ".gitignore").write_text("work/\nresults/\n.snakemake/\n__pycache__/\n")
    git("init", "-q")
    git("add", ".")
    git("commit", "-qm", "all")
    job = finished.root / "jobs" / "toy" / "write.py"
    job.write_text(job.read_text() + "# mine\n")
    for folder in finished.plan("commands").values():
        (folder / "manifest.json").unlink()
    assert finished.snakemake().returncode == 0
    assert export(finished, "out").returncode == 0
    assert "+# mine" in (finished.root / "out" / "changes.patch").read_text()
    assert "git apply changes.patch" in (finished.root / "out" / "README.md").read_text()
    assert sys.version_info >= (3, 11) and Path(finished.root / "out" / "recipes").is_dir()
