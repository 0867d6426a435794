"""Activations of several passes in one, with their gradients."""

from cupy_kernels.activation.op import activate, activate_backward, glu, glu_backward

__all__ = ["activate", "activate_backward", "glu", "glu_backward"]
