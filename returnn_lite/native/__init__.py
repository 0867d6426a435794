"""The hot loops for TensorFlow with their gradients: kernels, or its own operations alone."""

from returnn_lite.native.bridge import tensorflow_only
from returnn_lite.native.ctc import ctc_align, ctc_errors, ctc_loss
from returnn_lite.native.lstm import lstm, lstm_layer, lstm_step

__all__ = [
    "ctc_align",
    "ctc_errors",
    "ctc_loss",
    "lstm",
    "lstm_layer",
    "lstm_step",
    "tensorflow_only",
]
