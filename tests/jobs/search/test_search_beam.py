"""Beam search as a job: its n-best lists, its speed, and its config."""

from __future__ import annotations

import json
import logging
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from handmade import BLANK, SPACE, A, B, heard, save_data, save_lm, save_model, search_net
from synthetic import LABELS, Task, rows, write_sequences

from jobs.job import JobError
from jobs.search import beam as job

SOUNDS = {
    "first": heard({A: 0.6, B: 0.4}, {BLANK: 1.0}, {B: 0.9, BLANK: 0.1}, {SPACE: 1.0}, {A: 1.0}),
    "second": heard({B: 1.0}, {B: 0.7, A: 0.3}),
}
TEXTS = ("ab a", "bb")


@dataclass(frozen=True)
class Setup:
    """A model set by hand, and what is searched with it."""

    folder: Path
    units: Path
    model: Path
    lm: Path
    features: Path
    corpus: Path

    def search(self, inputs: Mapping[str, Any] | None = None, **params: Any) -> job.Outputs:
        """Run the job; inputs and params: what differs."""
        given = {k: getattr(self, k) for k in ("model", "features", "units", "corpus")}
        outputs = job.Outputs(
            hypotheses=self.folder / "hypotheses.jsonl", search=self.folder / "search.json"
        )
        job.run(
            job.Inputs(**{**given, **(inputs or {})}),
            outputs,
            job.Params(**params),
            logging.getLogger("job"),
        )
        return outputs


@pytest.fixture
def setup(task: Task, tmp_path: Path) -> Setup:
    features, corpus = save_data(tmp_path, SOUNDS, TEXTS)
    model, lm = save_model(tmp_path / "model"), save_lm(tmp_path / "lm", {A: A, 0: B})
    return Setup(tmp_path, task.units, model, lm, features, corpus)


def probability(row: dict[str, Any]) -> float:
    return math.exp(row["score"])


def test_hypotheses_are_texts_of_the_best_labels_without_blanks(setup: Setup) -> None:
    found = rows(setup.search().hypotheses)
    assert [row["utt"] for row in found] == ["first", "second"]
    assert [row["text"] for row in found] == ["ab a", "bb"]
    assert [row["labels"] for row in found] == [[A, B, SPACE, A], [B, B]]
    assert [probability(row) for row in found] == pytest.approx([0.54, 0.7], rel=1e-3)
    best = [{k: row["nbest"][0][k] for k in ("text", "score", "labels")} for row in found]
    assert best == [{k: row[k] for k in ("text", "score", "labels")} for row in found]


def test_the_n_best_are_sorted_and_as_probable_as_their_labels(setup: Setup) -> None:
    first, second = rows(setup.search().hypotheses)
    assert [row["text"] for row in first["nbest"]] == ["ab a", "bb a", "a a", "b a"]
    expected = [0.54, 0.36, 0.06, 0.04]
    assert [probability(row) for row in first["nbest"]] == pytest.approx(expected, rel=1e-3)
    assert [row["text"] for row in second["nbest"][:2]] == ["bb", "ba"]


def test_the_seconds_of_search_are_given_for_those_of_audio(setup: Setup) -> None:
    speed = json.loads(setup.search().search.read_text())
    assert set(speed) == {"audio_seconds", "seconds", "real_time_factor"}
    assert speed["audio_seconds"] == 7.0 and 0 < speed["seconds"] < 60
    assert speed["real_time_factor"] == pytest.approx(speed["seconds"] / 7)


def test_utterances_that_are_not_searched_do_not_count_as_audio(setup: Setup) -> None:
    features = write_sequences(setup.folder / "one.hdf", {"second": SOUNDS["second"]}, LABELS + 1)
    outputs = setup.search({"features": features})
    assert json.loads(outputs.search.read_text())["audio_seconds"] == 2.0
    assert [row["utt"] for row in rows(outputs.hypotheses)] == ["second"]


def test_a_language_model_counts_as_the_config_says_and_the_file_goes_first(setup: Setup) -> None:
    fused = {"network": search_net(fused=True), "config": {"lm_scale": 0.0}}
    found = rows(setup.search({"lm": setup.lm}, **fused).hypotheses)
    assert [row["text"] for row in found] == ["ab a", "bb"]
    (setup.folder / "config.json").write_text('{"lm_scale": 1}')
    inputs = {"lm": setup.lm, "config": setup.folder / "config.json"}
    # After the beginning b is likely, and a after a; the last label of a blank is kept.
    found = rows(setup.search(inputs, **fused).hypotheses)
    assert [row["text"] for row in found] == ["bb a", "bb"]


@pytest.mark.parametrize(
    ("inputs", "params", "message"),
    [
        (
            {},
            {"config": {"lm_scale": 1.0}},
            "config: found the value 'lm_scale', which the network",
        ),
        (
            {"lm": "lm"},
            {"config": {"lm_scael": 1.0}},
            "no value 'lm_scale'; did you mean 'lm_scael'",
        ),
        ({"lm": "lm"}, {"config": {"lm_scale": 1.0, "beam": 2.0}}, "found the value 'beam', which"),
    ],
)
def test_config_values_that_the_network_does_not_know(
    setup: Setup, inputs: dict[str, str], params: dict[str, Any], message: str
) -> None:
    if inputs:
        params = {**params, "network": search_net(fused=True)}
    with pytest.raises(JobError, match=re.escape(message)):
        setup.search(dict.fromkeys(inputs, setup.lm), **params)


@pytest.mark.parametrize("content", ["{", "[1]", '{"lm_scale": "much"}', '{"lm_scale": null}'])
def test_a_config_file_without_numbers(setup: Setup, content: str) -> None:
    path = setup.folder / "config.json"
    path.write_text(content)
    with pytest.raises(
        JobError, match=r"config\.json: found no config \(.*needed a JSON object of"
    ):
        setup.search({"config": path})


def test_a_language_model_without_its_place_in_the_network_or_the_other_way(setup: Setup) -> None:
    with pytest.raises(
        JobError, match=r"lm: found a language model that the network does not name"
    ):
        setup.search({"lm": setup.lm})
    with pytest.raises(JobError, match=r"found '\{lm\}' in the network, needed the input lm"):
        setup.search(network=search_net(fused=True), config={"lm_scale": 1.0})


@pytest.mark.parametrize(
    ("layer", "message"),
    [
        ("label", "outputs: no layer 'label'; did you mean 'labels'?"),
        (
            "output",
            "first: found label 5, needed 0 to 4, the units; if it is the blank, try a layer",
        ),
    ],
)
def test_layers_that_have_not_the_labels(setup: Setup, layer: str, message: str) -> None:
    with pytest.raises(JobError, match=re.escape(message)):
        setup.search(layer=layer)
    assert not (setup.folder / "hypotheses.jsonl").exists()


def test_a_model_that_does_not_search(setup: Setup, task: Task, ctc: Path) -> None:
    inputs = {
        "model": ctc / "model",
        "features": task.features("dev"),
        "corpus": task.corpus("dev"),
    }
    with pytest.raises(JobError, match=r"no layer 'labels'; there are: .*lstm, output"):
        setup.search(inputs)
    with pytest.raises(
        JobError, match=r"layer 'output': found no hypotheses, needed labels that a"
    ):
        setup.search(inputs, layer="output")


def test_features_that_the_model_was_not_trained_on(setup: Setup, task: Task) -> None:
    wide = write_sequences(setup.folder / "wide.hdf", {"first": np.zeros((3, 9))}, 9)
    message = r"wide\.hdf: found features of dim 9, needed features of dim 6, as the model "
    with pytest.raises(JobError, match=message + re.escape(str(setup.model))):
        setup.search({"features": wide})
    with pytest.raises(JobError, match=r"dev_targets\.hdf: found labels of dim 5, needed features"):
        setup.search({"features": task.targets("dev")})


def test_utterances_that_the_corpus_lacks(setup: Setup, task: Task) -> None:
    message = r"dev\.jsonl: found no utterance 'first' and 1 others of the 2 in the features"
    with pytest.raises(JobError, match=message):
        setup.search({"corpus": task.corpus("dev")})


def test_features_without_sequences(setup: Setup) -> None:
    empty = write_sequences(setup.folder / "empty.hdf", {}, LABELS + 1)
    with pytest.raises(JobError, match=r"empty\.hdf: found no sequences, needed at least one"):
        setup.search({"features": empty})
