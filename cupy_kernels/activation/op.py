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


def glu(x: Any, *, threads: int | None = None) -> Any:
    """The first half of each row, with the logistic sigmoid of the second as a gate, in one pass.

    a s(b) of a row (a, b), the gated linear unit (Y. Dauphin et al., "Language modeling with gated
    convolutional networks", 2017).

    Args:
        x: float32 [..., 2 n].
        threads: on the host; by default OMP_NUM_THREADS, or all processors.

    Returns:
        float32 [..., n].

    Raises:
        ArgumentError: an argument has the wrong type, dtype, shape or device.
    """
    xp = _check_halves("glu", x=x)
    if xp is np and host.library(SOURCE) is None:
        return reference.glu(x).astype(np.float32)
    half = x.shape[-1] // 2
    return _launch(xp, "glu_forward", threads, [x], xp.empty((*x.shape[:-1], half), x.dtype), half)


def glu_backward(dy: Any, x: Any, *, threads: int | None = None) -> Any:
    """Gradient of `glu`.

    Args:
        dy: float32 [..., n]: gradient of the result.
        x, threads: as in the forward pass.

    Returns:
        float32 [..., 2 n]: gradient of x.

    Raises:
        ArgumentError: an argument has the wrong type, dtype, shape or device.
    """
    xp = _check_halves("glu_backward", dy=dy, x=x)
    if xp is np and host.library(SOURCE) is None:
        return reference.glu_backward(dy, x).astype(np.float32)
    return _launch(xp, "glu_backward", threads, [dy, x], xp.empty_like(x), x.shape[-1] // 2)


def _run(xp: ModuleType, name: str, threads: int | None, *arrays: Any) -> Any:
    return _launch(xp, name, threads, list(arrays), xp.empty_like(arrays[-1]))


def _launch(
    xp: ModuleType, name: str, threads: int | None, arrays: list[Any], out: Any, *size: int
) -> Any:
    """The array `out` of a kernel. size: of half a row, where there are rows."""
    x = arrays[-1]
    pieces = max(1, -(-x.size // PIECE))
    workers = min(thread_count(threads), pieces) if xp is np else pieces
    launch(SOURCE, name, *arrays, out, x.size, *size, workers=workers, xp=xp)
    return out


def _check(where: str, kind: str, **arrays: Any) -> ModuleType:
    xp = check.array_module(where, **arrays)
    if kind not in KINDS:
        check.fail(where, "kind", repr(kind), f"one of {', '.join(map(repr, KINDS))}")
    _check_shape(where, arrays["x"].shape, **arrays)
    return xp


def _check_halves(where: str, **arrays: Any) -> ModuleType:
    xp = check.array_module(where, **arrays)
    shape = arrays["x"].shape
    if not shape or shape[-1] % 2:
        check.fail(where, "x", f"shape {tuple(shape)}", "an even size of its last axis")
    _check_shape(where, shape, x=arrays["x"])
    if "dy" in arrays:
        _check_shape(where, (*shape[:-1], shape[-1] // 2), dy=arrays["dy"])
    return xp


def _check_shape(where: str, shape: tuple[int, ...], **arrays: Any) -> None:
    axes = {f"axis {i}": n for i, n in enumerate(shape)}
    for name, value in arrays.items():
        check.array(where, name, value, np.float32, **axes)
