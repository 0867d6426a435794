"""Layers as functions of the config see them, in a run."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from returnn_lite.data import Data
from returnn_lite.lazy import tf
from returnn_lite.node import Node
from returnn_lite.view import DataView, LayerView, SearchChoices

if TYPE_CHECKING:
    from returnn_lite.site import Site


def seen(site: Site, node: Node, x: Data) -> LayerView:
    """Return a layer with its output x."""
    assert site.frame is not None
    scores = node.layer.scores_found(node, site.frame)
    choices = None if scores is None else SearchChoices(scores)
    return LayerView(node.path, DataView(x, site.run), choices)


def once_checked(site: Site) -> Data:
    """Return the output of the site's layer, behind what control_dependencies_on_output gives.

    Raises NetworkError where these are no operations.
    """
    node, frame = site.node, site.frame
    assert frame is not None and node.common.control_dependencies_on_output is not None
    x = frame.value(node)
    found = node.common.control_dependencies_on_output(seen(site, node, x))
    before = [
        op for op in (found if isinstance(found, list | tuple) else [found]) if op is not None
    ]
    for op in before:
        if not isinstance(op, tf.Operation | tf.Tensor):
            raise site.error(
                f"found {op!r} of control_dependencies_on_output, needed operations or tensors"
            )
    with tf.control_dependencies(before):
        return replace(x, tensor=tf.identity(x.tensor))
