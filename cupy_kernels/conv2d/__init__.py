"""Convolution of images with filters of any size that move by any steps, with its gradients."""

from cupy_kernels.conv2d.op import conv2d, conv2d_filter_gradient, conv2d_input_gradient
from cupy_kernels.conv2d.windows import Windows

__all__ = ["Windows", "conv2d", "conv2d_filter_gradient", "conv2d_input_gradient"]
