"""The labels of a model as files have them."""

from __future__ import annotations

import ast
import gzip
import io
import pickle
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from returnn_lite.errors import NetworkError


def read(path: str | Path) -> tuple[str, ...]:
    """Return the labels of a file, in their order.

    It has one label in each line, or a dict of Python, {label: number}, as text or, if its name
    ends with .pkl, pickled; text may be compressed by gzip.
    Raises NetworkError for other files, and for numbers that are not those from 0 on.
    """
    path = Path(path)
    try:
        data = path.read_bytes()
        if data[:2] == b"\x1f\x8b":
            data = gzip.decompress(data)
        if path.suffix == ".pkl":
            return _by_number(path, _Plain(io.BytesIO(data)).load())
        text = data.decode("utf-8")
        if text.startswith("{"):
            return _by_number(path, ast.literal_eval(text))
    except (OSError, EOFError, ValueError, SyntaxError, pickle.UnpicklingError) as error:
        reason = getattr(error, "strerror", None) or error
        raise NetworkError(
            f"{path}: found no labels ({reason}), needed one in each line of UTF-8, or a dict"
        ) from None
    if not text:
        raise NetworkError(f"{path}: found an empty file, needed one label in each line")
    # A label may have what `splitlines` takes for an end, such as U+2028.
    return tuple(line.removesuffix("\r") for line in text.removesuffix("\n").split("\n"))


class _Plain(pickle.Unpickler):
    """Loads what is made of Python's own types, and runs no code of a file."""

    def find_class(self, module: str, name: str) -> Any:
        raise pickle.UnpicklingError(f"it has a {module}.{name}")


def _by_number(path: Path, numbers: Any) -> tuple[str, ...]:
    """Return the labels of a dict by their numbers."""
    needed = "{label: number} with the numbers from 0 on, each once"
    if not isinstance(numbers, Mapping) or not numbers:
        raise NetworkError(f"{path}: found no dict with labels, needed {needed}")
    names = {number: label for label, number in numbers.items()}
    lacking = [i for i in range(len(numbers)) if i not in names]
    if lacking:
        raise NetworkError(
            f"{path}: found {len(numbers)} labels and none with number {lacking[0]}, "
            f"needed {needed}"
        )
    return tuple(str(names[i]) for i in range(len(names)))
