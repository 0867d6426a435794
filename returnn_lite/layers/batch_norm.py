"""Batch normalisation, as a layer and as an option of all layers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, ClassVar, Literal

from returnn_lite import native
from returnn_lite.axes import resolve
from returnn_lite.data import Data
from returnn_lite.layers.base import Layer, register, split_options
from returnn_lite.layers.normalise import masked_moments
from returnn_lite.lazy import tf
from returnn_lite.node import Node
from returnn_lite.site import Site


@register("batch_norm")
@dataclass(frozen=True, kw_only=True)
class BatchNorm(Layer):
    """(x - mean) / sqrt(variance + epsilon) * gamma + beta, over all frames of a batch.

    in, out: float [..., n]. Otherwise than in training, mean and variance are running ones.
    momentum: the share of a batch in the running values. masked_time: padding does not count.
    update_sample_only_in_training: False takes this batch into account otherwise, too; here, only
    training changes the parameters. delay_sample_update: what is normalised with is the running
    value as it is before this batch. use_sample: share of the running values in training;
    force_sample: and otherwise. use_std, use_shift: gamma and beta, whose first values are
    gamma_init and beta_init. axes: whose entries have statistics of their own: the features. fused,
    fused_bn: a kernel, which changes no result and is chosen by the device here. Ioffe and Szegedy
    (2015).

    Parameters mean, variance, gamma, beta, with the names and shapes of param_version. As in
    RETURNN, version 2 with masked_time False takes the unbiased variance for the running one.
    """

    newer: ClassVar[Mapping[str, tuple[int, Any]]] = {
        "momentum": (12, 0.1),
        "update_sample_only_in_training": (12, True),
        "delay_sample_update": (12, True),
        "param_version": (12, 2),
    }
    momentum: float = 0.99
    epsilon: float = 1e-3
    masked_time: bool = True
    update_sample_only_in_training: bool = False
    delay_sample_update: bool = False
    use_sample: float = 0.0
    force_sample: bool = False
    use_std: bool = True
    use_shift: bool = True
    gamma_init: Any = 1.0
    beta_init: Any = 0.0
    param_version: Literal[0, 1, 2] = 0
    axes: Any = None
    fused: bool = False
    fused_bn: bool = False

    def infer(self, site: Site) -> Data:
        """Return the template of the input."""
        return self.declare(site, site.source)

    def declare(self, site: Site, x: Data) -> Data:
        """Return the template, and declare the parameters."""
        if x.feature_dim is None or x.feature_dim.size is None:
            raise site.error(f"found {x}, needed a feature dim of fixed size")
        if self.axes is not None and resolve(self.axes, x, str(site.node)) != [x.feature_dim]:
            raise site.error(f"found axes {self.axes!r} of {x}, needed the features")
        if site.node.loop is not None:
            raise site.error(
                "found batch_norm in the unit of a rec layer, where every step has statistics of "
                "its own, needed it outside; try layer_norm"
            )
        shape: tuple[int, ...] = (x.feature_size,)
        if self.param_version < 2:
            shape = tuple(x.feature_size if d is x.feature_dim else 1 for d in x.dims)
        site.param(self._name(site, "mean"), shape, 0.0, trainable=False)
        site.param(self._name(site, "variance"), shape, 1.0, trainable=False)
        if self.use_std:
            site.param(self._name(site, "gamma"), shape, self.gamma_init)
        if self.use_shift:
            site.param(self._name(site, "beta"), shape, self.beta_init)
        return x

    def _name(self, site: Site, name: str) -> str:
        node = site.node.name
        prefix = (f"{node}_{node}_output_", "", "v2_")[self.param_version]
        return f"batch_norm/{prefix}{name}"

    def call(self, site: Site) -> Data:
        """Return the normalised input."""
        return self.normalised(site, site.source)

    def normalised(self, site: Site, x: Data) -> Data:
        """Return x normalised, and update the running values in training."""
        order, x = x.dims, x.last(x.feature)
        frames = self._frames(site, x)
        if frames is not None:
            gamma = self._value(site, "gamma") if self.use_std else tf.ones([x.feature_size])
            beta = self._value(site, "beta") if self.use_shift else tf.zeros([x.feature_size])
            y, *own = native.batch_norm(x.tensor, gamma, beta, self.epsilon, *frames)
            self._updated(site, self._counted(x, own))
        else:
            mean, variance = self._moments(site, x)
            factor = tf.math.rsqrt(variance + self.epsilon)
            if self.use_std:
                factor = factor * self._value(site, "gamma")
            offset = -mean * factor
            if self.use_shift:
                offset = offset + self._value(site, "beta")
            y = native.scale_shift(x.tensor, factor, offset)
        return replace(x, tensor=y).ordered(order)

    def sees_padding(self, node: Node) -> bool:
        """Whether padding counts: of other dims than time it does."""
        dynamic = [] if node.out is None else [d for d in node.out.dims if d.dynamic]
        return not self.masked_time or len(dynamic) > 1

    def _frames(self, site: Site, x: Data) -> tuple[Any | None, int] | None:
        """Return the lengths of what counts and their axis, as `Run.framed`, for this batch alone.

        None: the running values take part, or it counts other frames than those of sequences.
        """
        time = x.time_dim
        if not site.run.mode.train or self.use_sample != 0.0 or x.dtype != "float32":
            return None
        if not self.masked_time or time is None or not site.run.pads(x, time):
            return None, 1
        lengths, axis = site.run.framed(x)
        return None if lengths is None or x.dims[axis] is not time else (lengths, axis)

    def _value(self, site: Site, name: str) -> Any:
        return tf.reshape(site.param(self._name(site, name), (), None), [-1])

    @property
    def _unbiased(self) -> bool:
        """Whether RETURNN computes it by TensorFlow's fused operation."""
        plain = self.use_std and self.use_shift and self.use_sample == 0 and not self.force_sample
        return plain and self.param_version == 2 and not self.masked_time

    def _updates(self, *, train: bool) -> bool:
        return train or not (self.update_sample_only_in_training or self._unbiased)

    def _share(self, *, train: bool) -> float:
        return self.use_sample if train or self.force_sample else 1.0

    def of_batch(self, *, train: bool) -> bool:
        """Return whether what it normalises with depends on the frames of the batch."""
        updated = self._updates(train=train) and not self.delay_sample_update
        return self._share(train=train) != 1.0 or updated

    def _moments(self, site: Site, x: Data) -> tuple[Any, Any]:
        """Return the mean and the variance to normalise with: float [n]."""
        train = site.run.mode.train
        running = [self._value(site, n) for n in ("mean", "variance")]
        updates, share = self._updates(train=train), self._share(train=train)
        if not updates and share == 1.0:
            return running[0], running[1]
        if self.masked_time:
            own = list(masked_moments(site, x))
        else:
            own = list(tf.nn.moments(x.tensor, axes=list(range(len(x.dims) - 1))))
        if updates:
            new = self._updated(site, self._counted(x, own))
            running = running if self.delay_sample_update else new
        mean, variance = ((1.0 - share) * o + share * r for o, r in zip(own, running, strict=True))
        return mean, variance

    def _counted(self, x: Data, own: list[Any]) -> list[Any]:
        """Return the moments of a batch as the running ones take them."""
        if not self._unbiased:
            return own
        count = tf.cast(tf.size(x.tensor) // x.feature_size, x.tensor.dtype)
        return [own[0], own[1] * count / tf.maximum(count - 1.0, 1.0)]

    def _updated(self, site: Site, own: list[Any]) -> list[Any]:
        """Return the new running values, to which a trainer sets the parameters."""
        running = [self._value(site, n) for n in ("mean", "variance")]
        new = [r + (s - r) * self.momentum for r, s in zip(running, own, strict=True)]
        for name, value in zip(("mean", "variance"), new, strict=True):
            shape = site.node.shapes[self._name(site, name)]
            site.update(self._name(site, name), tf.reshape(tf.stop_gradient(value), shape))
        return new


def batch_norm_of(node: Node) -> BatchNorm:
    """Return the batch normalisation that the common option of a layer asks for."""
    opts = node.common.batch_norm
    given = dict(opts) if isinstance(opts, dict) else {}
    where, version = f"{node}: batch_norm", node.scope.behavior_version
    layer, _ = split_options(BatchNorm, given, where, version)
    assert isinstance(layer, BatchNorm)
    return layer
