"""What is known of the hypotheses that a choice keeps: their scores, and what they continue."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

from returnn_lite.beam import Beam
from returnn_lite.data import Data
from returnn_lite.dim import BATCH
from returnn_lite.layers.base import Layer, register
from returnn_lite.lazy import tf
from returnn_lite.node import Node
from returnn_lite.site import Site


@dataclass(frozen=True, kw_only=True)
class OfBeam(Layer):
    """A number for each hypothesis of the beam of the input, in a search."""

    default_from = ()
    dtype = "float32"

    def value(self, site: Site, beam: Beam) -> Any:
        """Return the numbers [batch, beam]."""
        raise NotImplementedError

    def stays(self, node: Node) -> bool:
        """Return True: the hypotheses are those of a step."""
        return True

    def infer(self, site: Site) -> Data:
        """Return the template [batch]."""
        if not site.node.scope.mode.search:
            raise site.error("found no search, needed one; try only_on_search")
        if len(site.node.sources) != 1:
            raise site.error(f"found {len(site.node.sources)} sources, needed one")
        return Data(name=site.node.path, dims=(BATCH,), dtype=self.dtype, tensor=None)

    def call(self, site: Site) -> Data:
        """Return the numbers."""
        beam = site.source.beam
        if beam is None:
            raise site.error(f"found source {site.source} without hypotheses, needed a choice's")
        assert site.node.out is not None
        numbers = tf.reshape(self.value(site, beam), [-1])
        return replace(site.node.out, beam=beam, tensor=numbers)


@register("choice_get_beam_scores")
@dataclass(frozen=True, kw_only=True)
class ChoiceGetBeamScores(OfBeam):
    """The scores of the hypotheses after the choice that the input depends on: float32 [batch]."""

    def value(self, site: Site, beam: Beam) -> Any:
        """Return the scores."""
        return beam.scores


@register("choice_get_src_beams")
@dataclass(frozen=True, kw_only=True)
class ChoiceGetSrcBeams(OfBeam):
    """Which hypothesis of the choice before each one continues: int32 [batch]; in a loop."""

    dtype = "int32"

    def value(self, site: Site, beam: Beam) -> Any:
        """Return the places in the beam before."""
        if beam.source is None:
            raise site.error(f"found {beam} of no choice of this step, needed such; try its layer")
        return beam.source
