"""LSTM over a whole sequence, with its gradient."""

from cupy_kernels.lstm.arguments import LstmSaved
from cupy_kernels.lstm.layer import lstm_layer_backward, lstm_layer_forward
from cupy_kernels.lstm.low_memory import (
    LstmStates,
    lstm_low_memory_backward,
    lstm_low_memory_forward,
)
from cupy_kernels.lstm.op import lstm_backward, lstm_forward
from cupy_kernels.lstm.precision import Precision
from cupy_kernels.lstm.step import lstm_step

__all__ = [
    "LstmSaved",
    "LstmStates",
    "Precision",
    "lstm_backward",
    "lstm_forward",
    "lstm_layer_backward",
    "lstm_layer_forward",
    "lstm_low_memory_backward",
    "lstm_low_memory_forward",
    "lstm_step",
]
