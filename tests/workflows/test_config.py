"""The configuration: keys, types, and the nearest valid name."""

from __future__ import annotations

from typing import Any

import pytest

from jobs.job import JobError
from workflows.config import check_config

GOOD: dict[str, Any] = {"recipes": ["commands"], "data": "../data", "store": "work"}


@pytest.mark.parametrize("recipes", [["a", "b"], "a,b", "a"])
def test_recipes_may_be_a_list_or_a_string(recipes: Any) -> None:
    config = {**GOOD, "recipes": recipes}
    check_config(config)
    assert config["recipes"] == recipes


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ({**GOOD, "recipe": "a"}, "config: unknown key 'recipe'; did you mean 'recipes'?"),
        ({"data": "x", "store": "y"}, "config: 'recipes' is a required property"),
        ({**GOOD, "recipes": 7}, "config: recipes: 7 is not of type 'string', 'array'"),
        ({**GOOD, "recipes": ["a", 7]}, "config: recipes: 1: 7 is not of type 'string'"),
        ({**GOOD, "recipes": []}, "config: recipes: [] should be non-empty"),
        ({**GOOD, "store": ""}, "config: store: '' should be non-empty"),
        (
            {**GOOD, "store": "a{hash}"},
            "config: store: found 'a{hash}', needed a folder without { and } that does not begin"
            " with -: Snakemake takes these for its own",
        ),
        (
            {**GOOD, "store": "-n"},
            "config: store: found '-n', needed a folder without { and } that does not begin"
            " with -: Snakemake takes these for its own",
        ),
        ({**GOOD, "data": None}, "config: data: None is not of type 'string'"),
    ],
)
def test_wrong_configurations(config: dict[str, Any], message: str) -> None:
    with pytest.raises(JobError) as caught:
        check_config(config)
    assert str(caught.value) == message
