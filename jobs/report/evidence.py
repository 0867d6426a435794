"""What a report is made of: files of stages, each of which may not be there yet."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path


@dataclass(frozen=True, kw_only=True)
class Stage:
    """A stage of a recipe.

    folder: below the store. state: finished, running, failed, ... reads: names of other stages.
    time, memory, disk: as a user reads them, with its shards. started: in UTC. command: runs it by
    hand, below those of its shards. params: those that are not the defaults, as JSON. error: why it
    failed.
    """

    name: str
    job: str
    folder: str
    state: str
    reads: tuple[str, ...] = ()
    time: str = ""
    memory: str = ""
    disk: str = ""
    started: str = ""
    command: str = ""
    params: Mapping[str, str] = field(default_factory=dict)
    error: str = ""


@dataclass(frozen=True, kw_only=True)
class System:
    """A row of the score table: score.json, the references, and the hypotheses."""

    recipe: str
    name: str
    set: str
    stage: str
    score: Path
    corpus: Path | None = None
    hypotheses: Path | None = None


@dataclass(frozen=True, kw_only=True)
class Training:
    """scores: by epoch, once it is done. progress: of the newest checkpoint, before."""

    stage: str
    scores: Path
    progress: Path


@dataclass(frozen=True, kw_only=True)
class Tuning:
    """table: values with their word error rates, of search.tune."""

    stage: str
    table: Path


@dataclass(frozen=True, kw_only=True)
class Times:
    """When words and units were said. corpus: manifest. textgrid: a folder, of align.export."""

    stage: str
    corpus: Path
    textgrid: Path


@dataclass(frozen=True, kw_only=True)
class Attention:
    """Attention weights of some utterances, of align.attention."""

    stage: str
    weights: Path


@dataclass(frozen=True, kw_only=True)
class Grid:
    """The comparison of a grid. table: text. plot: SVG, of score.compare."""

    table: Path
    plot: Path | None = None


@dataclass(frozen=True, kw_only=True)
class Evidence:
    """All that is known of a recipe.

    about: what it is, a sentence. page: the path of its page, below the index. made_with: the
    software and commit of its stages, by name.
    """

    name: str
    about: str
    page: str
    stages: tuple[Stage, ...]
    systems: tuple[System, ...] = ()
    trainings: tuple[Training, ...] = ()
    tunings: tuple[Tuning, ...] = ()
    times: tuple[Times, ...] = ()
    attention: tuple[Attention, ...] = ()
    comparison: Grid | None = None
    made_with: Mapping[str, str] = field(default_factory=dict)
