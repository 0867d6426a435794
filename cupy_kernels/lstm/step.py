"""One step of an LSTM, as a search does it."""

from __future__ import annotations

from typing import Any

import numpy as np

from cupy_kernels import check
from cupy_kernels.backend import host
from cupy_kernels.lstm import reference, stepwise
from cupy_kernels.lstm.arguments import check_gates, module_of
from cupy_kernels.lstm.source import SOURCE


def lstm_step(z: Any, w_re: Any, y: Any, c: Any) -> tuple[Any, Any]:
    """Output and cell after one more frame: `lstm_forward` of a single one, without a gradient.

    Args:
        z: float32 [batch, 4 units], input times its weights, plus bias.
        w_re: float32 [units, 4 units].
        y, c: float32 [batch, units], output and cell before.

    Returns:
        y, c: float32 [batch, units], output and cell after.

    Raises:
        ArgumentError: an argument has the wrong type, dtype, shape or device.
    """
    where = "lstm_step"
    xp = module_of(where, z=z, w_re=w_re, y=y, c=c)
    batch, units, _ = check_gates(where, "z", z[None])[1:]
    check.array(where, "w_re", w_re, np.float32, units=units, gates=4 * units)
    for name, value in (("y", y), ("c", c)):
        check.array(where, name, value, np.float32, batch=batch, units=units)
    lengths = xp.ones(batch, np.int32)
    if xp is np and host.library(SOURCE) is None:
        slow = reference.lstm_forward(z[None], w_re, lengths, y, c)
        return slow[0][0].astype(np.float32), slow[1].astype(np.float32)
    # Packing the matrix, as for a sequence, would take longer than its one product.
    outputs, cell, _, _ = stepwise.forward(xp, SOURCE, z[None], w_re, lengths, y, c, 1)
    return outputs[0], cell
