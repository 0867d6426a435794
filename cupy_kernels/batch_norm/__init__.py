"""Batch normalisation, and a factor and an offset for each channel, with their gradients."""

from cupy_kernels.batch_norm.op import (
    batch_norm,
    batch_norm_backward,
    scale_shift,
    scale_shift_backward,
)

__all__ = ["batch_norm", "batch_norm_backward", "scale_shift", "scale_shift_backward"]
