"""CTC loss, and the same sum for the RNA topology."""

from cupy_kernels.ctc.op import ctc_loss

__all__ = ["ctc_loss"]
