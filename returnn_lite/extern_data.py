"""The data streams that a network reads, from the config's `extern_data`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from returnn_lite.data import Data
from returnn_lite.dim import BATCH, Dim
from returnn_lite.errors import NetworkError, nearest

_DTYPES = ("float32", "float64", "int32", "int64")
_KEYS = ("dim", "sparse", "dtype", "available_for_inference", "vocab", "same_dim_tags_as")


def templates(extern_data: Mapping[str, Any]) -> dict[str, Data]:
    """Return the template of every stream.

    A stream is {"dim": size, "sparse": bool, "dtype": ..., "available_for_inference": bool,
    "vocab": names, "same_dim_tags_as": {"t": other stream}}, or (dim, 2) for dense and (dim, 1) for
    sparse data. Raises NetworkError for an unknown key or stream.
    """
    found: dict[str, Data] = {}
    for key, opts in extern_data.items():
        if isinstance(opts, list | tuple) and len(opts) == 2:
            opts = {"dim": opts[0], "sparse": opts[1] == 1}
        if not isinstance(opts, Mapping):
            raise NetworkError(
                f"extern_data {key!r}: found {opts!r}, needed a dict such as {{'dim': 40}}"
            )
        found[key] = _template(key, opts, found)
    return found


def _template(key: str, opts: Mapping[str, Any], before: Mapping[str, Data]) -> Data:
    for name in opts:
        if name not in _KEYS:
            raise NetworkError(f"extern_data {key!r}: unknown key {name!r}{nearest(name, _KEYS)}")
    if not isinstance(opts.get("dim"), int) or opts["dim"] < 1:
        raise NetworkError(
            f"extern_data {key!r}: found dim {opts.get('dim')!r}, needed a whole number above 0"
        )
    sparse = bool(opts.get("sparse", False))
    dtype = opts.get("dtype", "int32" if sparse else "float32")
    if dtype not in _DTYPES:
        raise NetworkError(f"extern_data {key!r}: unknown dtype {dtype!r}{nearest(dtype, _DTYPES)}")
    if sparse and not dtype.startswith("int"):
        raise NetworkError(
            f"extern_data {key!r}: found dtype {dtype!r} of sparse data, needed int32 or int64"
        )
    classes = Dim("feature", f"feature:extern_data:{key}", opts["dim"])
    time = Dim("spatial", f"time:var:extern_data:{key}")
    if "same_dim_tags_as" in opts:
        time = _same_time(key, opts["same_dim_tags_as"], before)
    vocab = opts.get("vocab")
    return Data(
        name=key,
        dims=(BATCH, time) if sparse else (BATCH, time, classes),
        dtype=dtype,
        sparse_dim=classes if sparse else None,
        feature_dim=None if sparse else classes,
        time_dim=time,
        available_for_inference=bool(opts.get("available_for_inference", True)),
        vocab=tuple(vocab) if vocab is not None else None,
    )


def _same_time(key: str, same: Any, before: Mapping[str, Data]) -> Dim:
    """Return the time dim that `same_dim_tags_as` names."""
    if not isinstance(same, Mapping) or list(same) != ["t"]:
        raise NetworkError(
            f"extern_data {key!r}: found same_dim_tags_as {same!r}, needed {{'t': a stream}}"
        )
    if same["t"] not in before:
        name = same["t"]
        raise NetworkError(
            f"extern_data {key!r}: no stream {name!r} before it{nearest(name, before)}"
        )
    time = before[same["t"]].time_dim
    assert time is not None
    return time
