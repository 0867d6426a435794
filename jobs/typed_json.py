"""Dataclasses from JSON values and back, with every key and type checked."""

from __future__ import annotations

import dataclasses
import functools
import reprlib
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
    """Turn a dataclass into JSON values.

    hashed_only: without what `unhashed` marks, and without what `added` does, at its default.
    """
    if value is None or isinstance(value, str | int | float):
        return value
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {
            f.name: to_json(getattr(value, f.name), hashed_only=hashed_only)
            for f in dataclasses.fields(value)
            if not hashed_only or _hashed(f, value)
        }
    if isinstance(value, Path):
        return str(value)
    if isinstance(value, dict):
        return {k: to_json(v, hashed_only=hashed_only) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [to_json(v, hashed_only=hashed_only) for v in value]
    return value


def _hashed(field: dataclasses.Field[Any], value: Any) -> bool:
    """Return whether a field of a dataclass is part of its hash."""
    if field.metadata.get("added"):
        return bool(getattr(value, field.name) != field.default)
    return bool(field.metadata.get("hashed", True))


@functools.cache
def _hints(cls: type) -> dict[str, Any]:
    return typing.get_type_hints(cls)


def _convert(kind: Any, value: Any, path: str, errors: list[str]) -> Any:
    """Check and convert one JSON value to a type; append what is wrong to errors."""
    origin, args = typing.get_origin(kind), typing.get_args(kind)
    if kind is Any:
        return _convert_any(value, path, errors)
    if dataclasses.is_dataclass(kind) and isinstance(kind, type):
        return _convert_dataclass(kind, value, path, errors)
    if origin in (typing.Union, types.UnionType):
        return _convert_union(kind, value, path, errors)
    if origin is typing.Literal:
        same = [a for a in args if a == value and type(a) is type(value)]
        return same[0] if same else _mismatch(kind, value, path, errors)
    if origin is tuple and isinstance(value, list | tuple):
        return _convert_tuple(kind, value, path, errors)
    if origin is dict and isinstance(value, dict):
        return {
            _key(k, path, errors): _convert(args[1], v, f"{path}[{k!r}]", errors)
            for k, v in value.items()
        }
    if kind is float and isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    if kind is Path and isinstance(value, str):
        return Path(value)
    if kind is int and isinstance(value, bool):
        return _mismatch(kind, value, path, errors)
    if isinstance(kind, type) and origin is None and isinstance(value, kind):
        return value
    return _mismatch(kind, value, path, errors)


def _mismatch(kind: Any, value: Any, path: str, errors: list[str]) -> None:
    if dataclasses.is_dataclass(kind):
        name = "an object with keys and values"
    elif typing.get_origin(kind) is typing.Literal:
        *most, last = map(repr, typing.get_args(kind))
        name = f"{', '.join(most)} or {last}" if most else last
    elif isinstance(kind, type) and not typing.get_args(kind):
        name = kind.__name__.replace("NoneType", "null")
    else:
        name = str(kind).replace("typing.", "").replace("pathlib.", "")
    errors.append(f"{_at(path)}found {reprlib.repr(value)}, needed {name}")


def _at(path: str) -> str:
    """Return how a message names a place in the value; nothing for the whole of it."""
    return f"{path.lstrip('.')}: " if path else ""


def _key(key: Any, path: str, errors: list[str]) -> str:
    if not isinstance(key, str):
        errors.append(f"{_at(path)}found key {key!r}, needed str")
    return str(key)


def _convert_any(value: Any, path: str, errors: list[str]) -> Any:
    """Check that a value of any type is at least JSON: it is hashed, and stored in files."""
    if isinstance(value, dict):
        return {
            _key(k, path, errors): _convert_any(v, f"{path}[{k!r}]", errors)
            for k, v in value.items()
        }
    if isinstance(value, list | tuple):
        return [_convert_any(v, f"{path}[{i}]", errors) for i, v in enumerate(value)]
    if value is not None and not isinstance(value, str | int | float):
        found = f"{type(value).__name__} {reprlib.repr(value)}"
        errors.append(f"{_at(path)}found {found}, needed a JSON value")
    return value


def _convert_union(kind: Any, value: Any, path: str, errors: list[str]) -> Any:
    """Return the first member that fits; else tell what is wrong with the one it resembles."""
    resembling: list[list[str]] = []
    for member in typing.get_args(kind):
        attempt: list[str] = []
        result = _convert(member, value, path, attempt)
        if not attempt:
            return result
        if isinstance(value, dict) and dataclasses.is_dataclass(member):
            resembling.append(attempt)
    if len(resembling) == 1:
        errors.extend(resembling[0])
        return None
    return _mismatch(kind, value, path, errors)


def _convert_tuple(kind: Any, value: Any, path: str, errors: list[str]) -> Any:
    """Check and convert a JSON array to `tuple[X, ...]` or to a tuple of fixed length."""
    members = typing.get_args(kind)
    if len(members) == 2 and members[1] is Ellipsis:
        members = (members[0],) * len(value)
    if len(members) != len(value):
        return _mismatch(kind, value, path, errors)
    pairs = enumerate(zip(members, value, strict=True))
    return tuple(_convert(m, v, f"{path}[{i}]", errors) for i, (m, v) in pairs)


def _convert_dataclass(kind: Any, value: Any, path: str, errors: list[str]) -> Any:
    """Check and convert a JSON object to a dataclass, whose own checks raise ValueError."""
    if isinstance(value, kind):
        return value
    if not isinstance(value, dict):
        return _mismatch(kind, value, path, errors)
    fields = {f.name: f for f in dataclasses.fields(kind)}
    before = len(errors)
    for key in value:
        if key not in fields:
            errors.append(f"{_at(path)}unknown key {key!r}{nearest(str(key), fields)}")
    for name, f in fields.items():
        required = f.default is dataclasses.MISSING and f.default_factory is dataclasses.MISSING
        if required and name not in value:
            errors.append(f"{_at(path)}missing key {name!r}")
    known = {
        k: _convert(_hints(kind)[k], v, f"{path}.{k}", errors)
        for k, v in value.items()
        if k in fields
    }
    if len(errors) > before:
        return None
    try:
        return kind(**known)
    except (ValueError, JobError) as error:
        errors.append(f"{_at(path)}{error}")
        return None
