"""What pool, conv and transposed_conv share: windows over one or more dims."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

from returnn_lite.axes import resolve
from returnn_lite.data import Data
from returnn_lite.dim import Dim
from returnn_lite.errors import nearest
from returnn_lite.layers.base import Layer
from returnn_lite.lazy import tf
from returnn_lite.node import Node
from returnn_lite.site import Site

_PADDINGS = ("same", "same_static", "valid")


@dataclass(frozen=True, kw_only=True)
class Spatial(Layer):
    """A layer over spatial dims, by default all dims but batch and feature.

    What other dims there are is done for each of their entries. in_spatial_dims: axis words, or
    one of them. out_spatial_dims: Dims by which others may name those of the output.
    """

    in_spatial_dims: str | Dim | tuple[Any, ...] | None = None
    out_spatial_dims: tuple[Dim, ...] | None = None

    def stays(self, node: Node) -> bool:
        """Return True: the windows are those of one sequence for each of the batch."""
        return True

    def input(self, site: Site) -> Data:
        """Return the source, with its spatial and feature dims."""
        return site.source

    def find_spatial(self, site: Site, x: Data, number: int) -> list[Dim]:
        """Return the spatial dims of the template x; NetworkError where there are not so many."""
        batch = x.batch_dim
        if x.feature_dim is None or batch is None:
            raise site.error(f"found {x}, needed a batch, a feature and {number} spatial dims")
        if self.in_spatial_dims is None:
            dims = [d for d in x.dims if d not in (batch, x.feature_dim)]
        else:
            given = self.in_spatial_dims
            words = given if isinstance(given, list | tuple) else (given,)
            dims = [d for w in words for d in resolve(w, x, str(site.node))]
        if len(dims) != number:
            raise site.error(
                f"found {len(dims)} spatial dims in {x}, needed {number}; try in_spatial_dims"
            )
        if batch in dims or x.feature_dim in dims:
            raise site.error(
                f"found in_spatial_dims {self.in_spatial_dims!r} in {x}, needed neither batch nor "
                "features"
            )
        site.node.resolved["spatial"] = dims
        return dims

    def flat(self, x: Data, spatial: list[Dim]) -> tuple[Data, Any]:
        """Return x as [batch, other dims, spatial dims, feature], and its tensor as [-1, ...]."""
        batch, feature = x.batch_dim, x.feature
        assert batch is not None
        others = [d for d in x.dims if d not in (batch, feature, *spatial)]
        x = x.ordered([batch, *others, *spatial, feature])
        sizes = x.sizes()
        return x, tf.reshape(x.tensor, [-1, *sizes[1 + len(others) :]])

    def masked(self, site: Site, x: Data, value: float) -> Data:
        """Return x with a value behind the ends of its sequences."""
        for dim in x.dims:
            if site.run.pads(x, dim):
                tensor = tf.where(site.run.mask(dim, x), x.tensor, tf.cast(value, x.tensor.dtype))
                x = replace(x, tensor=tensor)
        return x

    def ragged(self, site: Site, x: Data, spatial: list[Dim], value: float) -> tuple[Data, Any]:
        """Return x [..., spatial dims, feature], and lengths of its first spatial dim.

        Kernels that are given lengths look at nothing behind them. int32 [-1], a number for each
        entry of flat x; None: what is padding in any dim has the value, which counts.
        """
        if any(site.run.pads(x, dim) for dim in x.dims if dim is not spatial[0]):
            return self.masked(site, x, value), None
        return x, self._flat_lengths(site, x, spatial, 0) if site.run.pads(x, spatial[0]) else None

    def _flat_lengths(self, site: Site, x: Data, spatial: list[Dim], i: int) -> Any:
        """Return int32 [-1], the lengths in dim i of flat x."""
        lengths = site.run.lengths_for(x, spatial[i])
        outer = x.dims[: -1 - len(spatial)]
        tensor = tf.reshape(lengths.tensor, [-1 if d in lengths.dims else 1 for d in outer])
        return tf.reshape(tf.broadcast_to(tensor, x.sizes()[: len(outer)]), [-1])

    def shaped(self, site: Site, x: Data, y: Any, new: list[Dim]) -> Data:
        """Return y [-1, spatial dims, feature] with the dims of x but for the new ones."""
        out = x
        for old, dim in zip(site.node.resolved["spatial"], new, strict=True):
            out = out.renamed(old, dim)
        others = x.sizes()[: len(x.dims) - len(new) - 1]
        shape = [*others, *tf.unstack(tf.shape(y)[1:-1]), y.shape[-1]]
        return replace(out, tensor=tf.reshape(y, shape))

    def finished(self, site: Site, x: Data, y: Any, new: list[Dim]) -> Data:
        """Return what `shaped` does, with zeros behind the ends."""
        return self.masked(site, self.shaped(site, x, y, new), 0.0)


@dataclass(frozen=True, kw_only=True)
class Windows(Spatial):
    """Windows over spatial dims, which do not depend on other sequences.

    padding "same", "same_static": ceil(frames / stride) windows; "valid": as many as lie within; a
    number, for all dims or for each: so many frames are put at both ends, then "valid". With "same"
    the windows lie around the middle of each sequence, where they lie in RETURNN if it is alone;
    among longer ones RETURNN puts them around the middle of the longest. strides: from window to
    window. dilation_rate: from frame to frame within a window.
    """

    padding: str | int | tuple[int, ...] = "valid"
    strides: int | tuple[int, ...] | None = None
    dilation_rate: int | tuple[int, ...] = 1

    def size(self) -> tuple[int, ...]:
        """Return the size of a window in each dim, in frames."""
        raise NotImplementedError

    def stride(self) -> tuple[int, ...]:
        """Return the step from window to window in each dim."""
        return self.each(1 if self.strides is None else self.strides)

    def each(self, value: int | tuple[int, ...]) -> tuple[int, ...]:
        """Return a value for each dim."""
        return (value,) * len(self.size()) if isinstance(value, int) else tuple(value)

    def check(self, site: Site, x: Data) -> list[Dim]:
        """Return the spatial dims; raises NetworkError where there are no windows over them."""
        sizes, strides, rates = self.size(), self.stride(), self.each(self.dilation_rate)
        if min([*sizes, *strides, *rates], default=0) < 1:
            raise site.error(f"found windows of {sizes} every {strides}, needed 1 or more")
        if not len(sizes) == len(strides) == len(rates):
            raise site.error(
                f"found windows of {sizes} every {strides}, dilated by {rates}, "
                "needed a number for each dim"
            )
        padding = self.padding.lower() if isinstance(self.padding, str) else self.padding
        if isinstance(padding, str) and padding not in _PADDINGS:
            raise site.error(f"unknown padding {self.padding!r}{nearest(padding, _PADDINGS)}")
        if not isinstance(padding, str):
            numbers = self.each(padding)
            if len(numbers) != len(sizes) or min(numbers) < 0:
                raise site.error(f"found padding {padding}, needed 0 or more for each of {sizes}")
        return self.find_spatial(site, x, len(sizes))

    def spans(self) -> tuple[int, ...]:
        """Return how many frames there are from the first to the last of a window."""
        rates = self.each(self.dilation_rate)
        return tuple((n - 1) * rate + 1 for n, rate in zip(self.size(), rates, strict=True))

    def before(self, i: int, frames: Any, *, dynamic: bool) -> Any:
        """Return how many frames are put before a sequence in dim i."""
        span, stride = self.spans()[i], self.stride()[i]
        if not isinstance(self.padding, str):
            return self.each(self.padding)[i]
        kind = self.padding.lower()
        if kind == "valid":
            return 0
        if stride == 1 or (kind == "same_static" and dynamic):  # whatever the number of frames
            return max(span - stride, 0) // 2
        most = max if isinstance(frames, int) else tf.maximum
        return most((self.count(i, frames) - 1) * stride + span - frames, 0) // 2

    def count(self, i: int, frames: Any) -> Any:
        """Return the number of windows in dim i."""
        stride = self.stride()[i]
        if isinstance(self.padding, str) and self.padding.lower() != "valid":
            return -(-frames // stride)
        more = 0 if isinstance(self.padding, str) else 2 * self.each(self.padding)[i]
        most = max if isinstance(frames, int) else tf.maximum
        return most(frames + more - self.spans()[i], -stride) // stride + 1

    def new_dims(self, spatial: list[Dim]) -> list[Dim]:
        """Return the dims of the windows."""
        return [
            self._inside(i, dim).strided(stride)
            for i, (dim, stride) in enumerate(zip(spatial, self.stride(), strict=True))
        ]

    def _inside(self, i: int, dim: Dim) -> Dim:
        """Return the dim of the frames at which a window may begin."""
        if not isinstance(self.padding, str):
            more = self.each(self.padding)[i]
            return dim.padded(more, more).within(self.spans()[i])
        return dim if self.padding.lower() != "valid" else dim.within(self.spans()[i])

    def plainly_same(self, spatial: list[Dim]) -> bool:
        """Return whether the frames at both ends are those of TensorFlow's padding "SAME"."""
        if not isinstance(self.padding, str) or self.padding.lower() == "valid":
            return False
        dims = zip(spatial, self.stride(), strict=True)
        return all(stride == 1 or dim.size is not None for dim, stride in dims)

    def places(self, site: Site, x: Data, spatial: list[Dim]) -> list[tuple[Any, Any]]:
        """Return for each spatial dim of flat x where its windows are.

        That is how many frames are put before a sequence, for all or as int32 [-1] for each entry
        of flat x, and how many windows there are: one or more, so that no layer ever sees an empty
        axis.
        """
        found = []
        for i, dim in enumerate(spatial):
            frames = x.sizes()[x.axis(dim)] if dim.size is None else dim.size
            lengths = self._lengths(site, x, spatial, i)
            if lengths is None:
                before = self.before(i, frames, dynamic=dim.dynamic)
            else:
                before = self.before(i, lengths, dynamic=True)
            most = max if isinstance(frames, int) else tf.maximum
            found.append((before, most(self.count(i, frames), 1)))
        return found

    def padded(self, site: Site, x: Data, spatial: list[Dim], value: float) -> Any:
        """Return [-1, spatial dims, feature] with the frames that the windows need at both ends."""
        x, tensor = self.flat(x, spatial)
        for i, (before, windows) in enumerate(self.places(site, x, spatial)):
            needed = (windows - 1) * self.stride()[i] + self.spans()[i]
            apart = tf.is_tensor(before) and before.shape.rank == 1
            # As many for all as the one with the most needs.
            first = (self.spans()[i] - 1) // 2 if apart else before
            behind = needed - tf.shape(tensor)[i + 1] - (0 if apart else before)
            paddings: list[Any] = [[0, 0]] * len(tensor.shape)
            paddings[i + 1] = [first, tf.maximum(behind, 0)]
            tensor = tf.pad(tensor, paddings, constant_values=value)
            if apart:
                frames = tf.range(needed) + (first - before)[:, None]
                tensor = tf.gather(tensor, frames, axis=i + 1, batch_dims=1)
        return tensor

    def _lengths(self, site: Site, x: Data, spatial: list[Dim], i: int) -> Any:
        """Return int32 [-1], those in dim i of flat x, if what is put before depends on them."""
        dim, span, stride = spatial[i], self.spans()[i], self.stride()[i]
        same = isinstance(self.padding, str) and self.padding.lower() == "same"
        if not same or not site.run.pads(x, dim) or (span - 1) // 2 == max(span - stride, 0) // 2:
            return None
        return self._flat_lengths(site, x, spatial, i)
