"""Overlapping chunks of sequences, and their mean put back together, with gradients."""

from cupy_kernels.chunk.op import chunk, chunk_backward, unchunk, unchunk_backward

__all__ = ["chunk", "chunk_backward", "unchunk", "unchunk_backward"]
