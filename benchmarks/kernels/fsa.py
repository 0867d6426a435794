"""CTC as a sum over an automaton, made anew for each batch, beside losses that know only CTC."""

from __future__ import annotations

from dataclasses import dataclass

from benchmarks.kernels.contestants import Run
from benchmarks.kernels.ctc import Align, Ctc


@dataclass(frozen=True)
class Fsa(Ctc):
    """Loss and gradient from logits."""

    bar: float = 2.0

    def ours(self, threads: int) -> Run:
        from cupy_kernels.fsa import ctc_automaton, fsa_loss

        logits, lengths, labels, counts = self.arrays()

        def run() -> None:
            fsa_loss(logits, lengths, ctc_automaton(labels, counts, blank=0), threads=threads)

        return run

    def ours_for_ctc(self, threads: int) -> Run:
        return Ctc.ours(self, threads)


@dataclass(frozen=True)
class FsaBestPath(Align):
    """The best path through the same logits."""

    def ours(self, threads: int) -> Run:
        from cupy_kernels.fsa import ctc_automaton, fsa_best_path

        logits, lengths, labels, counts = self.arrays()

        def run() -> None:
            fsa_best_path(logits, lengths, ctc_automaton(labels, counts, blank=0), threads=threads)

        return run

    def ours_for_ctc(self, threads: int) -> Run:
        return Align.ours(self, threads)


TASKS = {"fsa": Fsa(), "fsa_best_path": FsaBestPath()}
