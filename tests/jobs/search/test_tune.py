"""The scale of a language model is chosen by the word error rate."""

from __future__ import annotations

import json
import logging
from pathlib import Path
from typing import Any

import pytest
from handmade import BLANK, A, B, heard, save_data, save_lm, save_model, search_net
from synthetic import Task

from jobs.job import JobError
from jobs.search import tune as job
from jobs.search.tuning import word_error_rate
from jobs.typed_json import from_json

# Not quite what was said; after a comes b. A language model that counts too much leaves labels out.
SOUNDS = {
    "one": heard({A: 1.0}, {A: 0.6, B: 0.4}),
    "two": heard({A: 1.0}, {BLANK: 1.0}, {A: 0.55, B: 0.45}, {BLANK: 0.6, A: 0.4}),
    "three": heard({B: 1.0}, {BLANK: 1.0}),
}
TEXTS = ("ab", "ab", "b")


def tune(task: Task, folder: Path, texts: Any = TEXTS, **params: Any) -> job.Outputs:
    """Tune the model that is set by hand."""
    features, corpus = save_data(folder, SOUNDS, texts)
    inputs = job.Inputs(
        model=save_model(folder / "model"),
        features=features,
        units=task.units,
        corpus=corpus,
        lm=save_lm(folder / "lm", {A: B, 0: A}),
    )
    outputs = job.Outputs(config=folder / "config.json", table=folder / "table.txt")
    given = {"network": search_net(fused=True), "values": (0.0, 0.5, 1.0, 100.0), **params}
    job.run(inputs, outputs, job.Params(**given), logging.getLogger("job"))
    return outputs


def test_the_value_with_the_fewest_errors_is_kept_the_first_of_equals(
    task: Task, tmp_path: Path
) -> None:
    outputs = tune(task, tmp_path)
    assert json.loads(outputs.config.read_text()) == {"lm_scale": 0.5}
    assert outputs.table.read_text().splitlines() == [
        "  lm_scale  WER %",
        "         0  66.67",
        "       0.5   0.00",
        "         1   0.00",
        "       100  100.00",
    ]


def test_a_value_that_the_network_does_not_ask_for(task: Task, tmp_path: Path) -> None:
    message = "found name 'lm_scael', for which the network does not ask; did you mean 'lm_scale'"
    with pytest.raises(ValueError, match=message):
        tune(task, tmp_path, name="lm_scael")


def test_references_without_words(task: Task, tmp_path: Path) -> None:
    with pytest.raises(JobError, match=r"heard\.jsonl: found no words in the references"):
        tune(task, tmp_path, texts=("", " ", ""))


def test_no_values_are_told_before_anything_runs() -> None:
    with pytest.raises(JobError, match=r"^recipe x, stage tune: found no values, needed at least"):
        from_json(job.Params, {"network": {}, "values": []}, "recipe x, stage tune")


def test_the_error_rate_is_that_of_all_words_together() -> None:
    references = {"u": "a b c", "v": "d"}
    assert word_error_rate(references, {"u": "a c", "v": "d e"}) == 50.0
    assert word_error_rate(references, {"v": "d"}) == 0.0
