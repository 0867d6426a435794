"""The log-probability of what a choice chose, as a part of it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from returnn_lite.data import Data
from returnn_lite.dim import BATCH
from returnn_lite.layers.base import Layer
from returnn_lite.lazy import tf
from returnn_lite.node import Node
from returnn_lite.site import Site

if TYPE_CHECKING:
    from returnn_lite.layers.choice import Choice


@dataclass(frozen=True, kw_only=True)
class ChoiceLogProb(Layer):
    """The log-probability of the label of a choice: float32 [batch]; of what is complete, 0."""

    layer_class = "choice_log_prob"

    def needs(self, node: Node) -> Iterable[Node]:
        """Yield the choice, and what it chooses by."""
        (choice,) = node.sources
        yield choice
        yield from choice.sources

    def stays(self, node: Node) -> bool:
        """Return whether hypotheses end while it runs."""
        return node.scope.mode.search

    def infer(self, site: Site) -> Data:
        """Return the template [batch]."""
        return Data(name=site.node.path, dims=(BATCH,))

    def call(self, site: Site) -> Data:
        """Return the log-probabilities."""
        (choice,) = site.node.sources
        layer: Choice = choice.layer  # type: ignore[assignment]
        label = site.over(site.data(choice), BATCH)
        x = site.of(choice).source.in_beam(label.beam)
        x = x.ordered([*(d for d in label.dims if d in x.dims), x.feature])
        x = replace(x, tensor=layer.log_probs(x))
        for dim in label.dims:
            x = site.over(x, dim)
        x = x.ordered([*label.dims, x.feature])
        found = tf.gather(x.tensor, label.tensor, batch_dims=len(label.dims))
        if site.frame is not None and site.frame.search is not None:
            found = tf.where(site.search.ended.in_beam(label.beam).tensor, 0.0, found)
        out = replace(label, dtype="float32", sparse_dim=None, tensor=found)
        return site.as_output(out)
