"""Kernels as operations of TensorFlow, on the host: a call takes microseconds, and no Python."""

from __future__ import annotations

import ctypes
import functools
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from returnn_lite.lazy import tf
from returnn_lite.native import bridge

_SOURCE = Path(__file__).with_name("launch.cc")
_NONE, _INPUT, _OUTPUT, _SIZE = -1, -2, -3, -4  # as in launch.cc


@dataclass(frozen=True)
class Size:
    """The size of an axis of a tensor, and some more; at least 0.

    axis: None stands for the entries of all axes.
    """

    tensor: Any
    axis: int | None = None
    more: int = 0


@dataclass(frozen=True)
class Result:
    """A tensor that a kernel makes.

    shape: of whole numbers and sizes. over: an argument of this shape and dtype, over which it may
    be written where nothing else needs it.
    """

    shape: Sequence[int | Size]
    dtype: str = "float32"
    over: Any = None


def like(tensor: Any, over: Any = None) -> Result:
    """Return a result with the shape of a tensor."""
    axes = range(len(tensor.shape))
    return Result([Size(tensor, axis) for axis in axes], tensor.dtype.name, over)


def count(n: Any) -> int | Size:
    """Return what stands for a number, or for that of a tensor, int32 []: sizes are of axes."""
    return n if isinstance(n, int) else Size(tf.range(n), 0)


def serves(source: Path) -> bool:
    """Return whether `launch` can be used for a source; else TensorFlow's own operations are."""
    return not bridge.on_gpu() and bridge.serves(source) and _operation() is not None


def pays(source: Path, x: Any) -> bool:
    """Return whether a kernel serves for what TensorFlow has, too, and is faster.

    x: what it works on. Steps of a loop have too few numbers: they have no axis of frames.
    """
    return x.dtype == tf.float32 and len(x.shape) >= 3 and serves(source)


def launch(source: Path, name: str, *arguments: Any) -> list[Any]:
    """Return the results among the arguments of kernel `name` of a source.

    arguments: tensors, results, sizes, whole numbers, and None for a null pointer, but for the
    last one of the kernel, which is the number of threads.
    """
    from cupy_kernels.backend import host
    from cupy_kernels.backend.threads import thread_count

    library, operation = host.library(source), _operation()
    assert library is not None and operation is not None, "ask `serves` before"
    outputs = [x for x in arguments if isinstance(x, Result)]
    sizes = [x for x in (*arguments, *(n for y in outputs for n in y.shape)) if _is_size(x)]
    inputs = _distinct([*filter(tf.is_tensor, arguments), *(x.tensor for x in sizes)])
    coder = _Coder(inputs, outputs)
    found = operation(
        inputs=inputs,
        results=[x.dtype for x in outputs],
        function=ctypes.cast(getattr(library, name), ctypes.c_void_p).value,
        arguments=[c for x in (*arguments, thread_count(None)) for c in coder.argument(x)],
        shapes=[c for x in outputs for c in coder.shape(x)],
        over=[-1 if x.over is None else coder.index(x.over) for x in outputs],
    )
    for tensor, output in zip(found, outputs, strict=True):
        tensor.set_shape([_static(size) for size in output.shape])
    return list(found)


class _Coder:
    """What the attributes of the operation call its arguments."""

    def __init__(self, inputs: list[Any], outputs: list[Result]):
        self.inputs, self.outputs = inputs, outputs

    def index(self, tensor: Any) -> int:
        """Return the place of a tensor among the inputs."""
        return next(i for i, x in enumerate(self.inputs) if x is tensor)

    def argument(self, x: Any) -> tuple[int, int, int]:
        """Return what stands for an argument."""
        if x is None:
            return _NONE, 0, 0
        if isinstance(x, Result):
            return _OUTPUT, next(i for i, y in enumerate(self.outputs) if y is x), 0
        return (_INPUT, self.index(x), 0) if tf.is_tensor(x) else self.size(x)

    def size(self, x: int | Size) -> tuple[int, int, int]:
        """Return what stands for a number."""
        if isinstance(x, Size):
            return self.index(x.tensor), -1 if x.axis is None else x.axis, x.more
        return _SIZE, 0, int(x)

    def shape(self, x: Result) -> list[int]:
        """Return what stands for the shape of a result."""
        return [len(x.shape), *(c for n in x.shape for c in self.size(n))]


def _is_size(x: Any) -> bool:
    return isinstance(x, Size)


def _distinct(tensors: list[Any]) -> list[Any]:
    return list({id(x): x for x in tensors}.values())


def _static(size: int | Size) -> int | None:
    if not isinstance(size, Size):
        return size
    assert size.axis is not None
    known: int | None = size.tensor.shape[size.axis]
    return None if known is None else max(known + size.more, 0)


@functools.cache
def _operation() -> Any:
    """Return the operation, compiled for this TensorFlow; None where it cannot be."""
    from cupy_kernels.backend import host

    paths = (f"-I{tf.sysconfig.get_include()}", *tf.sysconfig.get_link_flags())
    compiled = host.compiled(_SOURCE, paths)
    try:
        return None if compiled is None else tf.load_op_library(str(compiled)).kernel_launch
    except (tf.errors.OpError, OSError) as error:  # a TensorFlow without some of the interface
        warnings.warn(f"TensorFlow's own operations serve: {error}", stacklevel=2)
        return None
