"""Recipes: variants, and where their stages are written."""

from __future__ import annotations

import inspect

import pytest

from recipes.recipe import Recipe, Score, Stage

BASE = Recipe(
    name="base",
    stages={
        "ctc": Stage(job="train", params={"epochs": 3, "seed": 1}),
        "score": Stage(job="score", inputs={"hypotheses": "ctc.model"}),
    },
    scores=(Score(system="CTC", set="test", stage="score"),),
)


def line() -> int:
    """Return the line of the caller."""
    frame = inspect.currentframe()
    assert frame and frame.f_back
    return frame.f_back.f_lineno


def test_a_variant_changes_params_of_one_stage_and_keeps_the_rest() -> None:
    other = BASE.replace("other", ctc={"seed": 2})
    assert other.name == "other"
    assert other.stages["ctc"].params == {"epochs": 3, "seed": 2}
    assert other.stages["score"] == BASE.stages["score"]
    assert other.scores == BASE.scores
    assert BASE.stages["ctc"].params == {"epochs": 3, "seed": 1}


def test_a_variant_of_an_unknown_stage_names_the_nearest() -> None:
    with pytest.raises(ValueError, match=r"recipe 'base' has no stage 'cct'; there is ctc$"):
        BASE.replace("other", cct={"seed": 2})


def test_a_stage_knows_its_file_and_line() -> None:
    stage = Stage(job="train")
    assert stage.made_at == f"{__file__}:{line() - 1}"


def test_a_changed_stage_is_where_the_variant_is_written() -> None:
    other = BASE.replace("other", ctc={"seed": 2})
    assert other.made_at == other.stages["ctc"].made_at == f"{__file__}:{line() - 1}"
    assert other.stages["score"].made_at == BASE.stages["score"].made_at


def test_where_a_stage_is_written_makes_no_difference() -> None:
    assert Stage(job="train") == Stage(
        job="train",
    )


def test_a_recipe_in_shards() -> None:
    split = BASE.sharded(8, score=2)
    assert (split.shards, BASE.shards, split.name) == (8, 1, "base")
    assert [split.stages[name].shards for name in ("ctc", "score")] == [None, 2]
    assert split.replace("other", ctc={"seed": 2}).shards == 8


def test_a_variant_merges_objects_within_params() -> None:
    stages = {"ctc": Stage(job="train.network", params={"options": {"epochs": 4, "seed": 1}})}
    variant = Recipe(name="base", stages=stages).replace("other", ctc={"options": {"seed": 2}})
    assert variant.stages["ctc"].params == {"options": {"epochs": 4, "seed": 2}}
    assert stages["ctc"].params == {"options": {"epochs": 4, "seed": 1}}
