"""LSTM over a whole sequence, with its gradient."""

from cupy_kernels.lstm.arguments import LstmSaved
from cupy_kernels.lstm.layer import lstm_layer_backward, lstm_layer_forward
from cupy_kernels.lstm.op import lstm_backward, lstm_forward

__all__ = [
    "LstmSaved",
    "lstm_backward",
    "lstm_forward",
    "lstm_layer_backward",
    "lstm_layer_forward",
]
