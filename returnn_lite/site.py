"""What a layer sees of the network around it, while it is inferred and while it is computed."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from returnn_lite import random
from returnn_lite.axes import resolve
from returnn_lite.data import Data, fitted, join_features
from returnn_lite.dim import BATCH, Dim
from returnn_lite.errors import NetworkError
from returnn_lite.infer import Unknown, template_for, template_of
from returnn_lite.lazy import tf
from returnn_lite.node import Node, ParamSpec

if TYPE_CHECKING:
    from returnn_lite.frame import Frame


class Site:
    """A node and, while it is computed, the frame that holds the values.

    Without a frame, everything is a template.
    """

    def __init__(self, node: Node, frame: Frame | None = None):
        self.node = node
        self.frame = frame
        self.partial = False

    def of(self, node: Node) -> Site:
        """Return another node's site in the same frame."""
        return Site(node, self.frame)

    def error(self, text: str) -> NetworkError:
        """Return an error that begins with the layer's name and class."""
        return NetworkError(f"{self.node}: {text}")

    # -- inputs

    def data(self, node: Node) -> Data:
        """Return the output of a node; raises Unknown while its template is not yet known."""
        return template_for(node, self.node) if self.frame is None else self.frame.value(node)

    @property
    def sources(self) -> list[Data]:
        """The outputs of the layers in `from`."""
        if self.frame is None:
            return self._known_sources()
        datas = [self.data(n) for n in self.node.sources]
        return [self._dropped(d, i) for i, d in enumerate(datas)]

    def _known_sources(self) -> list[Data]:
        """Return the templates that are known; in a loop, `prev:` may not yet be."""
        found = []
        for node in self.node.sources:
            try:
                found.append(template_for(node, self.node))
            except Unknown:
                self.partial = True
        if self.partial and not found:
            raise Unknown(self.node)
        return found

    @property
    def source(self) -> Data:
        """The outputs of the layers in `from`, joined in the feature dim."""
        datas = self.sources
        if not datas:
            raise self.error("found no source, needed one in 'from'")
        if len(datas) == 1:
            return datas[0]
        for data in datas:
            if data.feature_dim is None:
                raise self.error(
                    f"found source {data.name!r} {data}, needed one with a feature dim"
                )
        if self.frame is None:
            self._check_dims(datas)
        size = sum(d.feature_dim.size or 0 for d in datas if d.feature_dim)
        return join_features(datas, self.node.dim("feature", "sources", size))

    def _check_dims(self, datas: list[Data]) -> None:
        """Raise NetworkError where no source has all dims: two time dims are hardly meant."""
        most = max(datas, key=lambda d: len(d.dims))
        for data in datas:
            if any(d not in most.dims for d in data.dims if d is not data.feature_dim):
                raise self.error(
                    f"found sources {most} and {data}, needed the same dims; "
                    "try reinterpret_data with size_base where the lengths are equal"
                )

    def _dropped(self, x: Data, index: int) -> Data:
        """Apply the dropout that the layer's common options ask for; scale up what stays."""
        rate = self.node.common.dropout
        if self.frame is None or not rate or not self.run.mode.train or x.sparse_dim is not None:
            return x
        loop = self.node.loop
        if loop is None or not loop.varies(self.node.sources[index]):
            noise = random.uniform(x.sizes(), self._seed(index))
        else:
            x = x if self.axis is None else self.over(x, self.axis)
            noise = self._noise_by_steps(x, index)
        keep = tf.cast(noise >= rate, x.dtype) / (1.0 - rate)
        return replace(x, tensor=x.tensor * keep)

    def _seed(self, index: int) -> Any:
        return self.run.rng(f"{self.node.path}/dropout{index}")

    def _noise_by_steps(self, x: Data, index: int) -> Any:
        """Return random numbers for x, for a step the same in the loop and out of it."""
        sizes = dict(zip(x.dims, x.sizes(), strict=True))
        # One order of the dims, whatever that of the tensor is.
        order = sorted((d for d in x.dims if d is not self.axis), key=lambda d: (d.kind, d.name))
        shape = [sizes[d] for d in order]
        if self.axis is None:
            noise = random.uniform_steps(shape, self._seed(index), self.index, 1)[0]
            return replace(x, dims=tuple(order), tensor=noise).ordered(x.dims).tensor
        whole, selected = self.run.steps_of(self.axis)
        noise = random.uniform_steps(shape, self._seed(index), 0, self.run.entries(whole))
        noisy = replace(x, dims=(whole, *order), tensor=noise)
        if selected is not None:
            noisy = noisy.first(BATCH, whole).renamed(whole, self.axis)
            noisy = replace(noisy, tensor=tf.gather(noisy.tensor, selected, batch_dims=1))
        return noisy.ordered(x.dims).tensor

    def ref(self, option: str) -> Data:
        """Return the output of the layer that an option names."""
        return self.data(self.node.refs[option][0])

    @property
    def target(self) -> Data:
        """The output of the target."""
        assert self.node.target is not None
        return self.data(self.node.target)

    # -- templates

    def feature(self, size: int) -> Dim:
        """Return the layer's feature dim of that size."""
        return self.node.dim("feature", "feature", size)

    def axis_of(self, word: Any, x: Data) -> Dim:
        """Return the dim that an axis word means in a step, wherever the layer is moved."""
        if self.frame is None:
            self.node.resolved["axis"] = resolve(word, x, str(self.node))[0]
        dim: Dim = self.node.resolved["axis"]
        return dim

    def param(self, name: str, shape: tuple[int, ...], init: Any) -> Any:
        """Declare a parameter while inferring; return it while computing."""
        path = f"{self.node.param_path}/{name}"
        if self.frame is None:
            trainable = self.node.common.trainable
            self.node.params[path] = ParamSpec(shape=shape, init=init, trainable=trainable)
            return None
        return self.run.params[path]

    # -- values

    @property
    def run(self) -> Any:
        """The run that the values belong to."""
        assert self.frame is not None
        return self.frame.run

    @property
    def axis(self) -> Dim | None:
        """What a recurrency of the loop runs over here; None where it makes one step."""
        assert self.frame is not None
        return self.frame.axis(self.node)

    @property
    def index(self) -> Any:
        """The number of the step: int32 []."""
        return self.frame.index  # type: ignore[union-attr]

    def as_loop_dim(self, x: Data) -> Data:
        """Return x with the loop's dim in place of its time dim, which must be as long."""
        loop = self.node.loop
        assert loop is not None and x.time_dim is not None
        checked: Data = self.run.with_dim(x, x.time_dim, loop.dim, str(loop.node))
        return checked

    def state(self, name: str) -> Data:
        """Return a part of the layer's hidden state after the step before."""
        assert self.frame is not None
        return self.frame.state(self.node, name)

    def set_state(self, name: str, value: Data) -> None:
        """Set a part of the layer's hidden state after this step, or at the end of the sequence."""
        assert self.frame is not None
        self.frame.set_state(self.node, name, value)

    def over(self, x: Data, dim: Dim) -> Data:
        """Return x with a dim in front along which its entries repeat, where it has no such dim."""
        repeated: Data = self.run.over(x, dim)
        return repeated

    def initial_output(self, node: Node) -> Data:
        """Return what `prev:` of a node is in the first step: float or int [batch, ...]."""
        like = template_of(node)
        if node.initial is None:
            return self.constant(node.common.initial_output, like)
        x = fitted(self.data(node.initial), like)
        sizes = [tf.maximum(n, self.size(d)) for d, n in zip(x.dims, x.sizes(), strict=True)]
        return replace(x, tensor=tf.broadcast_to(x.tensor, sizes))

    def constant(self, value: Any, like: Data) -> Data:
        """Return data like a template, filled with a number, "zeros", or "ones"."""
        number = {None: 0, "zeros": 0, "ones": 1}.get(value, value)
        sizes = [self.size(d) for d in like.dims]
        dtype = tf.as_dtype(like.dtype)
        return replace(like, beam=None, tensor=tf.fill(sizes, tf.cast(number, dtype)))

    def size(self, dim: Dim) -> Any:
        """Return the number of entries of a dim, without beams."""
        if dim is BATCH:
            return self.run.batch
        return dim.size if dim.size is not None else self.run.entries(dim)
