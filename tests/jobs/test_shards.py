"""Shards: who does what, and what is put together has the bytes of what is made at once."""

from __future__ import annotations

import json
import logging
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
from handmade import A, B, heard, save_data, save_model, search_net
from hypothesis import given
from hypothesis import strategies as st
from sharded import done_twice
from synthetic import Task, save_by_hand, write_sequences

from jobs.align import ctc
from jobs.align import search as align
from jobs.corpus.manifest import Utterance, write_manifest
from jobs.features import extract
from jobs.job import JobError
from jobs.search import beam, greedy
from jobs.shards import WHOLE, Shard, merge_lines, merge_sequences
from jobs.train.model import save_model as save_network
from recipes.networks.transducer import forced_alignment, transducer
from returnn_lite.hdf import HdfReader
from returnn_lite.network import Network

SEQUENCES = 140  # three batches


@given(
    weights=st.lists(st.floats(0, 100), max_size=30),
    count=st.integers(1, 9),
)
def test_each_item_is_in_one_shard_and_the_order_stays(weights: list[float], count: int) -> None:
    items = list(range(len(weights)))
    shards = [Shard(index=i, count=count).of(items, weights) for i in range(count)]
    assert [item for shard in shards for item in shard] == items
    assert WHOLE.of(items, weights) == items


def test_shards_weigh_about_the_same() -> None:
    weights = [float(i) for i in range(100)]
    shards = [Shard(index=i, count=4).of(weights, weights) for i in range(4)]
    assert all(abs(sum(shard) - sum(weights) / 4) < 100 for shard in shards)
    assert len(shards[0]) > 2 * len(shards[3])
    none = [Shard(index=i, count=2).of([1, 2, 3, 4], [0.0] * 4) for i in range(2)]
    assert none == [[1, 2], [3, 4]]


def corpus(folder: Path, bad: set[int], number: int = 7) -> Path:
    """Write recordings, of which some are silent, and their manifest."""
    utterances = []
    for i in range(number):
        noise = np.random.default_rng(i).normal(size=4000 + 700 * i) * (i not in bad)
        soundfile.write(folder / f"{i}.wav", 0.1 * noise, 16000, subtype="PCM_16")
        seconds = len(noise) / 16000
        utterances.append(
            Utterance(
                utt=f"u{i}", audio=folder / f"{i}.wav", text="a", speaker="s", duration=seconds
            )
        )
    write_manifest(folder / "corpus.jsonl", utterances)
    return folder / "corpus.jsonl"


@pytest.mark.parametrize("count", [3, 9])
def test_features_have_the_same_bytes(tmp_path: Path, count: int) -> None:
    inputs = extract.Inputs(corpus=corpus(tmp_path, {0, 1, 5}))
    params = extract.Params(on_bad="skip", dither=1.0)
    whole, merged = done_twice(extract, inputs, params, tmp_path, count)
    assert merged.features.read_bytes() == whole.features.read_bytes()
    assert merged.skipped.read_bytes() == whole.skipped.read_bytes()
    assert len(whole.skipped.read_text().splitlines()) == 3


def test_all_bad_is_an_error_only_where_all_shards_say_so(tmp_path: Path) -> None:
    inputs = extract.Inputs(corpus=corpus(tmp_path, set(range(7))))
    part = extract.Outputs(features=tmp_path / "f.hdf", skipped=tmp_path / "s.jsonl")
    shard = Shard(index=0, count=2)
    log = logging.getLogger("job")
    extract.run(inputs, part, extract.Params(on_bad="skip"), log, shard)
    with pytest.raises(JobError, match="found all 4 bad utterances"):
        extract.merge(inputs, [part], part, extract.Params(on_bad="skip"), log)
    with pytest.raises(JobError, match=r"found 4 bad utterances:\n  u0: audio .* found silence"):
        extract.run(inputs, part, extract.Params(), log, shard)


def sounds(rng: np.random.Generator, dim: int) -> dict[str, Any]:
    """Return short sequences of different lengths."""
    return {f"u{i}": rng.normal(size=(rng.integers(4, 9), dim)) for i in range(SEQUENCES)}


def test_ctc_alignments_have_the_same_bytes(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    net = {"output": {"class": "linear", "activation": "softmax", "from": "data", "n_out": 4}}
    labels = {f"u{i}": rng.integers(0, 3, size=9 if i % 50 == 7 else 2) for i in range(SEQUENCES)}
    inputs = ctc.Inputs(
        model=save_by_hand(tmp_path / "model", net, {"data": {"dim": 4}}, {"output/W": np.eye(4)}),
        features=write_sequences(tmp_path / "features.hdf", sounds(rng, 4), 4),
        targets=write_sequences(tmp_path / "labels.hdf", labels, 3),
    )
    params = ctc.Params(repeat_labels=False, on_no_path="skip")
    whole, merged = done_twice(ctc, inputs, params, tmp_path, 3)
    assert merged.alignment.read_bytes() == whole.alignment.read_bytes()
    assert merged.skipped.read_bytes() == whole.skipped.read_bytes()
    with HdfReader(tmp_path / "shard1" / "alignment.hdf") as part:
        assert 0 < len(part) < SEQUENCES
    assert len(whole.skipped.read_text().splitlines()) == 3


def test_searched_alignments_have_the_same_bytes(tmp_path: Path) -> None:
    rng = np.random.default_rng(1)
    copy = {"encoder": {"class": "copy", "from": "data"}}
    net = transducer(copy, labels=3, embed=3, slow=4, fast=4, readout=4, dropout=0.0, beam_size=4)
    streams = {"data": {"dim": 5}, "alignment": {"dim": 4, "sparse": True}}
    network = Network(net, extern_data=streams)
    save_network(tmp_path / "model", network, streams, None)
    labels = {f"u{i}": rng.integers(0, 3, size=2) for i in range(SEQUENCES)}
    inputs = align.Inputs(
        model=tmp_path / "model",
        features=write_sequences(tmp_path / "features.hdf", sounds(rng, 5), 5),
        targets=write_sequences(tmp_path / "labels.hdf", labels, 3),
    )
    params = align.Params(network=forced_alignment(net, labels=3))
    whole, merged = done_twice(align, inputs, params, tmp_path, 2)
    assert merged.alignment.read_bytes() == whole.alignment.read_bytes()
    assert merged.skipped.read_bytes() == whole.skipped.read_bytes() == b""


@pytest.fixture
def searched(task: Task, tmp_path: Path) -> dict[str, Path]:
    """What both searches read: a model set by hand, and utterances of several batches."""
    rng = np.random.default_rng(2)
    frames = [{A: x, B: 1 - x} for x in rng.uniform(0.1, 0.9, size=9)]
    heards = {f"u{i}": heard(*frames[: 2 + i % 7]) for i in range(SEQUENCES)}
    features, manifest = save_data(tmp_path, heards, ["ab"] * SEQUENCES)
    model = save_model(tmp_path / "model")
    return {"model": model, "features": features, "units": task.units, "corpus": manifest}


def check_searches(whole: Any, merged: Any) -> None:
    assert merged.hypotheses.read_bytes() == whole.hypotheses.read_bytes()
    assert len(whole.hypotheses.read_text().splitlines()) == SEQUENCES
    once, together = (json.loads(x.search.read_text()) for x in (whole, merged))
    assert together["audio_seconds"] == once["audio_seconds"] > 0
    assert together["real_time_factor"] == together["seconds"] / together["audio_seconds"] > 0


def test_a_beam_search_has_the_same_hypotheses(searched: dict[str, Path], tmp_path: Path) -> None:
    params = beam.Params(network=search_net())
    whole, merged = done_twice(beam, beam.Inputs(**searched), params, tmp_path, 4)
    check_searches(whole, merged)
    parts = [json.loads((tmp_path / f"shard{i}" / "search.json").read_text()) for i in range(4)]
    total = json.loads(merged.search.read_text())
    assert total["seconds"] == sum(part["seconds"] for part in parts)
    assert total["audio_seconds"] == sum(part["audio_seconds"] for part in parts)


def test_a_greedy_search_has_the_same_hypotheses(
    searched: dict[str, Path], task: Task, tmp_path: Path
) -> None:
    net = {"output": {"class": "linear", "activation": "softmax", "from": "data", "n_out": 6}}
    weights = {"output/W": np.eye(6)}
    model = save_by_hand(tmp_path / "ctc", net, {"data": {"dim": 6}}, weights)
    inputs = greedy.Inputs(**{**searched, "model": model})
    check_searches(*done_twice(greedy, inputs, greedy.Params(), tmp_path, 2))


def test_shards_that_do_not_fit_together(tmp_path: Path) -> None:
    one = write_sequences(tmp_path / "one.hdf", {"a": np.zeros((2, 3))}, 3)
    two = write_sequences(tmp_path / "two.hdf", {"b": np.zeros((2, 4))}, 4)
    with pytest.raises(JobError, match=r"one.hdf, .*two.hdf: found 2 kinds of sequences, needed"):
        merge_sequences([one, two], tmp_path / "all.hdf")
    assert not (tmp_path / "all.hdf").exists()
    lines = tmp_path / "lines.jsonl"
    lines.write_text('{"utt": "a"}\n')
    with pytest.raises(JobError, match=r"lines.jsonl and 0 others: found no 'b'"):
        merge_lines([lines], tmp_path / "all.jsonl", ["a", "b"])
