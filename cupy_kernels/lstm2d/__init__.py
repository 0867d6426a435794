"""Two-dimensional LSTM over a grid, with its gradient."""

from cupy_kernels.lstm2d.op import Lstm2dSaved, lstm2d_backward, lstm2d_forward

__all__ = ["Lstm2dSaved", "lstm2d_backward", "lstm2d_forward"]
