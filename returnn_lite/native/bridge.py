"""How a kernel gets TensorFlow's tensors, and gives its results back."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Sequence
from contextvars import ContextVar
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np

from returnn_lite.lazy import tf

_pure: ContextVar[bool] = ContextVar("pure", default=False)


@contextlib.contextmanager
def tensorflow_only() -> Iterator[None]:
    """Make graphs, in a `with`, of TensorFlow's own operations alone: for export and for XLA."""
    token = _pure.set(True)
    try:
        yield
    finally:
        _pure.reset(token)


def only_tensorflow() -> bool:
    """Return whether graphs are made within `tensorflow_only`."""
    return _pure.get()


def serves(source: Path) -> bool:
    """Return whether the kernel of a source can be used; else TensorFlow's form of it is."""
    from cupy_kernels.backend import host

    return not only_tensorflow() and (on_gpu() or host.library(source) is not None)


def call(kernel: Callable[..., Any], arguments: Sequence[Any], dtypes: Sequence[Any]) -> list[Any]:
    """Return what a kernel, which takes and gives arrays, makes of tensors.

    On the host both share their memory; on a GPU they do through DLPack.
    """
    if not on_gpu():

        def on_arrays(*arrays: Any) -> Any:
            return kernel(*(np.asarray(array, order="C") for array in arrays))

        found = tf.numpy_function(on_arrays, arguments, dtypes, stateful=False)
    else:
        import cupy

        found = tf.py_function(lambda *tensors: exchange(kernel, tensors, cupy), arguments, dtypes)
    return list(found) if isinstance(found, list | tuple) else [found]


def exchange(kernel: Callable[..., Any], tensors: Sequence[Any], xp: ModuleType) -> list[Any]:
    """Run a kernel on eager tensors as arrays of `xp`, each where it lies.

    TensorFlow and CuPy have streams of their own: each waits until the other's work is done.
    """
    tf.test.experimental.sync_devices()
    found = kernel(*(xp.asarray(_array(tensor, xp), order="C") for tensor in tensors))
    if xp is not np:
        xp.cuda.get_current_stream().synchronize()
    results = found if isinstance(found, list | tuple) else [found]
    return [tf.experimental.dlpack.from_dlpack(array.__dlpack__()) for array in results]


def _array(tensor: Any, xp: ModuleType) -> Any:
    """Return a tensor as an array; TensorFlow keeps small integers on the host."""
    host = "GPU" not in tensor.device
    return xp.asarray(tensor.numpy()) if host and xp is not np else xp.from_dlpack(tensor)


def on_gpu() -> bool:
    """Return whether kernels run on a GPU."""
    return bool(tf.config.list_physical_devices("GPU"))
