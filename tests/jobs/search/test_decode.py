"""Batches of a search, and hypotheses that cannot be used."""

from __future__ import annotations

import logging
from pathlib import Path

import numpy as np
import pytest
from handmade import A, B, heard, save_data, save_model
from synthetic import LABELS, write_sequences

from jobs.job import JobError
from jobs.search.decode import beams, features_dataset, run_batches, timed
from jobs.search.networks import search_network
from jobs.train.model import Model
from returnn_lite.network import Network

LOG = logging.getLogger("job")


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Model:
    return Model.load(save_model(tmp_path_factory.mktemp("decode") / "model"))


@pytest.fixture(scope="module")
def network(model: Model) -> Network:
    return search_network(model, None, "labels", {}, lm=None)


def test_results_do_not_depend_on_the_batches(
    model: Model, network: Network, tmp_path: Path
) -> None:
    sounds = {
        f"u{i}": heard(*[{A: 0.6, B: 0.4} if (i >> k) % 2 else {B: 0.8} for k in range(2 + i % 3)])
        for i in range(12)
    }
    features, _ = save_data(tmp_path, sounds, [""] * 12)
    data = features_dataset(features, model)
    together = timed(network, data, "labels", beams, LOG)[0]
    assert list(together) == list(sounds)
    one_by_one = {}
    for tags, batch, outputs in run_batches(network, data, "labels", LOG, batch_sequences=1):
        assert len(tags) == len(batch["data"][1]) == 1
        one_by_one.update(beams(tags, outputs, "labels"))
    for utt, found in together.items():
        alone = one_by_one[utt]
        assert [h.labels for h in found] == [h.labels for h in alone]
        np.testing.assert_allclose([h.score for h in found], [h.score for h in alone], rtol=1e-5)


def test_batches_are_of_similar_length_and_of_limited_size(
    model: Model, network: Network, tmp_path: Path
) -> None:
    sounds = {f"u{n}": np.zeros((n, LABELS + 1)) for n in (7, 2, 6, 1, 3)}
    data = features_dataset(save_data(tmp_path, sounds, [""] * 5)[0], model)
    batches = [tags for tags, _, _ in run_batches(network, data, "labels", LOG, batch_frames=12)]
    assert batches == [["u1", "u2", "u3"], ["u6"], ["u7"]]


def test_a_model_that_gives_no_number(model: Model, network: Network, tmp_path: Path) -> None:
    path = write_sequences(tmp_path / "a.hdf", {"u": np.full((3, LABELS + 1), np.nan)}, LABELS + 1)
    with pytest.raises(JobError, match="u: found no hypothesis with a finite score, needed one"):
        timed(network, features_dataset(path, model), "labels", beams, LOG)


def test_a_search_may_be_of_one_frame(model: Model, network: Network, tmp_path: Path) -> None:
    features, _ = save_data(tmp_path, {"u": heard({A: 0.6, B: 0.4})}, ["a"])
    found, _ = timed(network, features_dataset(features, model), "labels", beams, LOG)
    assert [h.labels for h in found["u"][:2]] == [[A], [B]]
