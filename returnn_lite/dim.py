"""A dimension of a tensor: an object with identity, a kind, a name, and perhaps a size."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence, Set
from functools import reduce
from numbers import Integral
from operator import floordiv, mul
from typing import Any, Literal
from weakref import WeakSet

from returnn_lite.errors import NetworkError
from returnn_lite.lazy import tf

Kind = Literal["batch", "spatial", "feature"]


def _refused(text: str) -> Callable[..., Any]:
    """Return a method of Dim for an operation that there is not."""

    def operation(*operands: Any) -> Any:
        found = text.format(*(repr(d.name) if isinstance(d, Dim) else repr(d) for d in operands))
        raise NetworkError(
            f"found {found}, needed +, -, *, // or ceildiv of a Dim and a whole number (for *, // "
            "and ceildiv 1 or more), +, * or // of two Dims, or a Dim without the one added last"
        )

    return operation


class Dim:
    """One dimension; two dims are the same only if they are the same object.

    kind: "batch", "spatial" or "feature". name: for messages, such as `time:var:extern_data:data`.
    size: number of entries, or None where it differs between runs or, for a spatial dim, between
        sequences (its lengths, int32 [batch], then belong to the run: see `Run.lengths`).
    parts, formula, operation: of a derived dim, the dims that its size is a formula of, and what
        that is: see `derived`. A packed dim has parts alone: see `packed`.
    made: where a config names a dim that a layer makes, such as by out_dim, the dims that it is;
        an axis word that is this dim then means those.
    makers: names of layers that made it of others, and what RETURNN calls it for them: by these
        `stag:` finds it, too.
    explicit: the Dim of a config that it is, or that it is made for, in networks that tell these
        apart: then it is no other one's dim of equal size, see `differs`.
    """

    __slots__ = (
        "__weakref__",
        "_derived",
        "ends",
        "explicit",
        "formula",
        "kind",
        "made",
        "makers",
        "name",
        "operation",
        "parts",
        "size",
    )

    def __init__(self, kind: Kind, name: str, size: int | None = None):
        self.kind: Kind = kind
        self.name = name
        self.size = size
        self.parts: tuple[Dim, ...] = ()
        self.formula: Callable[..., Any] | None = None
        self.operation: tuple[Any, ...] = ()
        self.ends: tuple[Dim, int, int] = (self, 0, 0)
        self.made: WeakSet[Dim] = WeakSet()
        self.makers: set[str] = set()
        self.explicit: Dim | None = None
        self._derived: dict[tuple[Any, ...], Dim] = {}

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

    def means(self, dim: Dim) -> bool:
        """Return whether it is a dim, or means it, or is made by one formula of such as mean its.

        The latter is what a config has of a Dim that a layer made: `WINDOWS.ceildiv_right(2)`.
        """
        if dim is self or dim in self.made:
            return True
        if dim.operation[:1] == ("copy",) and dim.operation != self.operation:
            return self.means(dim.parts[0])
        if self.formula is None or (self.operation, len(self.parts)) != (
            dim.operation,
            len(dim.parts),
        ):
            return False
        return all(p.means(q) for p, q in zip(self.parts, dim.parts, strict=True))

    def let_mean(self, dim: Dim) -> None:
        """Let it, a Dim of a config, mean a dim that a layer made."""
        self.made.add(dim)
        dim.explicit = dim.explicit or self.explicit

    def differs(self, other: Dim) -> bool:
        """Return whether two dims are not the same, though they may be of equal size."""
        a, b = self.explicit, other.explicit
        if a is None or b is None or a is b or self is other:
            return False
        return not (a.means(other) or b.means(self))

    def leaves(self) -> set[Dim]:
        """Return the dynamic dims that the size comes from in the end, by formulas."""
        if self.size is not None or self.formula is None:
            return set() if self.size is not None else {self}
        return {leaf for part in self.parts for leaf in part.leaves()}

    def computed(self, sizes: Mapping[Dim, Any]) -> Any:
        """Return the size, for those of its leaves: int32, of any shape."""
        if self in sizes or self.size is not None:
            return sizes.get(self, self.size)
        assert self.formula is not None
        return self.formula(*(part.computed(sizes) for part in self.parts))

    def padded(self, left: int, right: int) -> Dim:
        """Return the dim with entries more (or, below 0, fewer) at its ends; undoing is exact."""
        base, before, after = self.ends
        left, right = left + before, right + after
        if left == right == 0:
            return base
        name = base.name + (f"+{right}" if right > 0 else f"{right}" if right else "")
        name = f"{left}+{name}" if left else name

        def size(n: Any) -> Any:
            n = n + left + right
            return max(n, 0) if isinstance(n, int) else tf.maximum(n, 0)

        found = derived(("padded", left, right), name, [base], size)
        found.ends = base, left, right
        return found

    def within(self, span: int) -> Dim:
        """Return the dim of the windows of so many entries that lie within it.

        What was put at the ends for such windows is undone: then it is the dim before.
        """
        base, before, after = self.ends
        if before + after == span - 1:
            return base
        left = (span - 1) // 2
        return self.padded(-left, left + 1 - span)

    def strided(self, step: int) -> Dim:
        """Return the dim of every so-many-th entry, from the first on."""
        if step == 1:
            return self
        return derived(
            ("strided", step), f"ceil({self.name}/{step})", [self], lambda n: -(-n // step)
        )

    # What configs do with Dims.

    def __add__(self, other: int | Dim) -> Dim:
        """Return the dim with so many entries more behind it, or with another dim behind it."""
        if isinstance(other, Dim):
            return total([self, other])
        return self.padded(0, self._number("+", other))

    def __radd__(self, other: int) -> Dim:
        """Return the dim with so many entries more before it."""
        return self.padded(self._number("+", other), 0)

    def __sub__(self, other: int | Dim) -> Dim:
        """Return the dim without so many entries, or the dim that was put there, at its end."""
        if self.operation == ("total",) and self.parts[-1] is other:
            return total(self.parts[:-1])
        return self.padded(0, -self._number("-", other))

    def __mul__(self, other: int | Dim) -> Dim:
        """Return the dim with as many entries for each of its own, or merged with another dim."""
        if isinstance(other, Dim):
            return product([self, other])
        if self._number("*", other, 1) == 1:
            return self
        return derived(("times", other), f"{self.name}*{other}", [self], lambda n: n * other)

    __rmul__ = __mul__

    def __floordiv__(self, other: int | Dim) -> Dim:
        """Return the dim with one entry for each group of so many, the rest left out."""
        if isinstance(other, Dim):
            return derived(("div",), f"{self.name}//{other.name}", [self, other], floordiv)
        if self.operation == ("times", self._number("//", other, 1)):
            return self.parts[0]
        if other == 1:
            return self
        return derived(("div", other), f"{self.name}//{other}", [self], lambda n: n // other)

    def ceildiv_right(self, other: int) -> Dim:
        """Return the dim with one entry for each group of so many, the rest being one, too."""
        number = self._number("ceildiv", other, 1)
        return self.parts[0] if self.operation == ("times", number) else self.strided(number)

    def copy(self, *, match_priority: int = 0) -> Dim:
        """Return another dim for which it stands, too: of a square matrix, say.

        match_priority: where a Dim means several dims of a tensor, it is the one with the greatest.
        """
        return derived(("copy", match_priority), self.name, [self], lambda n: n)

    @property
    def match_priority(self) -> int:
        """What it was copied with, or 0."""
        return int(self.operation[1]) if self.operation[:1] == ("copy",) else 0

    div_left = div_right = __floordiv__
    ceildiv_left = ceildiv_right
    __truediv__, __rtruediv__ = _refused("{0} / {1}"), _refused("{1} / {0}")
    __mod__, __rmod__ = _refused("{0} % {1}"), _refused("{1} % {0}")
    __pow__, __rsub__ = _refused("{0} ** {1}"), _refused("{1} - {0}")
    __neg__, __rfloordiv__ = _refused("-{0}"), _refused("{1} // {0}")

    def _number(self, operation: str, other: Any, least: int | None = None) -> int:
        """Return the operand of an operation; NetworkError for no whole number, or too small."""
        if not isinstance(other, Integral) or (least is not None and other < least):
            _refused(f"{{0}} {operation} {{1}}")(self, other)
        return int(other)


def derived(
    key: tuple[Any, ...], name: str, parts: Sequence[Dim], formula: Callable[..., Any]
) -> Dim:
    """Return the dim whose size, or lengths, are a formula of those of other dims.

    For the same key and parts it is the same object every time, so that what different layers make
    of one dim by the same operation fits together.
    """
    cache, full = parts[0]._derived, (*key, *parts[1:])
    if full not in cache:
        sizes = [p.size for p in parts]
        size = None if None in sizes else formula(*sizes)
        feature = size is not None and any(p.kind == "feature" for p in parts)
        cache[full] = Dim("feature" if feature else "spatial", name, size)
        cache[full].parts, cache[full].formula = tuple(parts), formula
        cache[full].operation = key
    return cache[full]


def product(dims: Sequence[Dim]) -> Dim:
    """Return the dim of several merged into one, the last of them running fastest."""
    dims = [d for d in dims if d.size != 1] or list(dims[:1])
    if len(dims) == 1:
        return dims[0]
    name = "*".join(d.name if d.size is None else str(d.size) for d in dims)
    return derived(("product",), name, dims, lambda *n: reduce(mul, n))


def total(dims: Sequence[Dim]) -> Dim:
    """Return the dim of several one after the other."""
    if len(dims) == 1:
        return dims[0]
    name = "+".join(d.name if d.size is None else str(d.size) for d in dims)
    return derived(("total",), name, dims, lambda *n: sum(n))


def packed(dim: Dim, *, batch_major: bool) -> Dim:
    """Return the dim of the entries of a dim in all sequences, one sequence after the other.

    batch_major: False for all sequences' first entries before their second ones. It is of the kind
    "batch", without padding; how many entries there are belongs to the run.
    """
    key = ("packed", batch_major)
    if key not in dim._derived:
        dim._derived[key] = Dim("batch", f"packed:{dim.name}")
        dim._derived[key].parts = (dim,)
    return dim._derived[key]


def tell_apart(config: Any) -> None:
    """Make all Dims in dicts, sequences and sets different ones, though they be of equal size."""
    if isinstance(config, Dim):
        config.explicit = config if config.kind != "batch" else None
    elif isinstance(config, Mapping):
        tell_apart(list(config.items()))
    elif isinstance(config, (Sequence, Set)) and not isinstance(config, str):
        for value in config:
            tell_apart(value)


def SpatialDim(name: str, size: int | None = None) -> Dim:
    """Return a spatial dim, as configs have it; dynamic without a size."""
    return Dim("spatial", name, size)


def FeatureDim(name: str, size: int) -> Dim:
    """Return a feature dim, as configs have it."""
    return Dim("feature", name, size)


BATCH = Dim("batch", "batch")
SINGLE_STEP = Dim("spatial", "single-step", 1)  # as an axis: the step of the loop around
HYPOTHESES = Dim("batch", "hypotheses")  # of each sequence, where they are apart: `Data.apart`
