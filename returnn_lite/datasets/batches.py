"""Order of sequences, and batches of them."""

from __future__ import annotations

import queue
import threading
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Literal

import numpy as np

from returnn_lite.datasets.dataset import Dataset

Array = np.ndarray[Any, np.dtype[Any]]
Order = Literal["default", "sorted", "random", "laplace"]


def sequence_order(lengths: Array, order: Order, *, seed: int, epoch: int) -> list[int]:
    """Return the sequences in an order.

    "sorted": short ones first. "laplace": shuffled, then sorted within bins of which every second
    is reversed, so that neighbours are of similar length. lengths: int [sequences].
    """
    indices = np.arange(len(lengths))
    if order == "default":
        return [int(i) for i in indices]
    if order == "sorted":
        return [int(i) for i in np.argsort(lengths, kind="stable")]
    indices = np.random.default_rng([seed, epoch]).permutation(indices)
    if order == "laplace":
        bins = np.array_split(indices, max(1, len(indices) // 400))
        parts = [b[np.argsort(lengths[b], kind="stable")] for b in bins]
        indices = np.concatenate([p[::-1] if i % 2 else p for i, p in enumerate(parts)])
    return [int(i) for i in indices]


def group(
    order: Sequence[int], lengths: Array, *, max_frames: int, max_sequences: int
) -> list[list[int]]:
    """Return batches of sequences in the given order.

    max_frames: of a batch, padding included; a longer single sequence is a batch of its own.
    """
    batches: list[list[int]] = []
    current: list[int] = []
    longest = 0
    for index in order:
        longest = max(longest, int(lengths[index]))
        full = longest * (len(current) + 1) > max_frames or len(current) == max_sequences
        if current and full:
            batches.append(current)
            current, longest = [], int(lengths[index])
        current.append(index)
    return [*batches, current] if current else batches


def shuffled(batches: list[list[int]], *, seed: int, epoch: int) -> list[list[int]]:
    """Return the batches in a random order."""
    order = np.random.default_rng([seed, epoch, 1]).permutation(len(batches))
    return [batches[i] for i in order]


def in_streams(sequences: int, streams: int) -> list[list[int]]:
    """Return batches of so many sequences: the first ones of equal parts of the data, and so on.

    Each row goes through one part in the order of the data. Up to streams - 1 sequences at the end
    are left out.
    """
    count = sequences // streams
    return [[row * count + i for row in range(streams)] for i in range(count)]


def padded(dataset: Dataset, batch: Sequence[int]) -> dict[str, tuple[Array, Array]]:
    """Return {stream: (values, lengths)}: values [batch, time, ...], zero behind the end."""
    sequences = [dataset.read(i) for i in batch]
    return {key: _pad([s[key] for s in sequences]) for key in sequences[0]}


def _pad(arrays: Sequence[Array]) -> tuple[Array, Array]:
    lengths = np.array([len(a) for a in arrays], dtype=np.int32)
    out = np.zeros((len(arrays), int(lengths.max()), *arrays[0].shape[1:]), arrays[0].dtype)
    for row, array in zip(out, arrays, strict=True):
        row[: len(array)] = array
    return out, lengths


def prefetched(
    dataset: Dataset, batches: Sequence[Sequence[int]], *, ahead: int = 4
) -> Iterator[Mapping[str, tuple[Array, Array]]]:
    """Yield the padded batches, read by a thread while the one before is used."""
    ready: queue.Queue[Any] = queue.Queue(maxsize=ahead)
    stopped = threading.Event()

    def put(item: Any) -> None:
        while not stopped.is_set():
            try:
                return ready.put(item, timeout=0.1)
            except queue.Full:
                continue

    def read() -> None:
        try:
            for batch in batches:
                if stopped.is_set():
                    return
                put(padded(dataset, batch))
            put(None)
        except Exception as error:  # handed to who waits for the batch
            put(error)

    threading.Thread(target=read, daemon=True).start()
    try:
        while (item := ready.get()) is not None:
            if isinstance(item, Exception):
                raise item
            yield item
    finally:
        stopped.set()
