"""The recipes that come with the project: all resolve, quickly, to the hashes that they had."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from workflows.load import recipe_files
from workflows.plan import make_plan

PROJECT = Path(__file__).parents[2]
PINNED = Path(__file__).parent / "hashes.json"


def hashes(name: str) -> dict[str, str]:
    """Return the folder in the store of each stage of a recipe."""
    return {stage: node.folder for stage, node in make_plan([name]).stages[name].items()}


def test_every_recipe_is_pinned() -> None:
    assert sorted(json.loads(PINNED.read_text())) == sorted(recipe_files())


@pytest.mark.parametrize("name", sorted(recipe_files()))
def test_hashes_are_those_that_are_pinned(name: str) -> None:
    """A change that moves one makes users' artifacts useless: it is deliberate, or a mistake.

    Where it is deliberate: python -m tests.recipes.test_shipped_recipes
    """
    assert hashes(name) == json.loads(PINNED.read_text()).get(name)


def test_recipes_load_in_milliseconds_and_without_libraries() -> None:
    code = (
        "import importlib, sys, time; start = time.perf_counter()\n"
        f"for name in {sorted(recipe_files())}: importlib.import_module(f'recipes.{{name}}')\n"
        "print(time.perf_counter() - start, 'numpy' in sys.modules, 'jobs' in sys.modules)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=PROJECT, capture_output=True, text=True, check=True
    )
    seconds, numpy, jobs = done.stdout.split()
    assert float(seconds) < 1 and (numpy, jobs) == ("False", "False")


if __name__ == "__main__":
    found = {name: hashes(name) for name in recipe_files()}
    PINNED.write_text(json.dumps(found, indent=1) + "\n")
