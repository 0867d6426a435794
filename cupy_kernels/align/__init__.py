"""The best path (Viterbi) over the CTC and RNA topologies."""

from cupy_kernels.align.op import ctc_align

__all__ = ["ctc_align"]
