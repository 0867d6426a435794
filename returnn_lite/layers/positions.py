"""Encodings of positions in a sequence, or in a loop, as sinusoids or learnt."""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace
from typing import Any

from returnn_lite.beam import latest
from returnn_lite.data import Data, common, fitted
from returnn_lite.dim import BATCH, Dim
from returnn_lite.layers.base import Layer, register
from returnn_lite.layers.out_type import typed
from returnn_lite.lazy import tf
from returnn_lite.naming import meant
from returnn_lite.node import Node
from returnn_lite.site import Site


def sinusoids(position: Any, channels: int) -> Any:
    """Return float [..., channels]: sin and then cos of position / 10000^(i / (channels/2 - 1)).

    position: int [...]. Vaswani et al. (2017), section 3.5, with sine and cosine not interleaved.
    """
    scales = channels // 2
    step = math.log(1e4) / max(scales - 1, 1)
    inverse = tf.exp(-step * tf.range(scales, dtype=tf.float32))
    angle = tf.cast(position, tf.float32)[..., None] * inverse
    parts = [tf.sin(angle), tf.cos(angle)]
    if channels % 2:
        parts.append(tf.zeros_like(tf.cast(position, tf.float32))[..., None])
    return tf.concat(parts, axis=-1)


@dataclass(frozen=True, kw_only=True)
class _Positions(Layer):
    """What layers of positions share: they count frames of a sequence, or steps of a loop."""

    def steps(self, node: Node) -> bool:
        """Return whether it counts the steps of a loop, rather than frames of its input."""
        return node.resolved.get("over") is None

    def counted(self, site: Site, x: Data) -> None:
        """Find out what is counted. Raises NetworkError where there is nothing."""
        if x.time_dim is None and site.node.loop is None:
            raise site.error(f"found source {x}, needed a time dim")
        site.node.resolved["over"] = x.time_dim


@register("positional_encoding")
@dataclass(frozen=True, kw_only=True)
class PositionalEncoding(_Positions):
    """Sinusoids of the position in time, or of the step of a loop; see `sinusoids`.

    in: float [..., time, ..., n]; out: float [..., time, ..., n_out]. add_to_input: added to the
    input, with its size. constant: this position everywhere, where it is not negative. offset: an
    int layer that is added to positions. out_type: see `typed`.
    """

    refs = ("offset",)
    out_type: dict[str, Any] = field(default_factory=dict)
    n_out: int | None = None
    add_to_input: bool = False
    constant: int = -1
    offset: str | None = None

    def infer(self, site: Site) -> Data:
        """Return the template [..., n_out]."""
        x = site.source
        self.counted(site, x)
        if self.offset is not None and not site.ref("offset").dtype.startswith("int"):
            raise site.error(f"found offset {site.ref('offset')}, needed whole numbers; try 'cast'")
        size = x.feature_dim.size if x.feature_dim is not None else None
        if self.n_out is None and size is None:
            raise site.error(f"found neither n_out nor a feature dim of {x}, needed one of them")
        if self.add_to_input:
            if size is None or self.n_out not in (None, size):
                raise site.error(f"found n_out {self.n_out} to add to {x}, needed its feature dim")
            return typed(site, x, self.out_type)
        out = x.with_feature(site.feature(self.n_out or int(size or 0)))
        out = out if out.has_batch else replace(out, dims=(BATCH, *out.dims))
        return typed(site, out, self.out_type)

    def first_state(self, site: Site) -> dict[str, Data]:
        """Return the position before the first step, where it counts steps."""
        if not self.steps(site.node) or self.constant >= 0:
            return {}
        like = Data(name=site.node.path, dims=(BATCH,), dtype="int32")
        return {"position": site.constant(-1, like)}

    def call(self, site: Site) -> Data:
        """Return the encoding of every position, or that of a step."""
        x = site.source
        over = site.node.resolved["over"] or site.axis
        if over is not None:
            x = site.over(x, over)
        position = self._position(site, x, over)
        if self.offset is not None:
            aligned = common([site.ref("offset"), position])
            tensor = aligned[0].tensor + aligned[1].tensor
            position = replace(aligned[0], tensor=tensor)
        template = site.node.out
        assert template is not None and template.feature_dim is not None
        feature = template.feature
        signal = Data(
            name=x.name,
            dims=(*position.dims, feature),
            feature_dim=feature,
            beam=position.beam,
            tensor=sinusoids(position.tensor, feature.size or 0),
        )
        if self.add_to_input:
            first, second = common([x, signal])
            return replace(first, time_dim=x.time_dim, tensor=first.tensor + second.tensor)
        x = x if x.has_batch else site.over(x, BATCH)
        beam = latest([x.beam, signal.beam])
        x, signal = x.in_beam(beam), signal.in_beam(beam)
        out = x.with_feature(feature)
        sizes = dict(zip(x.dims, x.sizes(), strict=True))
        shape = [sizes.get(d, d.size) for d in out.dims]
        return replace(out, tensor=tf.broadcast_to(fitted(signal, out).tensor, shape))

    def _position(self, site: Site, x: Data, over: Dim | None) -> Data:
        """Return the positions: int32 [time] or, in a step, [batch]."""
        name = site.node.path
        if self.constant >= 0:
            return Data(name=name, dims=(), dtype="int32", tensor=tf.constant(self.constant))
        if over is not None:
            steps = tf.range(tf.shape(x.tensor)[x.axis(over)])
            return Data(name=name, dims=(over,), dtype="int32", tensor=steps)
        before = site.state("position")
        position = replace(before, tensor=before.tensor + 1)
        site.set_state("position", position)
        return position


@register("relative_positional_encoding")
@dataclass(frozen=True, kw_only=True)
class RelativePositionalEncoding(_Positions):
    """A vector for each pair of a query and a key, by how far the key is from the query.

    in: float [..., time, ...], of which only the length counts, or in a loop anything; out: float
    [queries, keys, n_out] or, in a step, [keys, n_out] for this step and those before.
    query_spatial_dim, key_value_spatial_dim: the dims of both, by default time. query_offset: the
    position of the first query, or of that of a step, where it is not that of the first key, or the
    step. clipping: beyond this distance all are alike. fixed: `sinusoids` rather than the parameter
    encoding_matrix [2 clipping + 1, n_out]. Shaw et al. (2018), section 3.2.
    """

    n_out: int
    query_spatial_dim: Dim | str = ""
    key_value_spatial_dim: Dim | str = ""
    query_offset: int | None = None
    clipping: int = 16
    fixed: bool = False
    forward_weights_init: Any = "glorot_uniform"

    def infer(self, site: Site) -> Data:
        """Return the template [queries, keys, n_out], or [keys, n_out]."""
        x = site.source
        queries = self._given(site, x, "query_spatial_dim")
        if queries is None:
            self.counted(site, x)
            queries = x.time_dim
        site.node.resolved["over"] = queries
        site.node.resolved["keys"] = self._keys(site, x, queries)
        if self._masked(site.node):
            raise site.error(
                "found it in a masked_computation in a loop, where steps are no distances; "
                "try positional_encoding"
            )
        if self.clipping < 0:
            raise site.error(f"found clipping {self.clipping}, needed 0 or more")
        if not self.fixed:
            shape = (2 * self.clipping + 1, self.n_out)
            site.param("encoding_matrix", shape, self.forward_weights_init)
        return self._out(site, queries)

    def _given(self, site: Site, x: Data, option: str) -> Dim | None:
        """Return the dim of an option, which x may lack; None where there is none."""
        word: Any = getattr(self, option)
        if word == "":
            return None
        if isinstance(word, Dim) and not any(map(word.means, x.dims)):
            (found,) = meant(site, [word])
            assert isinstance(found, Dim)
            return found
        return site.axis_of(word, x, option)

    def _keys(self, site: Site, x: Data, queries: Dim | None) -> Dim:
        """Return the dim of the keys: one of its own where it would be that of the queries."""
        keys = self._given(site, x, "key_value_spatial_dim")
        if keys is None and queries is not None:
            keys = x.time_dim
        if keys is not None and keys is not queries:
            return keys
        return site.node.dim("spatial", "keys", None if queries is None else queries.size)

    def _masked(self, node: Node) -> bool:
        """Whether a masked_computation in the loop selects the steps."""
        scope = node.scope
        while node.loop is not None and scope is not node.loop.scope:
            if scope.owner is None or scope.parent is None:
                return False
            if scope.owner.layer.layer_class == "masked_computation":
                return True
            scope = scope.parent
        return False

    def _out(self, site: Site, queries: Dim | None) -> Data:
        keys: Dim = site.node.resolved["keys"]
        feature = site.feature(self.n_out)
        return Data(
            name=site.node.path,
            dims=(keys, feature) if queries is None else (queries, keys, feature),
            feature_dim=feature,
            time_dim=keys if queries is None else queries,
        )

    def call(self, site: Site) -> Data:
        """Return the vectors."""
        x = site.sources[0]
        over = site.node.resolved["over"] or site.axis
        out = self._out(site, over)
        queries, keys = self._positions(site, x, over, out.dims[-2])
        if over is not None:
            queries = queries[:, None]
        distance = tf.clip_by_value(keys - queries, -self.clipping, self.clipping)
        return replace(out, tensor=tf.gather(self._matrix(site), distance + self.clipping))

    def _matrix(self, site: Site) -> Any:
        """Return the vectors of the distances from -clipping to clipping."""
        if self.fixed:
            return sinusoids(tf.range(2 * self.clipping + 1), self.n_out)
        return site.param("encoding_matrix", (), None)

    def by_distance(self, site: Site, frames: Dim) -> Any:
        """Return float [2 clipping + 1, n_out], of which `call` makes the vectors of all pairs.

        None where queries and keys are others than these frames, or counted from elsewhere, and
        where another option changes the vectors.
        """
        node = site.node
        checked = node.common.control_dependencies_on_output is not None
        if checked or self.query_offset or not node.plain(self.layer_class, dropout=True):
            return None
        keys: Dim = node.resolved["keys"]
        own = keys is node.dim("spatial", "keys", keys.size)
        over = node.resolved["over"] or site.axis
        if over is not frames or not own:
            return None
        return tf.ensure_shape(self._matrix(site), [2 * self.clipping + 1, self.n_out])

    def _positions(self, site: Site, x: Data, over: Dim | None, dim: Dim) -> tuple[Any, Any]:
        """Return the positions of the queries, or of that of a step, and those of the keys."""
        own = dim is site.node.dim("spatial", "keys", dim.size)
        if over is None:
            count, queries = site.index + 1, site.index
            queries = queries if self.query_offset is None else self.query_offset
        else:
            count = tf.shape(x.tensor)[x.axis(over)] if over in x.dims else site.run.entries(over)
            queries = tf.range(count) + (self.query_offset or 0)
        if own and over is not None and over.dynamic:
            site.run.lengths[dim] = site.run.lengths[over]
        elif own and over is not None and dim.dynamic:
            site.run.set_lengths(dim, tf.fill([site.run.batch], over.size))
        return queries, tf.range(count if own else site.size(dim))
