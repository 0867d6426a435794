"""Convolution with filters of 3 x 3 pixels, with its gradients."""

from cupy_kernels.conv.op import conv3x3, conv3x3_filter_gradient, conv3x3_input_gradient

__all__ = ["conv3x3", "conv3x3_filter_gradient", "conv3x3_input_gradient"]
