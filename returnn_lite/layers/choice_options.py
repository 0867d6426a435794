"""Which options of a choice go together."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from returnn_lite.site import Site

if TYPE_CHECKING:
    from returnn_lite.layers.choice import Choice


def check_options(site: Site) -> None:
    """Raise NetworkError for options of a choice that cannot be meant, or that exclude others."""
    layer: Choice = site.node.layer  # type: ignore[assignment]
    if layer.beam_size < 1:
        raise site.error(f"found beam_size {layer.beam_size}, needed at least 1")
    if len(site.node.sources) != 1:
        raise site.error(
            f"found {len(site.node.sources)} layers in 'from', needed one; "
            "try one choice for each, or a copy layer that joins them"
        )
    if layer.search and not site.node.scope.mode.search:
        raise site.error("found search True in a network without search; try Network(search=True)")
    if layer.input_type == "regression" and (layer.beam_size > 1 or layer.cheating):
        raise site.error("found input_type 'regression', needed beam_size 1, not cheating")
    _check_sampling(site, layer)
    _check_scores(site, layer)


def _check_sampling(site: Site, layer: Choice) -> None:
    if isinstance(layer.scheduled_sampling, Mapping):
        more = sorted(set(layer.scheduled_sampling) - {"gold_mixin_prob", "enable"})
        if more:
            raise site.error(f"found {more[0]!r} in scheduled_sampling; try 'gold_mixin_prob'")
    if not 0.0 <= layer.gold <= 1.0:
        raise site.error(f"found gold_mixin_prob {layer.gold}, needed 0 to 1")


def _check_scores(site: Site, layer: Choice) -> None:
    if layer.search is not False and layer.add_to_beam_scores is False:
        raise site.error(
            "found add_to_beam_scores False, needed search False: what is searched for counts"
        )
    if layer.cheating and layer.recombine is not None:
        raise site.error(
            "found cheating and recombine, needed one of them: the target is one of several "
            "hypotheses with its labels"
        )
    if layer.custom_score_combine is None:
        return
    if layer.search is False:
        raise site.error("found custom_score_combine with search False, needed a search")
    for option in ("prob_scale", "base_beam_score_scale"):
        if getattr(layer, option) != 1.0:
            raise site.error(
                f"found {option} with custom_score_combine, needed the factor in the function"
            )
