"""Multi-head self-attention over the frames of sequences, with its gradient."""

from cupy_kernels.self_attention.op import self_attention, self_attention_backward

__all__ = ["self_attention", "self_attention_backward"]
