"""The stages of a recipe as a drawing: boxes in layers, each below what it reads.

Layers by longest paths, and an order within them that crosses few lines, by barycentres (Sugiyama,
Tagawa and Toda 1981).
"""

from __future__ import annotations

import graphlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise

BOX, HIGH, GAP, BEND, STEP, SWEEPS = 132, 38, 14, 8, 74, 12


@dataclass
class Box:
    """A stage, or, without a name, where a line passes a layer. x: its middle, in pixels."""

    name: str
    layer: int
    above: list[Box] = field(default_factory=list)
    below: list[Box] = field(default_factory=list)
    x: float = 0.0

    @property
    def width(self) -> int:
        return BOX if self.name else BEND

    @property
    def y(self) -> int:
        """Its top, in pixels."""
        return self.layer * STEP


@dataclass(frozen=True)
class Drawing:
    """Boxes with a name, and the paths of lines between them as (from, to, path of SVG)."""

    boxes: Sequence[Box]
    lines: Sequence[tuple[str, str, str]]
    width: int
    height: int


def draw(sources: Mapping[str, Sequence[str]]) -> Drawing:
    """Return the drawing of stages; sources: what each of them reads.

    A line that follows from others is left out: where b reads a and c reads both, that from a to c.
    """
    sources = _reduced(sources)
    boxes = _placed(sources)
    chains = []
    layers: list[list[Box]] = [
        [] for _ in range(1 + max((b.layer for b in boxes.values()), default=0))
    ]
    for box in boxes.values():
        layers[box.layer].append(box)
    for name, read in sources.items():
        for source in read:
            chain = [boxes[source]]
            for layer in range(boxes[source].layer + 1, boxes[name].layer):
                chain.append(Box("", layer))
                layers[layer].append(chain[-1])
            chain.append(boxes[name])
            for upper, lower in pairwise(chain):
                upper.below.append(lower)
                lower.above.append(upper)
            chains.append(chain)
    width = _arrange(layers)
    lines = [(c[0].name, c[-1].name, _path(c)) for c in chains]
    return Drawing([*boxes.values()], lines, round(width), len(layers) * STEP - STEP + HIGH)


def _reduced(sources: Mapping[str, Sequence[str]]) -> dict[str, list[str]]:
    """Return the least sources from which all others follow (transitive reduction)."""
    above: dict[str, set[str]] = {}
    for name in graphlib.TopologicalSorter(sources).static_order():
        above[name] = {a for s in sources[name] for a in (s, *above[s])}
    return {
        name: [s for s in dict.fromkeys(read) if not any(s in above[other] for other in read)]
        for name, read in sources.items()
    }


def _placed(sources: Mapping[str, Sequence[str]]) -> dict[str, Box]:
    """Return a box for each stage: below all that it reads, and near to what reads it."""
    layer: dict[str, int] = {}
    order = [*graphlib.TopologicalSorter(sources).static_order()]
    for name in order:
        layer[name] = max((layer[s] + 1 for s in sources[name]), default=0)
    for name in reversed(order):
        readers = [layer[n] for n, read in sources.items() if name in read]
        if readers:
            layer[name] = min(readers) - 1
    return {name: Box(name, layer[name]) for name in sources}


def _arrange(layers: Sequence[list[Box]]) -> float:
    """Order the boxes of each layer and give them their places; return the width of all."""
    for boxes in layers:
        _spread(boxes)
    for sweep in range(SWEEPS):
        down = sweep % 2 == 0
        for boxes in layers if down else reversed(layers):
            wanted = {id(b): _middle(b.above if down else b.below, b.x) for b in boxes}
            boxes.sort(key=lambda b: wanted[id(b)])
            _spread(boxes, [wanted[id(b)] for b in boxes])
    left = min((b.x - b.width / 2 for boxes in layers for b in boxes), default=0.0)
    for boxes in layers:
        for box in boxes:
            box.x = round(box.x - left, 1)
    return max((b.x + b.width / 2 for boxes in layers for b in boxes), default=0.0)


def _middle(near: Sequence[Box], otherwise: float) -> float:
    return sum(b.x for b in near) / len(near) if near else otherwise


def _spread(boxes: Sequence[Box], wanted: Sequence[float] | None = None) -> None:
    """Place boxes in their order without overlap, each as near to where it is wanted as may be.

    The nearest places in least squares: neighbours that would overlap form blocks, each at the mean
    of what its boxes want (isotonic regression by pooling adjacent violators).
    """
    if not boxes:
        return
    offsets = [0.0]
    for a, b in pairwise(boxes):
        offsets.append(offsets[-1] + (a.width + b.width) / 2 + GAP)
    aims = [-offsets[-1] / 2] * len(boxes)  # in the middle of the drawing
    if wanted is not None:
        aims = [w - o for w, o in zip(wanted, offsets, strict=True)]
    blocks: list[tuple[float, int]] = []  # mean, boxes
    for aim in aims:
        blocks.append((aim, 1))
        while len(blocks) > 1 and blocks[-2][0] > blocks[-1][0]:
            (one, m), (other, n) = blocks[-2:]
            blocks[-2:] = [((one * m + other * n) / (m + n), m + n)]
    means = [mean for mean, size in blocks for _ in range(size)]
    for box, mean, offset in zip(boxes, means, offsets, strict=True):
        box.x = mean + offset


def _path(chain: Sequence[Box]) -> str:
    """Return a line through a chain, from the bottom of the first box to the top of the last."""
    parts = [f"M{chain[0].x},{chain[0].y + HIGH}"]
    for upper, lower in pairwise(chain):
        start, end = upper.y + HIGH, lower.y
        half = (start + end) / 2
        parts.append(f"C{upper.x},{half} {lower.x},{half} {lower.x},{end}")
        if not lower.name:
            parts.append(f"V{end + HIGH}")
    return "".join(parts)
