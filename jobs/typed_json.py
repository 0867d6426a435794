"""Dataclasses from JSON values and back, with every key and type checked."""

from __future__ import annotations

import dataclasses
import types
import typing
from pathlib import Path
from typing import Any, TypeVar

from jobs.job import JobError, nearest

T = TypeVar("T")


def from_json(cls: type[T], value: Any, where: str) -> T:
    """Build a dataclass from JSON values; one JobError names every wrong key and type.

    where: what the message begins with, such as `recipe commands, stage ctc`.
    """
    errors: list[str] = []
    result = _convert(cls, value, "", errors)
    if errors:
        raise JobError("\n".join(f"{where}: {e}" for e in errors))
    return typing.cast(T, result)


def to_json(value: Any, *, hashed_only: bool = False) -> Any:
    """Turn a dataclass into JSON values; with hashed_only, without what `unhashed` marks."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {
            f.name: to_json(getattr(value, f.name), hashed_only=hashed_only)
            for f in dataclasses.fields(value)
            if f.metadata.get("hashed", True) or not hashed_only
        }
    if isinstance(value, Path):
        return str(value)
    if isinstance(value, dict):
        return {str(k): to_json(v, hashed_only=hashed_only) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [to_json(v, hashed_only=hashed_only) for v in value]
    return value


def _convert(kind: Any, value: Any, path: str, errors: list[str]) -> Any:
    """Check and convert one JSON value to a type; append what is wrong to errors."""
    origin, args = typing.get_origin(kind), typing.get_args(kind)
    if kind is Any:
        return value
    if dataclasses.is_dataclass(kind) and isinstance(kind, type):
        return _convert_dataclass(kind, value, path, errors)
    if origin in (typing.Union, types.UnionType):
        for member in args:
            attempt: list[str] = []
            result = _convert(member, value, path, attempt)
            if not attempt:
                return result
        return _mismatch(kind, value, path, errors)
    if origin is typing.Literal:
        return value if value in args else _mismatch(kind, value, path, errors)
    if origin is tuple and isinstance(value, list | tuple):
        return tuple(_convert(args[0], v, f"{path}[{i}]", errors) for i, v in enumerate(value))
    if origin is dict and isinstance(value, dict):
        return {k: _convert(args[1], v, f"{path}[{k!r}]", errors) for k, v in value.items()}
    if kind is float and isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    if kind is Path and isinstance(value, str):
        return Path(value)
    if kind is type(None) and value is None:
        return None
    if kind is int and isinstance(value, bool):
        return _mismatch(kind, value, path, errors)
    if isinstance(kind, type) and isinstance(value, kind):
        return value
    return _mismatch(kind, value, path, errors)


def _mismatch(kind: Any, value: Any, path: str, errors: list[str]) -> None:
    name = kind.__name__ if isinstance(kind, type) and not typing.get_args(kind) else str(kind)
    errors.append(f"{path.lstrip('.')}: found {value!r}, needed {name.replace('typing.', '')}")


def _convert_dataclass(kind: type, value: Any, path: str, errors: list[str]) -> Any:
    """Check and convert a JSON object to a dataclass."""
    if isinstance(value, kind):
        return value
    if not isinstance(value, dict):
        return _mismatch(kind, value, path, errors)
    fields = {f.name: f for f in dataclasses.fields(kind)}
    hints = typing.get_type_hints(kind)
    before = len(errors)
    for key in value:
        if key not in fields:
            errors.append(f"unknown key {(path + '.' + key).lstrip('.')!r}{nearest(key, fields)}")
    for name, f in fields.items():
        required = f.default is dataclasses.MISSING and f.default_factory is dataclasses.MISSING
        if required and name not in value:
            errors.append(f"missing key {(path + '.' + name).lstrip('.')!r}")
    known = {
        k: _convert(hints[k], v, f"{path}.{k}", errors) for k, v in value.items() if k in fields
    }
    return None if len(errors) > before else kind(**known)
