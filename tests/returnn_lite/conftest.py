"""What the tests of the engine share; its folder holds their helper modules too."""

from __future__ import annotations

import os

# Before TensorFlow is imported: the tests' tensors are small.
os.environ.setdefault("OMP_NUM_THREADS", "1")
