"""The stage graph: what is part of a hash, and what is wrong with a recipe."""

from __future__ import annotations

import dataclasses
import types
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jobs.job import JobError, Resources, added, file, nearest, unhashed
from recipes.recipe import Recipe, Score, Stage
from workflows import graph
from workflows.graph import Node, resolve


@dataclass(frozen=True, kw_only=True)
class NoInputs:
    """Reads nothing."""


@dataclass(frozen=True, kw_only=True)
class Corpus:
    """Makes a corpus."""

    corpus: Path = file("corpus.jsonl")
    text: Path = file("text.txt")


@dataclass(frozen=True, kw_only=True)
class Nested:
    """A parameter with parameters."""

    alpha: float = 0.5
    workers: int = unhashed(1)


@dataclass(frozen=True, kw_only=True)
class CorpusParams:
    """What the corpus is."""

    folder: str = "{data}/x"
    seed: int = 1
    rate: float = 16000.0
    nested: Nested = Nested()
    threads: int = unhashed(1)


@dataclass(frozen=True, kw_only=True)
class TrainInputs:
    """Needs a corpus; more are possible."""

    corpus: Path
    lm: Path | None = None
    more: tuple[Path, ...] = ()


@dataclass(frozen=True, kw_only=True)
class TrainParams:
    """How to train."""

    epochs: int


@dataclass(frozen=True, kw_only=True)
class ScoreOutputs:
    """A score."""

    score: Path = file("score.json")


def job(name: str, inputs: type, outputs: type, params: type, version: int = 1) -> Any:
    """Return a job that is never run."""
    return types.SimpleNamespace(
        NAME=name,
        VERSION=version,
        Inputs=inputs,
        Outputs=outputs,
        Params=params,
        resources=lambda params: Resources(),
    )


JOBS = {
    "corpus.make": job("corpus.make", NoInputs, Corpus, CorpusParams),
    "model.train": job("model.train", TrainInputs, ScoreOutputs, TrainParams),
}


@pytest.fixture(autouse=True)
def jobs(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """Let the graph know these jobs only; a test may change them."""
    known = dict(JOBS)

    def load(name: str) -> Any:
        if name not in known:
            raise JobError(f"unknown job {name!r}{nearest(name, known)}")
        return known[name]

    monkeypatch.setattr(graph, "load_job", load)
    return known


def recipe(*, scores: tuple[Score, ...] = (), **stages: Stage) -> Recipe:
    """Return a recipe of some stages."""
    return Recipe(name="x", stages=stages, scores=scores)


def corpus(**params: Any) -> Stage:
    """Return a stage that makes a corpus."""
    return Stage(job="corpus.make", params=params)


def train(epochs: int = 3, **inputs: Any) -> Stage:
    """Return a stage that trains on `corpus`."""
    given = {"corpus": "corpus.corpus", **inputs}
    return Stage(job="model.train", inputs=given, params={"epochs": epochs})


def hashes(**stages: Stage) -> dict[str, str]:
    """Return the hash of each stage."""
    return {name: node.hash for name, node in resolve(recipe(**stages)).items()}


def error(made: Recipe) -> list[str]:
    """Return the lines of the error that a recipe gives, without file and line."""
    with pytest.raises(JobError) as caught:
        resolve(made)
    lines = str(caught.value).splitlines()
    assert all(line.startswith(("tests/workflows/test_graph.py:", __file__)) for line in lines)
    return [line.partition(": ")[2] for line in lines]


def test_a_default_written_out_has_the_same_hash() -> None:
    base = hashes(corpus=corpus())
    assert base == hashes(corpus=corpus(seed=1, rate=16000, nested={"alpha": 0.5}))
    assert len(base["corpus"]) == 16 and int(base["corpus"], 16) >= 0


def test_an_external_file_is_part_of_the_hash(jobs: dict[str, Any], tmp_path: Path) -> None:
    """Its content, not its place; what a user mends is made again, with all that follows."""
    before = hashes(corpus=corpus(), train=train())
    jobs["corpus.make"].external = lambda params: [Path(params.folder, "table")]
    made = recipe(corpus=corpus(), train=train())

    def found(content: str | None) -> dict[str, str]:
        (tmp_path / "x").mkdir(exist_ok=True)
        (tmp_path / "x" / "table").unlink(missing_ok=True)
        if content is not None:
            (tmp_path / "x" / "table").write_text(content)
        return {name: node.hash for name, node in resolve(made, str(tmp_path)).items()}

    assert found(None) == before == hashes(corpus=corpus(), train=train())
    first, second = found("a"), found("b")
    assert not set(first.values()) & set(second.values()) and first == found("a")
    del jobs["corpus.make"].external


def test_a_hash_is_pinned_so_that_it_is_the_same_on_every_machine() -> None:
    assert hashes(corpus=corpus(), train=train()) == {
        "corpus": "dd8f7a91308f3148",
        "train": "b207b3289de0232e",
    }


@pytest.mark.parametrize(
    "changed", [{"seed": 2}, {"rate": 8000}, {"nested": {"alpha": 0.4}}, {"folder": "{data}/y"}]
)
def test_a_changed_parameter_changes_the_stage_and_what_depends_on_it_only(
    changed: dict[str, Any],
) -> None:
    before = hashes(corpus=corpus(), other=corpus(seed=9), train=train())
    after = hashes(corpus=corpus(**changed), other=corpus(seed=9), train=train())
    assert [n for n in before if before[n] != after[n]] == ["corpus", "train"]


def test_what_cannot_change_the_outputs_is_in_no_hash() -> None:
    assert hashes(corpus=corpus()) == hashes(corpus=corpus(threads=8, nested={"workers": 3}))


def test_which_output_is_read_and_as_which_input_is_in_the_hash() -> None:
    plain = hashes(corpus=corpus(), train=train())["train"]
    variants = [
        train(corpus="corpus.text"),
        train(lm="corpus.corpus"),
        train(more=("corpus.corpus",)),
        train(more=("corpus.corpus", "corpus.text")),
        train(more=("corpus.text", "corpus.corpus")),
    ]
    found = {hashes(corpus=corpus(), train=stage)["train"] for stage in variants}
    assert len(found | {plain}) == 6


def test_names_of_stages_and_recipes_are_in_no_hash() -> None:
    renamed = Stage(job="model.train", inputs={"corpus": "c.corpus"}, params={"epochs": 3})
    assert list(hashes(corpus=corpus(), train=train()).values()) == list(
        hashes(c=corpus(), t=renamed).values()
    )


def test_a_new_version_of_a_job_changes_the_stage_and_what_depends_on_it(
    jobs: dict[str, Any],
) -> None:
    before = hashes(corpus=corpus(), train=train())
    jobs["model.train"] = job("model.train", TrainInputs, ScoreOutputs, TrainParams, version=2)
    after = hashes(corpus=corpus(), train=train())
    assert before["corpus"] == after["corpus"] and before["train"] != after["train"]


def test_a_new_optional_input_of_a_job_changes_no_hash(jobs: dict[str, Any]) -> None:
    before = hashes(corpus=corpus(), train=train())
    wider = dataclasses.make_dataclass(
        "Wider",
        [("new", Path | None, None)],
        bases=(TrainInputs,),
        frozen=True,
        kw_only=True,
    )
    jobs["model.train"] = job("model.train", wider, ScoreOutputs, TrainParams)
    assert before == hashes(corpus=corpus(), train=train())


def test_a_parameter_that_a_job_got_later_changes_no_hash_at_its_default() -> None:
    @dataclass(frozen=True, kw_only=True)
    class More(CorpusParams):
        speed: float = added(1.0)
        inner: Nested = added(Nested())

    def digest(params: CorpusParams) -> str:
        corpus = job("x.corpus", NoInputs, Corpus, CorpusParams)
        return graph.make_node("a/b", corpus, params, {}).hash

    assert digest(More()) == digest(More(speed=1.0, inner=Nested())) == digest(CorpusParams())
    others = [More(speed=2.0), More(speed=3.0), More(inner=Nested(alpha=2)), More(seed=2)]
    assert len({digest(params) for params in [*others, CorpusParams()]}) == 5


@given(st.permutations(["corpus", "lm", "train", "again"]))
def test_the_order_in_which_stages_are_written_makes_no_difference(order: list[str]) -> None:
    stages = {
        "corpus": corpus(),
        "lm": train(5),
        "train": train(lm="lm.score"),
        "again": train(6, more=("train.score", "lm.score")),
    }
    found = hashes(**{name: stages[name] for name in order})
    assert list(found) == order
    assert found == hashes(**stages)


def test_nodes_know_what_they_read() -> None:
    nodes = resolve(recipe(train=train(more=("corpus.text",)), corpus=corpus()))
    node: Node = nodes["train"]
    assert node.name == "x/train"
    assert [s.path for s in node.sources] == [
        f"corpus.make/{nodes['corpus'].hash}/corpus.jsonl",
        f"corpus.make/{nodes['corpus'].hash}/text.txt",
    ]
    assert node.inputs["lm"] is None


def test_a_stage_name_may_have_dots() -> None:
    stages = {"lr0.1": corpus(), "train": train(corpus="lr0.1.corpus")}
    nodes = resolve(Recipe(name="x", stages=stages))
    assert nodes["train"].sources[0].node == nodes["lr0.1"]


def test_all_mistakes_of_a_recipe_are_told_with_their_lines() -> None:
    made = recipe(
        a=Stage(job="corpus.mak"),
        b=Stage(job="corpus.make", params={"sed": 3}),
    )
    with pytest.raises(JobError) as caught:
        resolve(made)
    line = int(made.stages["a"].made_at.rpartition(":")[2])
    first, second = str(caught.value).splitlines()
    assert first.endswith(
        f"test_graph.py:{line}: stage 'a': unknown job 'corpus.mak'; did you mean 'corpus.make'?"
    )
    assert second.endswith(
        f"test_graph.py:{line + 1}: stage 'b': unknown key 'sed'; did you mean 'seed'?"
    )


@pytest.mark.parametrize(
    ("stage", "message"),
    [
        (train(corpus="corpsu.corpus"), "unknown stage 'corpsu'; did you mean 'corpus'?"),
        (train(corpus="corpus.txt"), "corpus.make has no output 'txt'; did you mean 'text'?"),
        (train(corpus="corpus"), "input 'corpus': needed 'stage.output'"),
        (train(corpus=3), "input 'corpus': found 3, needed 'stage.output'"),
        (train(corpus=None), "input 'corpus': found None, needed 'stage.output'"),
        (train(corpus=("corpus.text",)), "input 'corpus': found 1 references, needed one"),
        (train(more="corpus.text"), "found 'corpus.text', needed a tuple of references"),
        (train(more=(1,)), "input 'more': found 1, needed 'stage.output'"),
        (train(mroe=("corpus.text",)), "has no input 'mroe'; did you mean 'more'?"),
        (Stage(job="model.train", params={"epochs": 1}), "missing input 'corpus' of model.train"),
        (
            Stage(job="model.train", inputs={"corpus": "corpus.text"}),
            "missing key 'epochs'",
        ),
    ],
)
def test_wrong_stages(stage: Stage, message: str) -> None:
    lines = error(recipe(corpus=corpus(), train=stage))
    assert len(lines) == 1, lines
    assert lines[0].startswith("stage 'train': ") and lines[0].endswith(message), lines


def test_resources_may_refuse_parameters(jobs: dict[str, Any]) -> None:
    def refuse(params: Any) -> Resources:
        raise JobError("epochs: found 3, needed fewer")

    jobs["model.train"] = job("model.train", TrainInputs, ScoreOutputs, TrainParams)
    jobs["model.train"].resources = refuse
    lines = error(recipe(corpus=corpus(), train=train()))
    assert lines == ["stage 'train': epochs: found 3, needed fewer"]


def test_a_cycle_names_its_stages() -> None:
    made = recipe(corpus=corpus(), a=train(lm="b.score"), b=train(lm="a.score"))
    (line,) = error(made)
    assert line in (
        "stages that need each other: a -> b -> a",
        "stages that need each other: b -> a -> b",
    )


@pytest.mark.parametrize(
    ("stage", "message"),
    [
        ("trian", "found stage 'trian', which the recipe does not have; did you mean 'train'?"),
        ("corpus", "found stage 'corpus', a corpus.make, which has no output 'score'; try a"),
    ],
)
def test_scores_of_stages_that_give_none(stage: str, message: str) -> None:
    score = Score(system="CTC", set="test", stage=stage)
    (line,) = error(recipe(corpus=corpus(), train=train(), scores=(score,)))
    assert line.startswith(f"score 'CTC' on 'test': {message}")
