"""The hot loops for TensorFlow with their gradients: kernels, or its own operations alone."""

from returnn_lite.native.activation import gelu, glu, silu
from returnn_lite.native.attention import Heads, attends, self_attention
from returnn_lite.native.automata import ctc_automaton, hmm_automaton, rna_automaton
from returnn_lite.native.batch_normalisation import batch_norm, scale_shift
from returnn_lite.native.bridge import tensorflow_only
from returnn_lite.native.chunk import chunk, unchunk
from returnn_lite.native.conv import Moves, conv2d, convolves
from returnn_lite.native.ctc import ctc_align, ctc_best_path, ctc_errors, ctc_loss
from returnn_lite.native.depthwise import depthwise_convolution
from returnn_lite.native.edit import (
    alignment_counts,
    edit_distance,
    first_edit_distance_row,
    next_edit_distance_row,
    optimal_completion,
)
from returnn_lite.native.energies import additive_energies
from returnn_lite.native.fsa import fsa_best_path, fsa_full_sum
from returnn_lite.native.linear import affine
from returnn_lite.native.lstm import Precision, lstm, lstm_layer, lstm_step
from returnn_lite.native.lstm2d import lstm2d, lstm2d_row
from returnn_lite.native.lstm_tf import rounded
from returnn_lite.native.normalise import layer_norm
from returnn_lite.native.pooling import Pooling, pool, pools
from returnn_lite.native.transducer import (
    JointDropout,
    joint_activation,
    transducer_align,
    transducer_fused_align,
    transducer_fused_loss,
    transducer_loss,
)

__all__ = [
    "Heads",
    "JointDropout",
    "Moves",
    "Pooling",
    "Precision",
    "additive_energies",
    "affine",
    "alignment_counts",
    "attends",
    "batch_norm",
    "chunk",
    "conv2d",
    "convolves",
    "ctc_align",
    "ctc_automaton",
    "ctc_best_path",
    "ctc_errors",
    "ctc_loss",
    "depthwise_convolution",
    "edit_distance",
    "first_edit_distance_row",
    "fsa_best_path",
    "fsa_full_sum",
    "gelu",
    "glu",
    "hmm_automaton",
    "joint_activation",
    "layer_norm",
    "lstm",
    "lstm2d",
    "lstm2d_row",
    "lstm_layer",
    "lstm_step",
    "next_edit_distance_row",
    "optimal_completion",
    "pool",
    "pools",
    "rna_automaton",
    "rounded",
    "scale_shift",
    "self_attention",
    "silu",
    "tensorflow_only",
    "transducer_align",
    "transducer_fused_align",
    "transducer_fused_loss",
    "transducer_loss",
    "unchunk",
]
