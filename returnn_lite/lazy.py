"""TensorFlow, imported when it is first used: templates and checks need none of it."""

from __future__ import annotations

import types
from typing import Any


class _LazyTensorFlow(types.ModuleType):
    def __getattr__(self, name: str) -> Any:
        import tensorflow

        return getattr(tensorflow, name)


tf: Any = _LazyTensorFlow("tensorflow")
