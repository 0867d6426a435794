"""Products of two tensors, summed over dims that both have: by names, not by positions."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from returnn_lite.beam import latest
from returnn_lite.data import Data, in_common_beam, with_hypotheses
from returnn_lite.dim import Dim
from returnn_lite.lazy import tf

if TYPE_CHECKING:
    from returnn_lite.site import Site


def contract(
    site: Site, a: Data, b: Data, *, names: Mapping[Dim, Dim], over: list[Dim], out: Data
) -> Data:
    """Return the sum over some dims of a * b, with the dims of a template.

    names: the dims of b by what they are called in the result, which may be dims of a; those that
    are not in it have their own name. over: dims of a that are summed over, in both; padding does
    not count. Dims that a or b have besides, such as that of a loop, come first.
    """
    (a, b), apart = in_common_beam([a, b])
    beam = latest([a.beam, b.beam])
    # At once, since a dim may be one of the old and of the new names.
    old = b.dims
    b = replace(b, dims=tuple(names.get(d, d) for d in old), time_dim=None, feature_dim=None)
    for dim in old:
        new = names.get(dim, dim)
        if new is not dim and dim.dynamic and new in a.dims:
            b = _checked(site, b, dim, new)
    # The smaller one of the two is masked, if it has the sequences.
    small = a if len(a.dims) <= len(b.dims) else b
    if not any(d.dynamic and site.run.pads(small, d) for d in over):
        small = b if small is a else a
    masked = small
    for dim in over:
        if dim.dynamic and site.run.pads(small, dim):
            mask = site.run.mask(dim, masked)
            masked = replace(
                masked, tensor=tf.where(mask, masked.tensor, tf.zeros_like(masked.tensor))
            )
    a, b = (masked, b) if small is a else (a, masked)
    every = dict.fromkeys([*a.dims, *b.dims])
    kept = with_hypotheses(out.dims) if apart else out.dims
    dims = [d for d in every if d not in kept and d not in over] + list(kept)
    found = replace(out, dims=tuple(dims), beam=beam, tensor=_product(a, b, over, dims))
    return found if apart is None else found.together(apart)


def _product(a: Data, b: Data, over: list[Dim], dims: list[Dim]) -> Any:
    """Return the sum over some dims of a * b, a tensor with the given dims."""
    shared = [d for d in dims if d in a.dims and d in b.dims]
    alone = [[d for d in dims if d in x.dims and d not in shared] for x in (a, b)]
    sums = [d for d in over if d in a.dims and d in b.dims]
    if not len(alone[0]) == len(alone[1]) == len(sums) == len(over) == 1:
        letters = {d: chr(ord("a") + i) for i, d in enumerate(dict.fromkeys([*a.dims, *b.dims]))}
        left, right, result = ("".join(letters[d] for d in x) for x in (a.dims, b.dims, dims))
        return tf.einsum(f"{left},{right}->{result}", a.tensor, b.tensor)
    # A matrix product for each entry of the others: its operands are transposed once, where einsum
    # does so again for each gradient.
    (row,), (column,) = alone
    if dims.index(column) < dims.index(row):
        a, b, row, column = b, a, column, row
    left, a_first = _matrices(a, shared, row, over[0])
    right, b_first = _matrices(b, shared, over[0], column)
    y = tf.matmul(left, right, transpose_a=a_first, transpose_b=b_first)
    found = [*shared, row, column]
    return y if found == dims else tf.transpose(y, [found.index(d) for d in dims])


def _matrices(x: Data, front: list[Dim], row: Dim, column: Dim) -> tuple[Any, bool]:
    """Return matrices, the other dims in front, and whether they have their columns first."""
    first = list(x.dims) == [*front, column, row]
    return (x.tensor, True) if first else (x.ordered([*front, row, column]).tensor, False)


def _checked(site: Site, b: Data, found: Dim, needed: Dim) -> Data:
    """Return b, whose dim was another before: the lengths must be the same."""
    old = replace(b, dims=tuple(found if d is needed else d for d in b.dims))
    checked: Data = site.run.with_dim(old, found, needed, str(site.node))
    return checked


def matched(found: list[Dim], among: list[Dim]) -> dict[Dim, Dim] | None:
    """Return for each dim the same one among others, or else one of equal fixed size; None if not.

    Every dim of both has to have its partner.
    """
    result = {d: d for d in found if d in among}
    for dim in found:
        if dim in result:
            continue
        free = [d for d in among if d not in result.values() and not d.differs(dim)]
        same = next((d for d in free if d.size is not None and d.size == dim.size), None)
        if same is None:
            return None
        result[dim] = same
    return result if len(result) == len(among) else None
