"""TensorFlow, imported when it is first used: templates and checks need none of it."""

from __future__ import annotations

import functools
import gc
import types
from typing import Any

from returnn_lite import freed_memory


class _LazyTensorFlow(types.ModuleType):
    def __getattr__(self, name: str) -> Any:
        return getattr(_tensorflow(), name)


@functools.cache
def _tensorflow() -> Any:
    """Import TensorFlow with the garbage collector off: nothing that it makes then is garbage."""
    freed_memory.keep()
    collects = gc.isenabled()
    gc.disable()
    try:
        import tensorflow
    finally:
        gc.freeze()  # nor is it looked through later
        if collects:
            gc.enable()
    return tensorflow


tf: Any = _LazyTensorFlow("tensorflow")
