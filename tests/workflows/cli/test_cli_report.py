"""The command `report`, and Snakemake's target of it."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile

from workflows.cli.main import main

PROJECT = Path(__file__).parents[3]
RECIPE = """
\"\"\"One recording.\"\"\"

from recipes.recipe import Recipe, Stage

RECIPE = Recipe(
    name="mine",
    stages={
        "corpus": Stage(job="corpus.kaldi", params={"path": "{data}"}),
        "check": Stage(job="corpus.check", inputs={"corpus": "corpus.corpus"}),
    },
)
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with a recipe and the data that it reads."""
    (tmp_path / "mine.py").write_text(RECIPE)
    data = tmp_path / "the {data}"
    data.mkdir()
    noise = np.random.default_rng(0).normal(0, 0.1, 8000)
    soundfile.write(data / "a.wav", noise, 8000)
    (data / "wav.scp").write_text(f"a {data}/a.wav\n")
    (data / "text").write_text("a one two\n")
    (data / "utt2spk").write_text("a s\n")
    return tmp_path


def run(folder: Path, *arguments: str) -> str:
    """Run a module of Python in a folder; return what it said."""
    done = subprocess.run(
        [sys.executable, "-m", *arguments],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(PROJECT)},
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout + done.stderr


def test_what_there_is_so_far(folder: Path) -> None:
    said = run(folder, "workflows", "report", "mine.py", "--to", "pages")
    assert said == "pages/index.html\n"
    text = (folder / "pages" / "recipes" / "mine.html").read_text()
    assert "<h1>mine</h1>" in text and "One recording." in text
    assert text.count('<span class="state-new">new</span>') == 2
    assert "0 of 2 finished" in (folder / "pages" / "index.html").read_text()
    assert not (folder / "work").exists()


def test_a_folder_that_cannot_be_made(
    folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(folder)
    assert main(["report", "mine.py", "--to", "the {data}/text"]) == 1
    assert capsys.readouterr().err == (
        "the {data}/text: cannot write: File exists; try another folder, or make room\n"
    )


def test_the_target_of_snakemake(folder: Path) -> None:
    (folder / "-x").mkdir()
    (folder / "mine.py").rename(folder / "-x" / "mine.py")
    snakemake = ["snakemake", "--snakefile", str(PROJECT / "Snakefile"), "--cores", "2"]
    config = ["--config", "recipes=-x/mine.py", f"data={folder}/the {{data}}"]
    index = "results/report/index.html"
    run(folder, *snakemake, index, *config)
    page = folder / "results" / "report" / "recipes" / "mine.html"
    assert page.read_text().count('<span class="state-finished">finished</span>') == 2
    assert "Nothing to be done" in run(folder, *snakemake, index, *config)
    run(folder, *snakemake, "--report", "all.html", index, *config)
    assert "mine.html" in (folder / "all.html").read_text()
    manifest = next((folder / "work" / "corpus.check").glob("*/manifest.json"))
    before = page.stat().st_mtime_ns
    manifest.write_text(manifest.read_text() + "\n")  # as if the stage was made again
    run(folder, *snakemake, index, *config)
    assert page.stat().st_mtime_ns > before
