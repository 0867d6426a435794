"""Sampled classes, and the scores of them: for losses of an output layer that the config writes."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, ClassVar

from returnn_lite.data import Data
from returnn_lite.layers.base import Layer, register
from returnn_lite.layers.packed import pack, packed_template
from returnn_lite.lazy import tf
from returnn_lite.node import Node
from returnn_lite.random import uniform
from returnn_lite.sampling import Sampler, draw, noise_size, sampled_scores
from returnn_lite.site import Site


@register("sampling")
@dataclass(frozen=True, kw_only=True)
class Sampling(Layer):
    """Classes that are drawn anew in every step of training or batch, the same for all frames.

    in: labels, whose classes they are; out: int32 [num_sampled], all different. sampler: of all
    alike, or "log_uniform", for classes sorted from the most frequent one on. A layer of published
    configs; it is not in RETURNN.
    """

    num_sampled: int
    sampler: Sampler = "log_uniform"

    def open(self, node: Node) -> None:
        """Check where it lies."""
        if node.loop is not None:
            raise Site(node).error("found it in the unit of a rec layer; move it out")

    def infer(self, site: Site) -> Data:
        """Return the template [num_sampled]."""
        x = site.source
        classes = x.sparse_dim
        if classes is None or classes.size is None:
            raise site.error(f"found source {x}, needed labels")
        if not 1 <= self.num_sampled <= classes.size:
            found, needed = self.num_sampled, classes.size
            raise site.error(f"found num_sampled {found}, needed 1 to the {needed} classes")
        dim = site.node.dim("spatial", "sampled", self.num_sampled)
        return Data(name=site.node.path, dims=(dim,), dtype="int32", sparse_dim=classes)

    def call(self, site: Site) -> Data:
        """Return the classes, and keep how often each is expected."""
        out = site.node.out
        assert out is not None and out.sparse_dim is not None and out.sparse_dim.size is not None
        size = out.sparse_dim.size
        noise = uniform([noise_size(size, self.num_sampled)], site.run.rng(site.node.path))
        classes, expected = draw(self.sampler, size, self.num_sampled, noise)
        of_all = Data(name="expected", dims=(out.sparse_dim,), tensor=expected)
        site.set_state("expected", of_all)
        return replace(out, tensor=classes)


@register("sampled_logits")
@dataclass(frozen=True, kw_only=True)
class SampledLogits(Layer):
    """Scores of each frame's label, which come first, and of sampled classes.

    x W + b minus the logarithm of how often a class is expected among the samples. in: float
    [batch, time, in]; out: float [frames, 1 + num_sampled], the frames of all sequences without
    padding. sampler: a layer sampling. labels: a layer of labels, or a stream. nce: for
    noise-contrastive estimation: nce_log_norm_term is subtracted; otherwise a sample that is the
    label of a frame has the least score there. n_out: for the reader. A layer of published configs;
    it is not in RETURNN. Parameters: W [classes, in], b [classes].
    """

    refs: ClassVar[tuple[str, ...]] = ("sampler", "labels")
    sampler: str
    labels: str
    nce: bool = False
    nce_log_norm_term: float = 0.0
    forward_weights_init: Any = "glorot_uniform"
    bias_init: Any = 0.0
    n_out: int | None = None

    def infer(self, site: Site) -> Data:
        """Return the template, and declare the parameters."""
        x, labels = site.source, site.ref("labels")
        sampler = site.node.refs["sampler"][0].layer
        if not isinstance(sampler, Sampling):
            raise site.error(f"found sampler {self.sampler!r}, which is no layer 'sampling'")
        dims = [d for d in x.dims if d is not x.feature_dim]
        same = len(dims) == 2 and set(dims) == set(labels.dims) and x.has_batch
        if not same or x.feature_dim is None or x.time_dim is None:
            raise site.error(f"found source {x} and labels {labels}, needed the same frames")
        classes = site.ref("sampler").sparse_dim
        if classes is None or labels.sparse_dim is None or classes.size != labels.sparse_dim.size:
            raise site.error(f"found labels {labels}, needed those of the sampler, of {classes}")
        size: Any = classes.size
        site.param("W", (size, x.feature_size), self.forward_weights_init)
        site.param("b", (size,), self.bias_init)
        out = packed_template(x, x.time_dim, batch_major=True)
        out = out.with_feature(site.feature(1 + sampler.num_sampled))
        site.check_size(out, self.n_out)
        return out

    def call(self, site: Site) -> Data:
        """Return the scores."""
        x, labels, sampler = site.source, site.ref("labels"), site.node.refs["sampler"][0]
        time, out = x.time_dim, site.node.out
        assert time is not None and out is not None and site.frame is not None
        frames, truth = (pack(site, d, time, batch_major=True) for d in (x, labels))
        classes = site.ref("sampler").tensor
        expected = site.frame.hidden(sampler, sampler, "expected").tensor
        scores = sampled_scores(
            frames.last(x.feature).tensor,
            tf.cast(truth.tensor, tf.int32),
            (site.param("W", (), None), site.param("b", (), None)),
            (classes, expected),
            without_hits=not self.nce,
        )
        scores = scores - self.nce_log_norm_term if self.nce else scores
        return replace(out, beam=frames.beam, tensor=scores)
