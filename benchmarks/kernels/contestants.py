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
