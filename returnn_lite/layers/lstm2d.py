"""The 2D LSTM over pairs of source and target positions."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, Literal

from returnn_lite import native
from returnn_lite.beam import latest
from returnn_lite.data import Data
from returnn_lite.dim import BATCH, Dim
from returnn_lite.infer import Unknown
from returnn_lite.layers.base import Layer, register
from returnn_lite.lazy import tf
from returnn_lite.node import Node
from returnn_lite.site import Site


@register("twod_lstm")
@dataclass(frozen=True, kw_only=True)
class TwoDLstm(Layer):
    """2D LSTM (Voigtlaender et al., 2016; Bahar et al., 2018), pooled over the source.

    from: the source, float [batch, source, in], and the target, float [batch, target, in2] or, in a
    loop, one step of it [batch, in2]; out: the dims of the target, n_out. A cell sees those before
    it in both dims. pooling: "last" of each source sequence, "max", "average", or
    "weighted", a softmax of energies; padding does not count. size_target: without effect, as in
    RETURNN where n_out is given. forward_weights_init, recurrent_weights_init: of all matrices; the
    second one counts more. Parameters rec-twod/W_re [in + in2, 5 n_out], rec-twod/Vh_re and
    rec-twod/Vv_re [n_out, 5 n_out], and with "weighted" rec-twod/W_att [in2, n_out]; no bias.
    """

    n_out: int
    pooling: Literal["last", "max", "average", "weighted"] = "last"
    size_target: str | None = None
    forward_weights_init: Any = None
    recurrent_weights_init: Any = None

    def steps(self, node: Node) -> bool:
        """Return whether the target is that of a step."""
        return node.resolved.get("over") is None

    def stays(self, node: Node) -> bool:
        """Return whether it is over a target sequence for each of the batch."""
        return not self.steps(node)

    def infer(self, site: Site) -> Data:
        """Return the template of the target with n_out features."""
        node = site.node
        if len(node.sources) != 2:
            raise site.error(f"found {len(node.sources)} sources, needed source and target")
        if len(site.sources) < 2:
            raise Unknown(node)
        source, target = site.sources
        dims = {BATCH, source.time_dim, source.feature_dim}
        if source.time_dim is None or source.feature_dim is None or set(source.dims) != dims:
            raise site.error(f"found source {source}, needed [batch, time, feature]")
        over = target.time_dim
        known = {BATCH, over, target.feature_dim} - {None}
        if target.feature_dim is None or not target.has_batch or set(target.dims) != known:
            raise site.error(f"found target {target}, needed [batch, time, feature]")
        if over is None and node.loop is None:
            raise site.error(f"found target {target}, needed a time dim")
        node.resolved |= {"source": source.time_dim, "over": over}
        sizes, n = (source.feature_size, target.feature_size), self.n_out
        init = self.recurrent_weights_init or self.forward_weights_init or "glorot_uniform"
        site.param("rec-twod/W_re", (sum(sizes), 5 * n), init)
        site.param("rec-twod/Vh_re", (n, 5 * n), init)
        site.param("rec-twod/Vv_re", (n, 5 * n), init)
        if self.pooling == "weighted":
            site.param("rec-twod/W_att", (sizes[1], n), init)
        return target.with_feature(site.feature(n))

    def _row(self, site: Site) -> tuple[Dim, Dim, Dim]:
        """Return the dims of a row."""
        return site.node.resolved["source"], BATCH, site.feature(self.n_out)

    def first_state(self, site: Site) -> dict[str, Data]:
        """Return the row before the first step, where it runs over the loop: zeros."""
        if not self.steps(site.node):
            return {}
        like = Data(name=site.node.path, dims=self._row(site))
        return {key: site.constant(0, like) for key in ("cells", "outputs")}

    def call(self, site: Site) -> Data:
        """Return the pooled rows, of all target positions or of one."""
        source, target = site.sources
        over = site.node.resolved["over"] or site.axis
        beam = latest([source.beam, target.beam])
        along: Dim = site.node.resolved["source"]
        source, target = (site.over(d, BATCH).in_beam(beam) for d in (source, target))
        assert target.feature_dim is not None and source.feature_dim is not None
        # In a loop that it has left, the source too may differ from step to step.
        steps = [d for d in source.dims if d not in (along, BATCH, source.feature_dim)]
        source = source.ordered([*steps, along, BATCH, source.feature_dim])
        if over is not None:
            target = site.over(target, over).ordered([over, BATCH, target.feature_dim])
        z = self._inputs(site, source.tensor, target.tensor)
        if over is None:
            grid = self._step(site, z, along, beam)[None]
            y = self._pooled(site, grid, target.tensor[None], along, beam)[0]
        else:
            lengths = (_lengths(site, d, beam, z, i) for i, d in enumerate((over, along)))
            grid = native.lstm2d(z, *self._matrices(site), *lengths)
            y = self._pooled(site, grid, target.tensor, along, beam)
        out = target.with_feature(site.feature(self.n_out))
        return site.as_output(replace(out, beam=beam, tensor=y))

    def _matrices(self, site: Site) -> tuple[Any, Any]:
        return site.param("rec-twod/Vh_re", (), None), site.param("rec-twod/Vv_re", (), None)

    def _inputs(self, site: Site, source: Any, target: Any) -> Any:
        """Return [target, source, batch, 5 n_out], or without the first dim in a step."""
        w, size = site.param("rec-twod/W_re", (), None), source.shape[-1]
        return (
            tf.tensordot(source, w[:size], 1) + tf.tensordot(target, w[size:], 1)[..., None, :, :]
        )

    def _step(self, site: Site, z: Any, along: Dim, beam: Any) -> Any:
        """Return the outputs of one row, and keep it."""
        row = self._row(site)
        below = [site.state(k).in_beam(beam).ordered(row).tensor for k in ("outputs", "cells")]
        lengths = _lengths(site, along, beam, z, 0)
        y, c = native.lstm2d_row(z, *self._matrices(site), below[0], below[1], lengths)
        for key, tensor in (("outputs", y), ("cells", c)):
            data = Data(name=site.node.path, dims=row, beam=beam, tensor=tensor)
            site.set_state(key, data)
        return y

    def _pooled(self, site: Site, grid: Any, target: Any, along: Dim, beam: Any) -> Any:
        """Return [target, batch, n_out] of [target, source, batch, n_out]."""
        lengths = _lengths(site, along, beam, grid, 1)
        columns = tf.range(tf.shape(grid)[1])[None, :, None, None]
        if self.pooling == "last":
            last = tf.maximum(lengths - 1, 0)[None, None, :, None]
            return tf.reduce_sum(tf.where(columns == last, grid, 0.0), axis=1)
        inside = columns < lengths[None, None, :, None]
        if self.pooling == "average":
            count = tf.cast(tf.maximum(lengths, 1), grid.dtype)[None, :, None]
            return tf.reduce_sum(grid, axis=1) / count
        some = (lengths > 0)[None, :, None]
        if self.pooling == "max":
            return tf.where(some, tf.reduce_max(tf.where(inside, grid, -1.0), axis=1), 0.0)
        query = tf.tensordot(target, site.param("rec-twod/W_att", (), None), 1)
        energies = tf.einsum("tbn,tsbn->tsb", query, grid)[..., None]
        weights = tf.nn.softmax(tf.where(inside, energies, energies.dtype.min), axis=1)
        return tf.reduce_sum(weights * grid, axis=1)


def _lengths(site: Site, dim: Dim, beam: Any, like: Any, axis: int) -> Any:
    """Return int32 [batch]: the lengths of a dim, which is an axis of a tensor [..., batch, n]."""
    if dim.dynamic:
        return site.run.lengths_of(dim, beam)
    return tf.fill([tf.shape(like)[-2]], tf.shape(like)[axis])
