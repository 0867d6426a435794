"""A grid: one recipe of many points, in which only what differs between them is done for each."""

from __future__ import annotations

import dataclasses
import hashlib
import itertools
import json
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from recipes.recipe import LONGEST, Recipe, Score, Stage, split_reference

COMPARISON = "comparison"  # the stage that compares the scores
LABEL = re.compile(r"[A-Za-z0-9_.+-]+")

Axis = Iterable[Any] | Mapping[str, Any]
Point = tuple[int, ...]  # which value of each axis


def grid(
    name: str, make: Callable[..., Recipe], /, *, over: Sequence[str] | None = None, **axes: Axis
) -> Recipe:
    """Return a recipe of all points of a grid, and a comparison of their scores.

    make: returns the recipe of a point; its arguments are the axes. axes: name -> values, which are
    texts or numbers, or label -> value. over: the axes of which mean and deviation are taken; None:
    `seed`, where it is one.
    A stage that some axes change is there for each of their values: `ctc,units=128,seed=1`.
    Raises ValueError for labels that cannot be names, for an axis that changes nothing, and for
    `over` that is none of the axes.

        grid("rates", make, learning_rate=(1e-3, 3e-3), seed=(1, 2, 3))
    """
    over = _over(over, axes)
    labelled = {axis: _labelled(axis, values) for axis, values in axes.items()}
    labels = {axis: list(found) for axis, found in labelled.items()}
    points = list(itertools.product(*(range(len(several)) for several in labels.values())))
    recipes = {
        point: make(**{a: labelled[a][labels[a][i]] for a, i in zip(axes, point, strict=True)})
        for point in points
    }
    changing = _changing(recipes, list(axes))
    for axis, several in labels.items():
        if len(several) > 1 and not any(axis in changed for changed in changing.values()):
            raise ValueError(f"axis {axis!r}: found no stage that it changes, needed one")

    def values(stage: str, point: Point) -> dict[str, str]:
        """Return the labels of a point, of the axes that change a stage."""
        pairs = zip(axes, point, strict=True)
        return {a: labels[a][i] for a, i in pairs if a in changing[stage]}

    stages: dict[str, Stage] = {}
    scores: dict[tuple[str, str, str], tuple[Score, dict[str, Any]]] = {}
    for point, recipe in recipes.items():
        names = {stage: _name(stage, values(stage, point)) for stage in recipe.stages}
        for stage, found in recipe.stages.items():
            stages[names[stage]] = dataclasses.replace(found, inputs=_renamed(found, names))
        for score in recipe.scores:
            at = values(score.stage, point) if score.stage in recipe.stages else {}
            system = " ".join([score.system, *(f"{axis}={label}" for axis, label in at.items())])
            stage = names.get(score.stage, score.stage)
            row = {"system": score.system, "set": score.set, "values": at}
            scored = dataclasses.replace(score, system=system, stage=stage)
            scores[system, score.set, stage] = (scored, row)
    return _recipe(name, next(iter(recipes.values())), stages, list(scores.values()), over)


def _recipe(
    name: str,
    first: Recipe,
    stages: dict[str, Stage],
    scores: Sequence[tuple[Score, dict[str, Any]]],
    over: list[str],
) -> Recipe:
    """Return the recipe of all stages, and of one that compares the scores, where there are any."""
    if COMPARISON in stages:
        raise ValueError(f"found a stage {COMPARISON!r}, needed another name: a grid makes one")
    if scores:
        stages[COMPARISON] = Stage(
            job="score.compare",
            inputs={"scores": tuple(f"{score.stage}.score" for score, _ in scores)},
            params={"rows": [row for _, row in scores], "over": over},
        )
    return Recipe(
        name=name,
        stages=stages,
        scores=tuple(score for score, _ in scores),
        shards=first.shards,
        comparison=COMPARISON if scores else None,
    )


def _over(over: Sequence[str] | None, axes: Mapping[str, Axis]) -> list[str]:
    """Return the axes over which means are taken."""
    if over is None:
        return [axis for axis in axes if axis == "seed"]
    for axis in over:
        if axis not in axes:
            needed = f"axes of the grid: {', '.join(axes)}" if axes else "none: there are no axes"
            raise ValueError(f"over: found {axis!r}, needed {needed}")
    return list(over)


def _labelled(axis: str, values: Axis) -> dict[str, Any]:
    """Return the values of an axis by their labels."""
    pairs = values.items() if isinstance(values, Mapping) else [(str(v), v) for v in values]
    found: dict[str, Any] = {}
    for label, value in pairs:
        if not LABEL.fullmatch(str(label)):
            raise ValueError(
                f"axis {axis!r}: found {label!r}, needed letters, digits and _ . + - only;"
                " give label -> value"
            )
        if label in found:
            raise ValueError(f"axis {axis!r}: found {label!r} twice, needed each value once")
        found[label] = value
    if not found:
        raise ValueError(f"axis {axis!r}: found no values, needed at least one")
    return found


def _name(stage: str, values: Mapping[str, str]) -> str:
    """Return the name of a stage at some values. Raises ValueError where it is too long."""
    name = ",".join([stage, *(f"{axis}={label}" for axis, label in values.items())])
    if len(name) > LONGEST:
        raise ValueError(
            f"found the stage name {name}, needed {LONGEST} characters at most; give axes and"
            " labels that are shorter"
        )
    return name


def _changing(recipes: Mapping[Point, Recipe], axes: Sequence[str]) -> dict[str, set[str]]:
    """Return which axes change each stage: it, or what it is made from."""
    digests = {point: _digests(recipe.stages) for point, recipe in recipes.items()}
    changing: dict[str, set[str]] = {s: set() for recipe in recipes.values() for s in recipe.stages}
    for number, axis in enumerate(axes):
        for point, found in digests.items():
            first = digests[*point[:number], 0, *point[number + 1 :]]
            for stage in found.keys() | first.keys():
                if found.get(stage) != first.get(stage):
                    changing[stage].add(axis)
    return changing


def _digests(stages: Mapping[str, Stage]) -> dict[str, str]:
    """Return a digest of each stage, and of all that it is made from."""
    found: dict[str, str] = {}

    def digest(name: str) -> str:
        if name not in stages:
            return name
        if name not in found:
            found[name] = ""  # where stages need each other, which is told later
            stage = stages[name]
            made_from = {
                key: [split_reference(t) for t in _texts(v)] for key, v in stage.inputs.items()
            }
            inputs = {k: [(digest(s), out) for s, out in v] for k, v in made_from.items()}
            parts = [stage.job, stage.params, stage.keep, stage.shards, inputs]
            text = json.dumps(parts, sort_keys=True, default=repr)
            found[name] = hashlib.sha256(text.encode()).hexdigest()
        return found[name]

    for name in stages:
        digest(name)
    return found


def _renamed(stage: Stage, names: Mapping[str, str]) -> dict[str, str | tuple[str, ...]]:
    """Return the inputs of a stage with other names of the stages that they are from."""

    def renamed(text: str) -> str:
        source, output = split_reference(text)
        return f"{names.get(source, source)}.{output}" if output else text

    return {
        key: renamed(value) if isinstance(value, str) else tuple(map(renamed, value))
        for key, value in stage.inputs.items()
    }


def _texts(value: str | tuple[str, ...]) -> Sequence[str]:
    return (value,) if isinstance(value, str) else value
