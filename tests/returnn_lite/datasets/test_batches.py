"""Order of sequences, batches and padding, and what reads them ahead."""

from __future__ import annotations

import threading
import time
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from returnn_lite.datasets.batches import group, padded, prefetched, sequence_order, shuffled

lengths_lists = st.lists(st.integers(0, 30), max_size=40)


class Sequences:
    """Sequence i has i frames of value i, and one label less than frames."""

    def __init__(self, count: int, *, broken: int | None = None):
        self.tags = [str(i) for i in range(count)]
        self.extern_data = {"data": {"dim": 2}, "classes": {"dim": 9, "sparse": True}}
        self.broken = broken
        self.reads: list[int] = []

    def lengths(self, stream: str) -> Any:
        return np.arange(len(self.tags))

    def read(self, index: int) -> dict[str, Any]:
        self.reads.append(index)
        if index == self.broken:
            raise ValueError("a broken sequence")
        frames = np.full((index, 2), index, np.float32)
        return {"data": frames, "classes": np.full(max(index - 1, 0), index, np.int32)}


@given(lengths=lengths_lists, epoch=st.integers(0, 3))
def test_every_order_has_every_sequence_once(lengths: list[int], epoch: int) -> None:
    x = np.array(lengths, np.int64)
    for order in ("default", "sorted", "random", "laplace"):
        found = sequence_order(x, order, seed=1, epoch=epoch)  # type: ignore[arg-type]
        assert sorted(found) == list(range(len(lengths)))
        again = sequence_order(x, order, seed=1, epoch=epoch)  # type: ignore[arg-type]
        assert found == again
    assert sequence_order(x, "default", seed=1, epoch=epoch) == list(range(len(lengths)))
    ordered = x[sequence_order(x, "sorted", seed=1, epoch=epoch)]
    assert np.all(np.diff(ordered) >= 0)


def test_seed_and_epoch_make_another_order() -> None:
    x = np.arange(100)
    orders = [
        sequence_order(x, order, seed=seed, epoch=epoch)
        for order in ("random",)
        for seed, epoch in ((1, 0), (1, 1), (2, 0))
    ]
    assert len({tuple(o) for o in orders}) == 3
    batches = [[i] for i in range(50)]
    mixed = [shuffled(batches, seed=s, epoch=e) for s, e in ((1, 0), (1, 1), (2, 0), (1, 0))]
    assert [sorted(m) for m in mixed] == [batches] * 4
    assert mixed[0] == mixed[3] and mixed[0] != mixed[1] != mixed[2] != mixed[0]


def test_laplace_sorts_bins_up_and_down() -> None:
    x = np.random.default_rng(0).integers(0, 500, 1000)
    found = x[sequence_order(x, "laplace", seed=1, epoch=0)]
    up, down = found[:500], found[500:]
    assert np.all(np.diff(up) >= 0) and np.all(np.diff(down) <= 0)
    assert 0.4 < np.mean(up < 250) < 0.6


@given(lengths=lengths_lists, frames=st.integers(1, 60), count=st.integers(1, 5))
def test_batches_keep_order_and_limits(lengths: list[int], frames: int, count: int) -> None:
    order = list(range(len(lengths)))[::-1]
    batches = group(order, np.array(lengths), max_frames=frames, max_sequences=count)
    assert [i for b in batches for i in b] == order
    for i, batch in enumerate(batches):
        size = max(lengths[j] for j in batch) * len(batch)
        assert 1 <= len(batch) <= count
        assert len(batch) == 1 or size <= frames
        if i + 1 < len(batches):
            wider = [*batch, batches[i + 1][0]]
            more = max(lengths[j] for j in wider) * len(wider)
            assert more > frames or len(batch) == count


def test_padding_is_zero_and_streams_have_their_own_lengths() -> None:
    found = padded(Sequences(5), [3, 1, 4])
    data, lengths = found["data"]
    assert (data.shape, data.dtype, lengths.tolist()) == ((3, 4, 2), np.float32, [3, 1, 4])
    assert lengths.dtype == np.int32
    assert data[..., 0].tolist() == [[3, 3, 3, 0], [1, 0, 0, 0], [4, 4, 4, 4]]
    labels, counts = found["classes"]
    assert (labels.tolist(), counts.tolist()) == ([[3, 3, 0], [0, 0, 0], [4, 4, 4]], [2, 0, 3])
    assert labels.dtype == np.int32


def test_prefetched_are_the_batches_in_order() -> None:
    data = Sequences(7)
    batches = [[1, 2], [3], [4, 5, 6], [0]]
    found = [x["data"][1].tolist() for x in prefetched(data, batches, ahead=1)]
    assert found == batches
    assert list(prefetched(data, [])) == []


def test_an_error_while_reading_reaches_who_waits_after_what_was_whole() -> None:
    seen = []
    with pytest.raises(ValueError, match="a broken sequence"):
        for batch in prefetched(Sequences(6, broken=4), [[1], [2], [3, 4], [5]]):
            seen.append(batch["data"][1].tolist())
    assert seen == [[1], [2]]


def test_who_stops_early_stops_the_reading() -> None:
    before = threading.active_count()
    data = Sequences(400)
    batches = [[i] for i in range(400)]
    for _ in prefetched(data, batches, ahead=2):
        break
    deadline = time.monotonic() + 5
    while threading.active_count() > before and time.monotonic() < deadline:
        time.sleep(0.02)
    assert threading.active_count() == before
    assert len(data.reads) < 10
