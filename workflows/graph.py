"""The stage graph: recipes checked, resolved to canonical JSON, and hashed."""

from __future__ import annotations

import dataclasses
import functools
import graphlib
import hashlib
import json
import typing
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from jobs.job import Job, JobError, Resources, job_names, load_job, nearest, outputs_of, referring
from jobs.shards import WHOLE, Shard
from jobs.typed_json import from_json, to_json
from recipes.recipe import Policy, Recipe, Stage, split_reference
from workflows.load import shown


@dataclass(frozen=True, kw_only=True)
class Output:
    """A file or folder that a stage makes: the stage, and the field of its job's Outputs."""

    node: Node
    name: str

    @property
    def path(self) -> str:
        """Its path below the store."""
        return f"{self.node.folder}/{outputs_of(self.node.job)[self.name]}"


Input = Output | tuple[Output, ...] | None


@dataclass(frozen=True, kw_only=True)
class Node:
    """A stage, checked and resolved.

    name: `recipe/stage`, of the first recipe that has it. params: the job's Params, with `{data}`
    as it stands in the recipe. inputs: a value for each field of the job's Inputs. external: name
    and digest of each file that is read where the recipe is planned. shard: which part of the work
    it does. shards: the stages whose outputs it puts together; none where it does the work itself.
    """

    name: str
    job: Job
    params: Any
    inputs: Mapping[str, Input]
    hash: str
    external: Sequence[tuple[str, str]] = ()
    shard: Shard = WHOLE
    shards: Sequence[Node] = ()

    @property
    def folder(self) -> str:
        """Its folder below the store."""
        return f"{self.job.NAME}/{self.hash}"

    @property
    def sources(self) -> list[Output]:
        """All that it reads, in order."""
        values = [v if isinstance(v, tuple) else (v,) for v in self.inputs.values()]
        return [output for value in values for output in value if output]

    @functools.cached_property
    def reads(self) -> frozenset[str]:
        """Folders of all stages whose files it needs, also those that others only refer to."""
        found = {source.node.folder for source in self.sources}
        found |= {shard.folder for shard in self.shards}
        for source in self.sources:
            if source.name in referring(source.node.job):
                found |= source.node.reads
        return frozenset(found)

    @property
    def resources(self) -> Resources:
        """What it may use; to put shards together takes one core."""
        found = self.job.resources(self.params)
        return dataclasses.replace(found, threads=1, gpu=0) if self.shards else found


def make_node(
    name: str,
    job: Job,
    params: Any,
    inputs: Mapping[str, Input],
    data: str | None = None,
    shard: Shard = WHOLE,
) -> Node:
    """Make a node and its hash: over what changes the outputs, and nothing else.

    data: what `{data}` stands for in the paths of external files. shard: the part of the work that
    it does; into how many shards the whole is split is no part of its hash, as it changes nothing.
    """
    identity = {
        "job": job.NAME,
        "version": job.VERSION,
        "params": to_json(params, hashed_only=True),
        # Without inputs that are not given: a job may get a new optional one, and keep its hashes.
        "inputs": {key: _input_identity(value) for key, value in inputs.items() if value},
    }
    contents = _external_contents(job, params, data)
    if contents:
        identity["external"] = contents
    if not shard.whole:
        identity["shard"] = [shard.index, shard.count]
    text = json.dumps(identity, sort_keys=True, separators=(",", ":"), ensure_ascii=True)
    digest = hashlib.sha256(text.encode()).hexdigest()[:16]
    return Node(
        name=name,
        job=job,
        params=params,
        inputs=inputs,
        hash=digest,
        external=contents,
        shard=shard,
    )


def _external_contents(job: Job, params: Any, data: str | None) -> list[tuple[str, str]]:
    """Return name and digest of each external file that is there; what is not, the job tells."""
    if not hasattr(job, "external"):
        return []
    files = [p for p in job.external(placed(params, data)) if p.is_file()]
    return [(p.name, hashlib.sha256(p.read_bytes()).hexdigest()[:16]) for p in files]


def placed(params: Any, data: str | None) -> Any:
    """Return parameters with `{data}` in them replaced, where it is known what it stands for."""
    values = {f.name: getattr(params, f.name) for f in dataclasses.fields(params)}
    texts = {k: v for k, v in values.items() if isinstance(v, str)}
    changed = {k: v.replace("{data}", data or "{data}") for k, v in texts.items()}
    return dataclasses.replace(params, **changed)


def _input_identity(value: Output | tuple[Output, ...]) -> Any:
    if isinstance(value, tuple):
        return [_input_identity(v) for v in value]
    return [value.node.hash, value.name]


def resolve(recipe: Recipe, data: str | None = None) -> dict[str, Node]:
    """Check all stages of a recipe and return their nodes; data: see `make_node`.

    Raises JobError, one line for each mistake, with the file and line of its stage.
    """
    errors: list[str] = []
    if not _is_count(recipe.shards):
        errors.append(f"{shown(recipe.made_at)}: shards: {_COUNT.format(recipe.shards)}")
    drafts = {name: _Draft(recipe, name, errors) for name in recipe.stages}
    for draft in drafts.values():
        draft.check_references(drafts)
    order = _order(recipe, drafts, errors)
    for score in recipe.scores:
        where = f"{shown(score.made_at)}: score {score.system!r} on {score.set!r}"
        _check_output(where, score.stage, "score", "score.wer", drafts, errors)
    if recipe.comparison is not None:
        where = f"{shown(recipe.made_at)}: comparison"
        _check_output(where, recipe.comparison, "table", "score.compare", drafts, errors)
    if errors:
        raise JobError("\n".join(errors))
    nodes: dict[str, Node] = {}
    for name in order:
        nodes[name] = drafts[name].node(nodes, data)
    return {name: nodes[name] for name in recipe.stages}


def _check_output(
    where: str, stage: str, output: str, job: str, drafts: Mapping[str, _Draft], errors: list[str]
) -> None:
    """Append an error unless there is a stage with an output; job: one that has it."""
    found = f"{where}: found stage {stage!r}"
    if stage not in drafts:
        errors.append(f"{found}, which the recipe does not have{nearest(stage, drafts)}")
    elif (other := drafts[stage].job) and output not in outputs_of(other):
        lacks = f"a {other.NAME}, which has no output {output!r}"
        errors.append(f"{found}, {lacks}; try a stage of the job {job}")


_COUNT = "found {!r}, needed a whole number from 1 on"


def _is_count(value: object) -> bool:
    return type(value) is int and value >= 1


def _order(recipe: Recipe, drafts: Mapping[str, _Draft], errors: list[str]) -> list[str]:
    """Return the stages, each after those it reads; a cycle is an error."""
    sources = {
        name: {stage for stage, _ in draft.references() if stage in drafts}
        for name, draft in drafts.items()
    }
    try:
        return list(graphlib.TopologicalSorter(sources).static_order())
    except graphlib.CycleError as error:
        cycle = error.args[1]
        where = shown(recipe.stages[cycle[0]].made_at)
        errors.append(f"{where}: stages that need each other: {' -> '.join(cycle)}")
        return []


class _Draft:
    """A stage that is being checked; appends what is wrong to the errors."""

    def __init__(self, recipe: Recipe, name: str, errors: list[str]) -> None:
        self.stage: Stage = recipe.stages[name]
        self.recipe = recipe
        self.name = f"{recipe.name}/{name}"
        self.where = f"{shown(self.stage.made_at)}: stage {name!r}"
        self.errors = errors
        self.job: Job | None = None
        self.params: Any = None
        try:
            self.job = load_job(self.stage.job)
            self.params = from_json(self.job.Params, dict(self.stage.params), self.where)
            self.job.resources(self.params)
        except JobError as error:
            text = str(error)
            errors.append(text if text.startswith(self.where) else f"{self.where}: {text}")

    def references(self) -> list[tuple[str, str]]:
        """Return (stage, output) of each input that is written as one."""
        values = [v if isinstance(v, tuple | list) else (v,) for v in self.stage.inputs.values()]
        return [
            split_reference(text) for value in values for text in value if isinstance(text, str)
        ]

    def check_references(self, drafts: Mapping[str, _Draft]) -> None:
        """Check names and kinds of the inputs, and that what they refer to exists."""
        if self.job:
            self._check_names(self.job)
            self._check_keep(self.job)
            self._check_shards(self.job)
        for stage, output in self.references():
            text = f"{stage}.{output}" if output else stage
            if not output:
                self._error(f"input {text!r}: needed 'stage.output'")
            elif stage not in drafts:
                self._error(f"input {text!r}: unknown stage {stage!r}{nearest(stage, drafts)}")
            elif (job := drafts[stage].job) and output not in outputs_of(job):
                names = nearest(output, outputs_of(job))
                self._error(f"input {text!r}: {job.NAME} has no output {output!r}{names}")

    def _check_names(self, job: Job) -> None:
        fields = {f.name: f for f in dataclasses.fields(job.Inputs)}
        kinds = typing.get_type_hints(job.Inputs)
        for name, value in self.stage.inputs.items():
            many = isinstance(value, tuple | list)
            if name not in fields:
                self._error(f"{job.NAME} has no input {name!r}{nearest(name, fields)}")
            elif many and typing.get_origin(kinds[name]) is not tuple:
                self._error(f"input {name!r}: found {len(value)} references, needed one")
            elif not many and typing.get_origin(kinds[name]) is tuple:
                self._error(f"input {name!r}: found {value!r}, needed a tuple of references")
            for text in value if many else (value,):
                if not isinstance(text, str):
                    self._error(f"input {name!r}: found {text!r}, needed 'stage.output'")
        for name, f in fields.items():
            if f.default is dataclasses.MISSING and name not in self.stage.inputs:
                self._error(f"missing input {name!r} of {job.NAME}")

    def _check_keep(self, job: Job) -> None:
        keep = self.stage.keep
        for name, policy in keep.items() if isinstance(keep, Mapping) else [(None, keep)]:
            if name is not None and name not in outputs_of(job):
                self._error(
                    f"keep: {job.NAME} has no output {name!r}{nearest(name, outputs_of(job))}"
                )
            if policy not in typing.get_args(Policy):
                self._error(f"keep: found {policy!r}, needed 'always' or 'until_used'")

    def _check_shards(self, job: Job) -> None:
        shards = self.stage.shards
        if shards is not None and not _is_count(shards):
            self._error(f"shards: {_COUNT.format(shards)}")
        elif shards not in (None, 1) and not hasattr(job, "merge"):
            able = ", ".join(n for n in job_names() if hasattr(load_job(n), "merge"))
            self._error(f"shards: found {shards} of {job.NAME}, needed a job of these: {able}")

    @property
    def shards(self) -> int:
        """In how many shards it is done."""
        if not hasattr(self.job, "merge"):
            return 1
        return self.recipe.shards if self.stage.shards is None else self.stage.shards

    def _error(self, text: str) -> None:
        self.errors.append(f"{self.where}: {text}")

    def node(self, nodes: Mapping[str, Node], data: str | None) -> Node:
        """Return the node, once those it reads are there."""
        assert self.job

        def output(text: str) -> Output:
            stage, name = split_reference(text)
            return Output(node=nodes[stage], name=name)

        fields = dataclasses.fields(self.job.Inputs)
        inputs: dict[str, Input] = {f.name: typing.cast(Input, f.default) for f in fields}
        for key, value in self.stage.inputs.items():
            inputs[key] = output(value) if isinstance(value, str) else tuple(map(output, value))
        whole = make_node(self.name, self.job, self.params, inputs, data)
        if self.shards == 1:
            return whole
        shards = [
            make_node(f"{self.name} {i + 1}/{self.shards}", self.job, self.params, inputs, data, s)
            for i in range(self.shards)
            for s in [Shard(index=i, count=self.shards)]
        ]
        return dataclasses.replace(whole, shards=shards)
