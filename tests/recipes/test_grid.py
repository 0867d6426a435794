"""Grids: stages that are shared, and those that an axis changes."""

from __future__ import annotations

from typing import Any

import pytest

from recipes.grid import grid
from recipes.recipe import Recipe, Score, Stage


def make(units: Any = 1, rate: float = 0.1, seed: int = 1) -> Recipe:
    """Return a recipe whose features take no axis, and whose systems take some."""
    return Recipe(
        name="point",
        stages={
            "features": Stage(job="f"),
            "ctc": Stage(
                job="t", inputs={"data": ("features.x",)}, params={"net": units, "seed": seed}
            ),
            "transducer": Stage(
                job="t", inputs={"init": "ctc.model", "data": "features.x"}, params={"rate": rate}
            ),
            "score_ctc": Stage(job="score.wer", inputs={"h": "ctc.model"}),
            "score_transducer": Stage(job="score.wer", inputs={"h": "transducer.model"}),
        },
        scores=(
            Score(system="CTC", set="test", stage="score_ctc"),
            Score(system="transducer", set="test", stage="score_transducer"),
        ),
    )


def test_only_what_an_axis_changes_is_there_for_each_of_its_values() -> None:
    found = grid("mine", make, rate=(0.1, 0.2), seed=(1, 2, 3))
    assert found.name == "mine"
    names = list(found.stages)
    assert [n for n in names if n.startswith("features")] == ["features"]
    assert [n for n in names if n.startswith("ctc")] == ["ctc,seed=1", "ctc,seed=2", "ctc,seed=3"]
    assert len([n for n in names if n.startswith("transducer,rate=")]) == 6
    stage = found.stages["transducer,rate=0.2,seed=3"]
    assert stage.params == {"rate": 0.2}
    assert stage.inputs == {"init": "ctc,seed=3.model", "data": "features.x"}
    assert found.stages["ctc,seed=2"].inputs == {"data": ("features.x",)}
    assert len(names) == 1 + 3 + 6 + 3 + 6 + 1


def test_scores_say_their_point_and_are_compared() -> None:
    found = grid("mine", make, rate=(0.1, 0.2), seed=(1, 2))
    systems = {score.system: score.stage for score in found.scores}
    assert len(found.scores) == len(systems) == 2 + 4
    assert systems["CTC seed=2"] == "score_ctc,seed=2"
    assert systems["transducer rate=0.1 seed=2"] == "score_transducer,rate=0.1,seed=2"
    assert found.comparison == "comparison"
    compared = found.stages["comparison"]
    assert compared.inputs["scores"] == tuple(f"{score.stage}.score" for score in found.scores)
    assert compared.params["over"] == ["seed"]
    rows = dict(zip(systems, compared.params["rows"], strict=True))
    assert rows["transducer rate=0.1 seed=2"] == {
        "system": "transducer",
        "set": "test",
        "values": {"rate": "0.1", "seed": "2"},
    }
    assert rows["CTC seed=2"]["values"] == {"seed": "2"}


def test_means_are_over_axes_that_there_are() -> None:
    def over(**options: Any) -> object:
        return grid("mine", make, **options).stages["comparison"].params["over"]

    assert over(rate=(0.1, 0.2)) == [] and over(seed=(1, 2), over=()) == []
    assert over(rate=(0.1, 0.2), seed=(1, 2), over=("rate",)) == ["rate"]
    for wrong in (("sede",), "seed"):
        with pytest.raises(ValueError, match=r"over: found 's\w*', needed axes of the grid: seed$"):
            over(seed=(1, 2), over=wrong)


def test_values_may_have_labels() -> None:
    found = grid("mine", make, units={"small": [64, 64], "large": [128, 128]})
    assert found.stages["ctc,units=small"].params["net"] == [64, 64]
    assert "transducer,units=large" in found.stages


def test_a_grid_may_change_which_stages_there_are() -> None:
    def some(extra: int) -> Recipe:
        stages = {"a": Stage(job="a"), **({"b": Stage(job="b")} if extra else {})}
        return Recipe(name="point", stages=stages)

    found = grid("mine", some, extra=(0, 1))
    assert list(found.stages) == ["a", "b,extra=1"]
    assert found.comparison is None and found.scores == ()


def test_how_a_recipe_is_sharded_and_what_it_keeps_stays() -> None:
    def kept(seed: int) -> Recipe:
        return make(seed=seed).sharded(4).keeping(ctc="until_used")

    found = grid("mine", kept, seed=(1, 2))
    assert found.shards == 4 and found.stages["ctc,seed=2"].keep == "until_used"


@pytest.mark.parametrize(
    ("axes", "message"),
    [
        ({"seed": ()}, "axis 'seed': found no values, needed at least one"),
        ({"seed": (1, 2, 1)}, "axis 'seed': found '1' twice, needed each value once"),
        (
            {"units": ("a b",)},
            r"axis 'units': found 'a b', needed letters, digits and _ . \+ - only",
        ),
        ({"units": ([3],)}, r"axis 'units': found '\[3\]', needed .*; give label -> value"),
        ({"units": ("../x", "y")}, "axis 'units': found '../x', needed"),
        ({"units": ("1" * 300, 2)}, "found the stage name ctc,units=1.*, needed 200 characters"),
    ],
)
def test_wrong_axes(axes: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        grid("mine", make, **axes)


def test_an_axis_that_changes_nothing() -> None:
    def forgetful(seed: int, layers: int) -> Recipe:
        return make(seed=seed)

    with pytest.raises(ValueError, match="axis 'layers': found no stage that it changes"):
        grid("mine", forgetful, seed=(1, 2), layers=(1, 2))


def test_a_stage_with_the_name_of_the_comparison() -> None:
    base = Recipe(name="point", stages={"comparison": Stage(job="a")})
    with pytest.raises(ValueError, match="found a stage 'comparison', needed another name"):
        grid("mine", lambda: base)
