"""Which jobs check their network where a recipe is read."""

from __future__ import annotations

from typing import Any

import pytest

from jobs.job import JobError, job_names, load_job
from jobs.typed_json import from_json

TYPO = {"output": {"class": "softmax", "dropuot": 0.1, "n_out": 3}}
OTHERS: dict[str, dict[str, Any]] = {
    "train.network": {"options": {"epochs": 1}},
    "train.check": {},
    "search.tune": {"values": [0.1], "layer": "output"},
    "search.beam": {"layer": "output"},
    "align.search": {},
}


def test_every_job_with_a_network_is_here() -> None:
    jobs = [n for n in job_names() if "network" in load_job(n).Params.__dataclass_fields__]
    assert sorted(jobs) == sorted(OTHERS)


@pytest.mark.parametrize("name", OTHERS)
def test_a_wrong_key_is_told_with_the_nearest_one(name: str) -> None:
    params = {"network": TYPO, **OTHERS[name]}
    with pytest.raises(JobError) as caught:
        from_json(load_job(name).Params, params, "stage x")
    assert str(caught.value) == (
        "stage x: network: output (softmax): unknown option 'dropuot'; did you mean 'dropout'?"
    )


def test_a_search_is_checked_as_a_search() -> None:
    """What a training does not need, such as `end` of a loop without source, is looked at."""
    scores = {"class": "softmax", "from": "prev:output", "n_out": 3}
    choice = {"class": "choice", "from": "scores", "target": "classes", "beam_size": 2}
    unit = {"scores": scores, "output": choice}
    net = {"output": {"class": "rec", "from": [], "unit": unit}}
    from_json(load_job("train.network").Params, {"network": net, **OTHERS["train.network"]}, "x")
    with pytest.raises(JobError, match=r"no layer 'end'"):
        from_json(load_job("search.beam").Params, {"network": net, "layer": "output"}, "x")
