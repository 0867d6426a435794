"""Scores that a function of the config combines, with the arguments that RETURNN gives to it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

from returnn_lite.beam import Beam
from returnn_lite.data import Data
from returnn_lite.dim import BATCH
from returnn_lite.lazy import tf
from returnn_lite.site import Site
from returnn_lite.view import DataView, LayerView


def combined(
    function: Callable[..., Any], site: Site, log_probs: Any, base: Any, parent: Beam, ended: Any
) -> Any:
    """Return float32 [batch, parent size, labels]: the scores that the function makes.

    It gets, by name: layer, a `LayerView` of the choice; scores_in, the log-probabilities [batch,
    parent size, labels]; scores_base, the scores of the hypotheses [batch, parent size, 1]; t, the
    step; end_flags, which of them are complete, bool [batch, parent size], whose log-probability is
    0 of label 0 and else -inf; batch_dim, scores_beam_in and base_beam_in, the sizes. log_probs,
    base: as scores_in and scores_base. ended: bool [batch * parent size].
    """
    node = site.node
    assert node.out is not None and node.out.sparse_dim is not None
    nodes = node.refs.get("explicit_search_sources", [])
    views: Any = [_view(site, n.path, site.data(n).in_beam(parent)) for n in nodes]
    wanted = node.layer.explicit_search_sources  # type: ignore[attr-defined]
    if isinstance(wanted, Mapping):
        views = dict(zip(wanted, views, strict=True))
    found = function(
        layer=_view(site, node.path, replace(node.out, beam=parent), views),
        scores_in=log_probs,
        scores_base=base,
        t=site.index,
        end_flags=tf.reshape(ended, [-1, parent.size]),
        batch_dim=site.run.batch,
        scores_beam_in=parent.size,
        base_beam_in=parent.size,
    )
    if not tf.is_tensor(found) or not found.shape.is_compatible_with(log_probs.shape):
        shown = found.shape if tf.is_tensor(found) else repr(found)
        raise site.error(
            f"found {shown} of custom_score_combine, needed scores [batch, hypotheses, labels], "
            f"{log_probs.shape}"
        )
    return found


def _view(site: Site, name: str, x: Data, sources: Any = None) -> LayerView:
    x = x.first(BATCH) if x.has_batch else x
    return LayerView(name, DataView(x, site.run), explicit_search_sources=sources)
