"""What a recipe is: a name, stages, and the scores it reports. Standard library only."""

from __future__ import annotations

import dataclasses
import difflib
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from types import FrameType
from typing import Any, Literal

Inputs = Mapping[str, "str | tuple[str, ...]"]
Policy = Literal["always", "until_used"]
Keep = Policy | Mapping[str, Policy]

LONGEST = 200  # characters of a name, which is that of a link or a folder, too


def _where() -> str:
    """Return `file:line` of the recipe code that is making an object, for error messages."""
    frame: FrameType | None = sys._getframe(1)
    while frame and (frame.f_code.co_filename == __file__ or frame.f_code.co_filename[0] == "<"):
        frame = frame.f_back  # this module, and the __init__ that dataclass generates
    return f"{frame.f_code.co_filename}:{frame.f_lineno}" if frame else ""


def _made_at() -> Any:
    return field(default_factory=_where, compare=False, repr=False)


@dataclass(frozen=True, kw_only=True)
class Stage:
    """One job of an experiment.

    job: name of the job, such as `features.extract`.
    inputs: the job's inputs; each value (or tuple of values) is `stage.output`, an output of
        another stage of the recipe.
    params: the job's parameters, as JSON values.
    keep: for how long the outputs stay, all or by name: "always", or "until_used": until each stage
        that reads this one is done. What is needed again after that is made again. Never hashed.
    shards: in how many jobs of their own its work is done, the same as in one; None: as many as the
        recipe says. Never hashed.
    made_at: `file:line` for error messages; filled in.
    """

    job: str
    inputs: Inputs = field(default_factory=dict)
    params: Mapping[str, Any] = field(default_factory=dict)
    keep: Keep = "always"
    shards: int | None = None
    made_at: str = _made_at()


@dataclass(frozen=True, kw_only=True)
class Score:
    """A row of the score table: which system was scored on which set, and by which stage."""

    system: str
    set: str
    stage: str
    made_at: str = _made_at()


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """An experiment: named stages and the scores that it reports.

    name: the name of its file, without `.py`.
    shards: in how many jobs each stage is done whose job can be split, where it does not say.
    comparison: the stage, with an output `table`, that compares the scores; see recipes/grid.py.
    """

    name: str
    stages: Mapping[str, Stage]
    scores: tuple[Score, ...] = ()
    shards: int = 1
    comparison: str | None = None
    made_at: str = _made_at()

    def replace(self, name: str, **params: Mapping[str, Any]) -> Recipe:
        """Return a variant: `BASE.replace("other", ctc={"target": "x"})` changes a stage's params.

        Objects within them are merged: `ctc={"options": {"seed": 2}}` changes the seed alone.
        Raises ValueError for a stage that the recipe does not have.
        """
        stages = {
            stage: {"params": _merged(self._stage(stage).params, changed)}
            for stage, changed in params.items()
        }
        return self._changed(name, stages)

    def keeping(self, **policies: Keep) -> Recipe:
        """Return the recipe with other policies: `keeping(features_train="until_used")`.

        Raises ValueError for a stage that the recipe does not have.
        """
        return self._changed(self.name, {stage: {"keep": p} for stage, p in policies.items()})

    def sharded(self, shards: int, **stages: int) -> Recipe:
        """Return the recipe done in shards: `sharded(8)`, or `sharded(8, search_fusion=32)`.

        stages: other numbers, of some stages. Raises ValueError for a stage that the recipe does
        not have.
        """
        changed = self._changed(self.name, {stage: {"shards": n} for stage, n in stages.items()})
        return dataclasses.replace(changed, shards=shards)

    def _stage(self, name: str) -> Stage:
        if name not in self.stages:
            close = difflib.get_close_matches(name, self.stages, n=1) or sorted(self.stages)
            raise ValueError(
                f"recipe {self.name!r} has no stage {name!r}; there is {', '.join(close)}"
            )
        return self.stages[name]

    def _changed(self, name: str, changes: Mapping[str, Mapping[str, Any]]) -> Recipe:
        """Return the recipe with changed fields of some stages."""
        stages = dict(self.stages)
        for stage, fields in changes.items():
            changed: dict[str, Any] = {**fields, "made_at": _where()}
            stages[stage] = dataclasses.replace(self._stage(stage), **changed)
        return dataclasses.replace(self, name=name, stages=stages, made_at=_where())


def split_reference(reference: str) -> tuple[str, str]:
    """Split `stage.output`; stages may have dots in their names."""
    stage, _, output = reference.rpartition(".")
    return (stage, output) if stage else (output, "")


def _merged(old: Mapping[str, Any], changed: Mapping[str, Any]) -> dict[str, Any]:
    """Return `old` with what differs in `changed`; mappings within mappings are merged, too."""
    new = dict(old)
    for key, value in changed.items():
        before = new.get(key)
        both = isinstance(before, Mapping) and isinstance(value, Mapping)
        new[key] = _merged(before, value) if both else value  # type: ignore[arg-type]
    return new
