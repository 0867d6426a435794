"""The hot loops for TensorFlow with their gradients: kernels, or its own operations alone."""

from returnn_lite.native.bridge import tensorflow_only
from returnn_lite.native.ctc import ctc_align, ctc_errors, ctc_loss
from returnn_lite.native.edit import (
    edit_distance,
    first_edit_distance_row,
    next_edit_distance_row,
    optimal_completion,
)
from returnn_lite.native.lstm import lstm, lstm_layer, lstm_step

__all__ = [
    "ctc_align",
    "ctc_errors",
    "ctc_loss",
    "edit_distance",
    "first_edit_distance_row",
    "lstm",
    "lstm_layer",
    "lstm_step",
    "next_edit_distance_row",
    "optimal_completion",
    "tensorflow_only",
]
