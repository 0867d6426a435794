"""Edit distances of a batch of pairs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from benchmarks.kernels.contestants import Run, cupy_run, on_gpu
from benchmarks.kernels.contestants import tensorflow as load_tensorflow


@dataclass(frozen=True)
class Edit:
    """Random pairs of equal lengths; what a contestant's data look like is set up before."""

    batch: int = 1000
    length: int = 100
    labels: int = 1000
    bar: float = 1.0

    def arrays(self) -> tuple[Any, Any, Any, Any]:
        rng = np.random.default_rng(0)
        shape = self.batch, self.length
        a, b = (rng.integers(0, self.labels, shape, np.int32) for _ in range(2))
        lengths = np.full(self.batch, self.length, np.int32)
        return a, lengths, b, lengths

    def ours(self, threads: int) -> Run:
        from cupy_kernels.edit import edit_distance

        arrays = self.arrays()
        return lambda: edit_distance(*arrays, threads=threads)

    def ours_one_thread(self, threads: int) -> Run:
        return self.ours(1)

    def gpu_ours(self, threads: int) -> Run:
        from cupy_kernels.edit import edit_distance

        arrays = on_gpu(*self.arrays())
        return cupy_run(lambda: edit_distance(*arrays))

    def rapidfuzz_lists(self, threads: int) -> Run:
        a, _, b, _ = self.arrays()
        return self._rapidfuzz(a.tolist(), b.tolist(), threads)

    def rapidfuzz_text(self, threads: int) -> Run:
        """A character for each label: what it compares fastest."""
        texts = [["".join(map(chr, x)) for x in labels] for labels in self.arrays()[::2]]
        return self._rapidfuzz(*texts, threads)

    def rapidfuzz_text_one_thread(self, threads: int) -> Run:
        return self.rapidfuzz_text(1)

    def _rapidfuzz(self, a: list[Any], b: list[Any], threads: int) -> Run:
        from rapidfuzz.distance import Levenshtein
        from rapidfuzz.process import cpdist

        options = {"scorer": Levenshtein.distance, "dtype": np.int32, "workers": threads}
        return lambda: cpdist(a, b, **options)

    def tensorflow(self, threads: int) -> Run:
        tf = load_tensorflow(threads)
        a, _, b, _ = self.arrays()
        sparse = [tf.sparse.from_dense(x + 1) for x in (a, b)]
        return lambda: tf.edit_distance(*sparse, normalize=False).numpy()


TASKS = {
    "edit": Edit(),
    "edit, 26 labels": Edit(labels=26),
    "edit, short": Edit(length=10, bar=0.5),  # half of it is the call itself: only no cliff
    "edit, long": Edit(batch=100, length=1000),
}
