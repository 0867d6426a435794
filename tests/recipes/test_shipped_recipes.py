"""The recipes that come with the project resolve to the hashes that they had."""

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


@pytest.mark.parametrize("name", sorted(json.loads(PINNED.read_text())))
def test_hashes_are_those_that_are_pinned(name: str) -> None:
    """A change that moves one makes users' artifacts useless: it is deliberate, or a mistake.

    Where it is deliberate: python -m tests.recipes.test_shipped_recipes
    """
    assert hashes(name) == json.loads(PINNED.read_text())[name]


def test_seeds_share_what_comes_before_training() -> None:
    first, second = hashes("commands"), hashes("commands_seed2")
    same = {stage for stage in first if first[stage] == second[stage]}
    assert {"corpus", "features_train", "units", "lm_text"} <= same
    assert not {"ctc", "transducer", "lm", "tune", "score_fusion"} & same


def test_another_lm_scale_runs_search_and_scoring_again_and_nothing_else(tmp_path: Path) -> None:
    variant = tmp_path / "other_scale.py"
    variant.write_text(
        "from recipes import commands\n"
        "RECIPE = commands.RECIPE.replace('other_scale', tune={'values': [0.35]})\n"
    )
    plan = make_plan(["commands", str(variant)])
    first, second = plan.stages["commands"], plan.stages["other_scale"]
    changed = {stage for stage in first if first[stage].folder != second[stage].folder}
    fused = {"search_fusion", "search_fusion_dev", "score_fusion", "score_fusion_dev"}
    assert changed == {"tune", *fused}


def test_shards_move_no_hash(tmp_path: Path) -> None:
    variant = tmp_path / "split.py"
    variant.write_text(
        "from recipes import commands\nRECIPE = commands.RECIPE.replace('split').sharded(4)\n"
    )
    plan = make_plan([str(variant)])
    pinned = json.loads(PINNED.read_text())["commands"]
    assert {stage: node.folder for stage, node in plan.stages["split"].items()} == pinned
    split = {stage for stage, node in plan.stages["split"].items() if len(node.shards) == 4}
    searches = {"search_ctc", "search_transducer", "search_fusion", "search_fusion_dev"}
    features = {"features_train", "features_dev", "features_test"}
    assert split == {*features, "align_train", "align_dev", "realign_dev", *searches}


def test_recipes_load_without_libraries() -> None:
    code = (
        "import importlib, sys\n"
        f"for name in {sorted(recipe_files())}: importlib.import_module(f'recipes.{{name}}')\n"
        "print('numpy' in sys.modules, 'jobs' in sys.modules)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=PROJECT, capture_output=True, text=True, check=True
    )
    assert done.stdout.split() == ["False", "False"]


if __name__ == "__main__":
    found = {name: hashes(name) for name in recipe_files()}
    PINNED.write_text(json.dumps(found, indent=1) + "\n")
