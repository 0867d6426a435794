"""Layer normalisation, with its gradient."""

from cupy_kernels.layer_norm.op import layer_norm, layer_norm_backward

__all__ = ["layer_norm", "layer_norm_backward"]
