"""Transducer full-sum and best path in the label topologies RNN-T, RNA and CTC."""

from cupy_kernels.transducer.align import transducer_align, transducer_compact_align
from cupy_kernels.transducer.arguments import TransducerScores
from cupy_kernels.transducer.dropout import Dropout
from cupy_kernels.transducer.fused import (
    transducer_fused_align,
    transducer_fused_backward,
    transducer_fused_forward,
    transducer_fused_loss,
)
from cupy_kernels.transducer.joint import JointGradients, TransducerSaved
from cupy_kernels.transducer.op import transducer_compact_loss, transducer_loss

__all__ = [
    "Dropout",
    "JointGradients",
    "TransducerSaved",
    "TransducerScores",
    "transducer_align",
    "transducer_compact_align",
    "transducer_compact_loss",
    "transducer_fused_align",
    "transducer_fused_backward",
    "transducer_fused_forward",
    "transducer_fused_loss",
    "transducer_loss",
]
