"""What contestants share."""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

Run = Callable[[], object]


def tensorflow(threads: int, *, as_numpy: bool = True) -> Any:
    """Return TensorFlow with so many threads. Raises ImportError where it is not installed.

    as_numpy: whether tensors have numpy's methods; graphs have an operation more, then, for each
    operand of +, -, * and so on.
    """
    os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"
    import tensorflow as tf

    tf.config.threading.set_intra_op_parallelism_threads(threads)
    tf.config.threading.set_inter_op_parallelism_threads(max(2, threads))
    if as_numpy:
        tf.experimental.numpy.experimental_enable_numpy_behavior()
    return tf


def tensorflow_gradients(tf: Any, function: Callable[..., Any], values: Any, dy: Any) -> Run:
    """Return a function that gives a result of values, and their gradients with dy its own."""

    @tf.function
    def run(*values: Any) -> Any:
        with tf.GradientTape() as tape:
            tape.watch(values)
            y = function(*values)
        gradients = tape.gradient(y, values, output_gradients=dy)
        return y, *map(tf.convert_to_tensor, gradients)  # some are of single rows

    return lambda: [x.numpy() for x in run(*values)]


def torch_gradients(function: Callable[..., Any], values: Any, dy: Any) -> Run:
    """Return a function that gives a result of values, and their gradients with dy its own."""
    import torch

    for x in values:
        x.requires_grad_(True)

    def run() -> Any:
        y = function(*values)
        return y, *torch.autograd.grad(y, values, dy)

    return run


def on_gpu(*arrays: Any) -> tuple[Any, ...]:
    """Return CuPy's arrays of numpy's. Raises ImportError where there is no CuPy, or no GPU."""
    import cupy

    try:
        return tuple(map(cupy.asarray, arrays))
    except cupy.cuda.runtime.CUDARuntimeError as error:
        raise ImportError(str(error)) from None


def cupy_run(run: Run) -> Run:
    """Return a function that ends when what it started on the GPU does."""
    import cupy

    def synchronised() -> None:
        run()
        cupy.cuda.Device().synchronize()

    return synchronised


def torch_run(run: Run) -> Run:
    """Return a function that ends when what it started on the GPU does. Raises ImportError."""
    import torch

    if not torch.cuda.is_available():
        raise ImportError("PyTorch finds no GPU")

    def synchronised() -> None:
        run()
        torch.cuda.synchronize()

    return synchronised


def memory_of(run: Run, gpu: bool) -> float:
    """Return how many MiB one run needs at its peak, beyond what the process holds before it.

    gpu: of the GPU's memory, as CuPy's and PyTorch's pools count it; else of the process.
    """
    before = _gpu_peak() if gpu else _host_peak()
    run()
    return ((_gpu_peak() if gpu else _host_peak(reset=False)) - before) / 2**20


def _host_peak(*, reset: bool = True) -> int:
    """Return the bytes that the process held at most; reset: since now."""
    if reset:
        Path("/proc/self/clear_refs").write_text("5")
    found = re.search(r"VmHWM:\s+(\d+) kB", Path("/proc/self/status").read_text())
    assert found
    return int(found[1]) * 1024


def _gpu_peak() -> int:
    """Return the bytes of GPU memory that the libraries of this process took at most so far."""
    cupy, torch = (sys.modules.get(name) for name in ("cupy", "torch"))
    ours = cupy.get_default_memory_pool().total_bytes() if cupy else 0
    return int(ours + (torch.cuda.max_memory_allocated() if torch else 0))
