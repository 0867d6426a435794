"""Layers over the frames so far: window, running sum; in a loop from step to step."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Any, Literal

from returnn_lite.axes import batch_major
from returnn_lite.data import Data
from returnn_lite.dim import BATCH, Dim
from returnn_lite.infer import template_of
from returnn_lite.initial_output import initial_output
from returnn_lite.layers.base import Layer, register
from returnn_lite.lazy import tf
from returnn_lite.node import Node
from returnn_lite.site import Site


@dataclass(frozen=True, kw_only=True)
class Running(Layer):
    """What window and cumsum share: over a dim of the input, or over the steps of the loop around.

    axis: "T" of an input without time, the Dim of the loop and single_step_dim mean the steps, with
    a hidden state `state`.
    """

    axis: Any = "T"

    def over(self, site: Site, x: Data) -> Dim | None:
        """Return the dim that the layer runs over; None where it makes one step."""
        return site.axis if site.over_steps(self.axis, x) else site.axis_of(self.axis, x)

    def steps(self, node: Node) -> bool:
        """Return whether it runs over the steps of a loop."""
        return bool(node.resolved.get("over_steps", node.loop is not None))


@register("window")
@dataclass(frozen=True, kw_only=True)
class Window(Running):
    """For each frame, the frames around it: a dim of window_size behind the time dim.

    window_dim: a Dim by which others may name that of a window, and which may say its size.
    window_left, window_right: how many of them are before and behind it; by default one half is
    behind. stride: only every so-many-th window. padding "valid": only windows within the sequence;
    "same": zeros beyond its ends. Over the steps of a loop, window_right is 0. out_spatial_dim: a
    Dim by which others may name the dim of the windows.
    """

    window_size: int | None = None
    window_left: int | None = None
    window_right: int | None = None
    stride: int = 1
    padding: Literal["same", "valid"] = "same"
    window_dim: Dim | None = None
    out_spatial_dim: Dim | None = None

    @property
    def _size(self) -> int:
        """How many frames a window has; 0 where nothing says it."""
        named = self.window_dim.size if self.window_dim is not None else None
        return (named or 0) if self.window_size is None else self.window_size

    def _left(self) -> int:
        """Return how many frames of a window are before its own."""
        if self.window_left is not None:
            return self.window_left
        right = self._size // 2 if self.window_right is None else self.window_right
        return self._size - right - 1

    def _new(self, dim: Dim) -> Dim:
        """Return the dim of the windows."""
        if self.padding == "valid":
            dim = dim.within(self._size)
        return dim.strided(self.stride)

    def infer(self, site: Site) -> Data:
        """Return the template with the dim of the frames of a window."""
        x, size = site.source, self._size
        x = x.ordered(batch_major(x))
        if not size:
            raise site.error(
                f"found window_size {self.window_size} and window_dim {self.window_dim}, needed "
                "one, or a window_dim that has a size"
            )
        left, right = self._left(), self.window_right
        if (
            size < 1
            or self.stride < 1
            or not 0 <= left < size
            or right not in (None, size - left - 1)
        ):
            raise site.error(
                f"found window_size {size}, window_left {self.window_left}, window_right "
                f"{right}, stride {self.stride}, needed window_left + 1 + window_right in all"
            )
        window = site.node.dim("spatial", "window", size)
        if site.over_steps(self.axis, x):
            given = self.window_left is not None or right is not None
            given = given and self.out_spatial_dim is None
            if not given or left != size - 1 or self.stride != 1 or self.padding != "same":
                raise site.error("found a window over the steps of a loop, needed window_right 0")
            at = int(x.has_batch)
            return x.with_dims([*x.dims[:at], window, *x.dims[at:]])
        axis = site.axis_of(self.axis, x)
        if axis is BATCH or (self.padding == "valid" and (self.window_left or right) is not None):
            raise site.error(f"found axis {axis} of {x}, needed no batch; no sides for 'valid'")
        at, new = x.axis(axis) + 1, self._new(axis)
        site.node.resolved["made"] = {"window_dim": [window], "out_spatial_dim": [new]}
        out = x.with_dims([*x.dims[:at], window, *x.dims[at:]])
        return out.renamed(axis, new)

    def first_state(self, site: Site) -> dict[str, Data]:
        """Return the window before the first step: zeros."""
        if not site.node.resolved["over_steps"]:
            return {}
        return {"state": site.constant(0, template_of(site.node))}

    def call(self, site: Site) -> Data:
        """Return the windows."""
        x = site.source
        axis, window = self.over(site, x), site.node.dim("spatial", "window", self._size)
        if axis is None:
            before = site.state("state").first(window)
            frame = x.ordered(before.dims[1:]) if len(x.dims) else x
            tensor = tf.concat([before.in_beam(x.beam).tensor[1:], frame.tensor[None]], axis=0)
            state = site.as_output(replace(frame, dims=before.dims, tensor=tensor))
            site.set_state("state", state)
            return state
        if site.node.resolved["over_steps"]:
            x = site.over(x, axis)
        x = site.run.masked(x, axis).first(axis)
        same = self.padding == "same"
        left = self._left() if same else 0
        frames = tf.shape(x.tensor)[0]
        right = self._size - 1 - left if same else tf.maximum(self._size - frames, 0)
        padded = tf.pad(x.tensor, [[left, right], *[[0, 0]] * (len(x.dims) - 1)])
        starts = tf.shape(padded)[0] - self._size + 1
        parts = [padded[i : i + starts : self.stride] for i in range(self._size)]
        new = self._new(axis) if not site.node.resolved["over_steps"] else axis
        out = replace(x.renamed(axis, new), tensor=tf.stack(parts, axis=0))
        return site.as_output(replace(out, dims=(window, *out.dims)))


@register("cumsum")
@dataclass(frozen=True, kw_only=True)
class Cumsum(Running):
    """The sum of the frames so far, this one included.

    additional_left_summand_per_element: added to every frame. reverse: from the end. Over the steps
    of a loop it begins with initial_output. n_out: size of the feature dim, for the reader.
    """

    n_out: int | None = None
    additional_left_summand_per_element: float | None = None
    reverse: bool = False

    def infer(self, site: Site) -> Data:
        """Return the template of the input."""
        x = site.source
        if x.dtype == "bool":
            raise site.error(f"found source {x}, needed numbers")
        if site.over_steps(self.axis, x):
            if self.reverse:
                raise site.error("found reverse over the steps of a loop, needed an axis")
        elif site.axis_of(self.axis, x) is BATCH:
            raise site.error(f"found the batch of {x} as axis, needed another")
        site.check_size(x, self.n_out)
        return x

    def begins_with(self, node: Node) -> Iterable[Node]:
        """Yield the layer itself, over the steps of a loop."""
        if node.resolved["over_steps"]:
            yield node

    def first_state(self, site: Site) -> dict[str, Data]:
        """Return the sum before the first step."""
        if not site.node.resolved["over_steps"]:
            return {}
        return {"state": initial_output(site, site.node)}

    def call(self, site: Site) -> Data:
        """Return the sums."""
        x = site.source
        axis = self.over(site, x)
        if self.additional_left_summand_per_element is not None:
            more = tf.cast(self.additional_left_summand_per_element, x.tensor.dtype)
            x = replace(x, tensor=more + x.tensor)
        if axis is None:
            before = site.state("state").in_beam(x.beam).ordered(x.dims)
            x = replace(x, tensor=before.tensor + x.tensor)
            site.set_state("state", x)
            return x
        steps = site.node.resolved["over_steps"]
        x = site.over(x, axis) if steps else x
        if self.reverse:
            x = site.run.masked(x, axis)
        x = replace(x, tensor=tf.cumsum(x.tensor, axis=x.axis(axis), reverse=self.reverse))
        if not steps:
            return site.as_output(x)
        start = initial_output(site, site.node).in_beam(x.beam)
        x = x.first(axis)
        return site.as_output(replace(x, tensor=x.tensor + start.ordered(x.dims[1:]).tensor[None]))
