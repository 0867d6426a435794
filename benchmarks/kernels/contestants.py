"""What contestants share."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

Run = Callable[[], object]


def tensorflow(threads: int) -> Any:
    """Return TensorFlow with so many threads. Raises ImportError where it is not installed."""
    os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"
    import tensorflow as tf

    tf.config.threading.set_intra_op_parallelism_threads(threads)
    tf.config.threading.set_inter_op_parallelism_threads(max(2, threads))
    tf.experimental.numpy.experimental_enable_numpy_behavior()
    return tf


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
