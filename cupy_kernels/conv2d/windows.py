"""How filters move over images."""

from __future__ import annotations

from dataclasses import astuple, dataclass
from pathlib import Path

SOURCE = Path(__file__).with_name("conv2d.cu")
Pair = tuple[int, int]


@dataclass(frozen=True, kw_only=True)
class Windows:
    """Rows and columns of each: what windows have, beside the size of a filter.

    size: how many there are. before: zeros that are thought of before each image. strides: from a
    window to the next. dilation: from one pixel of a window to the next.
    """

    size: Pair
    before: Pair = (0, 0)
    strides: Pair = (1, 1)
    dilation: Pair = (1, 1)

    def arguments(self, images: tuple[int, ...], filters: tuple[int, ...]) -> tuple[int, ...]:
        """Return the sizes that kernels have as their last arguments.

        images: [batch, height, width, in]. filters: [rows, columns, in, out].
        """
        steps = (*self.strides, *self.dilation, *self.before)
        return (*images, *self.size, filters[3], *filters[:2], *steps)

    def pairs(self) -> dict[str, Pair]:
        """Return what it has, by name."""
        names = ("size", "before", "strides", "dilation")
        return dict(zip(names, astuple(self), strict=True))
