"""An affine map of frames, with its gradient, that leaves out padding."""

from cupy_kernels.linear.op import linear, linear_backward

__all__ = ["linear", "linear_backward"]
