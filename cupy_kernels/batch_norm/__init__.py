"""A factor and an offset for each channel, with their gradients: batch normalisation."""

from cupy_kernels.batch_norm.op import scale_shift, scale_shift_backward

__all__ = ["scale_shift", "scale_shift_backward"]
