"""Layers that change the input in training only."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

from returnn_lite import random
from returnn_lite.data import Data
from returnn_lite.dim import BATCH, Dim
from returnn_lite.layers.base import Layer, register
from returnn_lite.lazy import tf
from returnn_lite.node import Node
from returnn_lite.site import Site


@register("spec_augment")
@dataclass(frozen=True, kw_only=True)
class SpecAugment(Layer):
    """Zero bands of frames and of features, in training (Park et al., 2019, section 2, no warping).

    in, out: float [..., time, ..., feature], of mean zero. time_masks, feature_masks: number of
    bands per sequence. time_size, feature_size: each is 0 to so many frames or features wide.
    """

    time_masks: int = 2
    time_size: int = 20
    feature_masks: int = 2
    feature_size: int = 8

    def open(self, node: Node) -> None:
        """Check the options."""
        for name in ("time_masks", "time_size", "feature_masks", "feature_size"):
            if getattr(self, name) < 0:
                value = getattr(self, name)
                raise Site(node).error(f"found {name} {value}, needed 0 or more")

    def stays(self, node: Node) -> bool:
        """Return True: bands of time are those of one sequence for each of the batch."""
        return True

    def infer(self, site: Site) -> Data:
        """Return the template of the input."""
        x = site.source
        if x.time_dim is None or x.feature_dim is None:
            raise site.error(f"found source {x}, needed a time and a feature dim")
        return x

    def call(self, site: Site) -> Data:
        """Return the input, masked in training."""
        x = site.source
        if not site.run.mode.train:
            return x
        assert x.time_dim is not None and x.feature_dim is not None
        frames = tf.cast(site.run.lengths_of(x.time_dim, x.beam), tf.float32)
        features = tf.fill(tf.shape(frames), float(x.feature_dim.size or 0))
        keep = tf.logical_not(
            tf.logical_or(
                self._bands(site, x, x.time_dim, self.time_masks, self.time_size, frames),
                self._bands(
                    site, x, x.feature_dim, self.feature_masks, self.feature_size, features
                ),
            )
        )
        return replace(x, tensor=x.tensor * tf.cast(keep, x.tensor.dtype))

    def _bands(self, site: Site, x: Data, dim: Dim, number: int, size: int, total: Any) -> Any:
        """Return bool, to broadcast against x: what the bands along a dim cover.

        total: float32 [batch], where bands may begin.
        """
        seed = site.run.rng(f"{site.node.path}/{dim.kind}")
        drawn = random.uniform([2, tf.shape(total)[0], number, 1], seed)
        start = tf.floor(drawn[0] * total[:, None, None])
        width = tf.floor(drawn[1] * (size + 1.0))
        steps = tf.range(tf.shape(x.tensor)[x.axis(dim)])
        place = tf.cast(steps, tf.float32)[None, None, :]
        inside = tf.logical_and(place >= start, place < start + width)
        covered = tf.reduce_any(inside, axis=1)
        if x.axis(dim) < x.axis(BATCH):
            covered = tf.transpose(covered)
        shape = [1] * len(x.dims)
        for axis in (x.axis(BATCH), x.axis(dim)):
            shape[axis] = tf.shape(x.tensor)[axis]
        return tf.reshape(covered, shape)


@register("vtlp")
@dataclass(frozen=True, kw_only=True)
class Vtlp(Layer):
    """Warp the frequencies of log-mel features, in training: vocal tract length perturbation.

    Jaitly and Hinton (2013): each sequence is as if its speaker's vocal tract were shorter or
    longer by a factor from 1 - warp to 1 + warp. in, out: float [..., feature], the log-energies of
    bins that are equally spaced in mel from low_freq to high_freq (Hz).
    """

    warp: float = 0.1
    low_freq: float = 20.0
    high_freq: float = 8000.0

    def open(self, node: Node) -> None:
        """Check the options."""
        if not 0 <= self.warp < 1:
            raise Site(node).error(f"found warp {self.warp}, needed 0 to less than 1")
        if not 0 <= self.low_freq < self.high_freq:
            raise Site(node).error(
                f"found low_freq {self.low_freq} and high_freq {self.high_freq}, needed a range"
            )

    def infer(self, site: Site) -> Data:
        """Return the template of the input."""
        x = site.source
        if x.feature_dim is None or not x.has_batch:
            raise site.error(f"found source {x}, needed a batch and a feature dim")
        return x

    def call(self, site: Site) -> Data:
        """Return the input, warped in training."""
        x = site.source
        if not site.run.mode.train:
            return x
        x = x.ordered([BATCH, *(d for d in x.dims if d not in (BATCH, x.feature)), x.feature])
        sizes = x.sizes()
        drawn = random.uniform([sizes[0], 1], site.run.rng(f"{site.node.path}/warp"))
        factor = 1.0 + self.warp * (2.0 * drawn - 1.0)
        place = self._source_bins(factor, x.feature_size)
        bins = tf.range(x.feature_size, dtype=tf.float32)
        weights = tf.nn.relu(1.0 - tf.abs(bins[None, :, None] - place[:, None, :]))
        frames = tf.reshape(x.tensor, [sizes[0], -1, x.feature_size])
        return replace(x, tensor=tf.reshape(tf.matmul(frames, weights), sizes))

    def _source_bins(self, factor: Any, size: int) -> Any:
        """Return float32 [batch, size]: where in the input each bin of the output is taken from."""
        low, high = (_mel(tf.constant(f)) for f in (self.low_freq, self.high_freq))
        step = (high - low) / (size + 1)
        centres = low + step * (tf.range(size, dtype=tf.float32) + 1.0)
        hertz = 700.0 * (tf.exp(centres / 1127.0) - 1.0)
        place = (_mel(hertz[None, :] * factor) - low) / step - 1.0
        return tf.clip_by_value(place, 0.0, size - 1.0)


def _mel(hertz: Any) -> Any:
    return 1127.0 * tf.math.log(1.0 + hertz / 700.0)
