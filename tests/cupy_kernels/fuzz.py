"""Random problems through every operation, small enough to hit all edges.

`fuzz.py <count> <file>` writes all results. A file `fuzz_<operation>.py` in the folder of an
operation's tests has `results(rng)`: those of one problem, a list of numpy arrays.
"""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).parents[2]))


def main(count: int, target: str) -> None:
    """Run `count` problems of each operation."""
    found = []
    for path in sorted(Path(__file__).parent.glob("*/fuzz_*.py")):
        spec = importlib.util.spec_from_file_location(path.stem, path)
        assert spec is not None and spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        for seed in range(count):
            found += module.results(np.random.default_rng(seed))
    np.savez(target, *found)


if __name__ == "__main__":
    main(int(sys.argv[1]), sys.argv[2])
