"""What a manifest says about software and seeds."""

from __future__ import annotations

import importlib.metadata
import subprocess
from pathlib import Path

from workflows.provenance import project_state, seeds, versions


def test_seeds_are_found_wherever_they_are() -> None:
    params = {"seed": 1, "network": {"init_seed": 2, "out": {"seed": 3}}, "seeds": 4, "x": [1]}
    assert seeds(params) == {"seed": 1, "network.init_seed": 2, "network.out.seed": 3}


def test_versions_are_those_installed_without_what_is_not() -> None:
    found = versions()
    assert found["numpy"] == importlib.metadata.version("numpy")
    assert found["python"].startswith("3.")
    assert None not in found.values()


def test_the_state_of_a_checkout(tmp_path: Path) -> None:
    def git(*arguments: str) -> str:
        identity = ["-c", "user.name=x", "-c", "user.email=x@example.org"]
        command = ["git", "-C", str(tmp_path), *identity, *arguments]
        return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()

    assert project_state(tmp_path) == {"commit": None, "dirty": None}
    git("init", "-q")
    git("commit", "-q", "--allow-empty", "-m", "first")
    commit = git("rev-parse", "HEAD")
    assert project_state(tmp_path) == {"commit": commit, "dirty": False}
    (tmp_path / "new").touch()
    assert project_state(tmp_path) == {"commit": commit, "dirty": True}
