"""What a recipe is: a name, stages, and the scores it reports. Standard library only."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

Inputs = Mapping[str, "str | tuple[str, ...]"]


@dataclass(frozen=True, kw_only=True)
class Stage:
    """One job of an experiment.

    job: name of the job, such as `features.extract`.
    inputs: the job's inputs; each value (or tuple of values) is `stage.output`, an output of
        another stage of the recipe.
    params: the job's parameters, as JSON values.
    """

    job: str
    inputs: Inputs = field(default_factory=dict)
    params: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Score:
    """A row of the score table: which system was scored on which set, and by which stage."""

    system: str
    set: str
    stage: str


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """An experiment: named stages and the scores that it reports."""

    name: str
    stages: Mapping[str, Stage]
    scores: tuple[Score, ...]

    def replace(self, name: str, **params: Mapping[str, Any]) -> Recipe:
        """Return a variant: `BASE.replace("other", ctc={"seed": 2})` changes params of one stage.

        Raises KeyError for a stage that the recipe does not have.
        """
        stages = dict(self.stages)
        for stage, changed in params.items():
            if stage not in stages:
                raise KeyError(f"recipe {self.name}: no stage {stage!r}; it has {sorted(stages)}")
            old = stages[stage]
            stages[stage] = replace(old, params={**old.params, **changed})
        return replace(self, name=name, stages=stages)
