"""A dimension of a tensor: an object with identity, a kind, a name, and perhaps a size."""

from __future__ import annotations

from typing import Literal

Kind = Literal["batch", "spatial", "feature"]


class Dim:
    """One dimension; two dims are the same only if they are the same object.

    kind: "batch", "spatial" or "feature". name: for messages, such as `time:var:extern_data:data`.
    size: number of entries, or None where it differs between runs or, for a spatial dim, between
        sequences (its lengths, int32 [batch], then belong to the run: see `Run.lengths`).
    """

    __slots__ = ("kind", "name", "size")

    def __init__(self, kind: Kind, name: str, size: int | None = None):
        self.kind: Kind = kind
        self.name = name
        self.size = size

    @property
    def dynamic(self) -> bool:
        """Whether sequences differ in this dim, so that it has lengths and padding."""
        return self.kind == "spatial" and self.size is None

    def __repr__(self) -> str:
        if self.kind == "batch":
            return "B"
        if self.size is not None:
            return f"F|{self.size}" if self.kind == "feature" else f"{self.size}"
        return repr(self.name)


BATCH = Dim("batch", "batch")
