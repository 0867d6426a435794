"""Activations: checks, launch."""

from __future__ import annotations

from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np

from cupy_kernels import check
from cupy_kernels.activation import reference
from cupy_kernels.backend import host
from cupy_kernels.backend.launch import launch
from cupy_kernels.backend.threads import thread_count

SOURCE = Path(__file__).with_name("activation.cu")
PIECE = 4096  # as in activation.cu
KINDS = ("silu", "gelu")


def activate(x: Any, kind: str, *, threads: int | None = None) -> Any:
    """An activation of each number, in one pass.

    silu: x s(x) with the logistic sigmoid s, also called swish (S. Elfwing et al.,
    "Sigmoid-weighted linear units", 2018). gelu: x Phi(x) with the normal distribution Phi
    (D. Hendrycks, K. Gimpel, "Gaussian error linear units", 2016).

    Args:
        x: float32 [any].
        kind: "silu" or "gelu".
        threads: on the host; by default OMP_NUM_THREADS, or all processors.

    Returns:
        float32, as x.

    Raises:
        ArgumentError: an argument has the wrong type, dtype, shape, device or range.
    """
    xp = _check("activate", kind, x=x)
    if xp is np and host.library(SOURCE) is None:
        return reference.activate(x, kind).astype(np.float32)
    return _run(xp, f"{kind}_forward", threads, x)


def activate_backward(dy: Any, x: Any, kind: str, *, threads: int | None = None) -> Any:
    """Gradient of `activate`.

    Args:
        dy: float32, as x: gradient of the result.
        x, kind, threads: as in the forward pass.

    Returns:
        float32, as x.

    Raises:
        ArgumentError: an argument has the wrong type, dtype, shape, device or range.
    """
    xp = _check("activate_backward", kind, dy=dy, x=x)
    if xp is np and host.library(SOURCE) is None:
        return reference.activate_backward(dy, x, kind).astype(np.float32)
    return _run(xp, f"{kind}_backward", threads, dy, x)


def _run(xp: ModuleType, name: str, threads: int | None, *arrays: Any) -> Any:
    x, pieces = arrays[-1], max(1, -(-arrays[-1].size // PIECE))
    workers = min(thread_count(threads), pieces) if xp is np else pieces
    out = xp.empty_like(x)
    launch(SOURCE, name, *arrays, out, x.size, workers=workers, xp=xp)
    return out


def _check(where: str, kind: str, **arrays: Any) -> ModuleType:
    xp = check.array_module(where, **arrays)
    if kind not in KINDS:
        check.fail(where, "kind", repr(kind), f"one of {', '.join(map(repr, KINDS))}")
    axes = {f"axis {i}": n for i, n in enumerate(arrays["x"].shape)}
    for name, value in arrays.items():
        check.array(where, name, value, np.float32, **axes)
    return xp
