"""LSTM over a whole sequence, with its gradient."""

from cupy_kernels.lstm.op import LstmSaved, lstm_backward, lstm_forward

__all__ = ["LstmSaved", "lstm_backward", "lstm_forward"]
