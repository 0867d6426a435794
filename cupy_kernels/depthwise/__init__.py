"""Convolution over time with a filter for each channel, with its gradient."""

from cupy_kernels.depthwise.op import depthwise, depthwise_gradient

__all__ = ["depthwise", "depthwise_gradient"]
