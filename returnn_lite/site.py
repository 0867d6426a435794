"""What a layer sees of the network around it, while it is inferred and while it is computed."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from returnn_lite.axes import is_time, resolve
from returnn_lite.data import Data, join_features
from returnn_lite.dim import BATCH, SINGLE_STEP, Dim
from returnn_lite.dropout import dropped, noise_like, shared_dims
from returnn_lite.errors import NetworkError
from returnn_lite.infer import Unknown, template_for, template_of
from returnn_lite.lazy import tf
from returnn_lite.node import Node, ParamSpec
from returnn_lite.param_noise import noisy

if TYPE_CHECKING:
    from returnn_lite.beam import Beam
    from returnn_lite.frame import Frame, Search


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
        datas = [self._with_in_dim(self.data(n)) for n in self.node.sources]
        return [dropped(self, d, i) for i, d in enumerate(datas)]

    def _with_in_dim(self, x: Data) -> Data:
        """Return an input with the feature dim that the option in_dim says."""
        dim = self.node.common.in_dim
        if dim is None or x.sparse_dim is not None:
            return x
        found = resolve(dim, x, f"{self.node}: in_dim")
        return replace(x, feature_dim=found[-1])

    def _known_sources(self) -> list[Data]:
        """Return the templates that are known; in a loop, `prev:` may not yet be."""
        found = []
        for node in self.node.sources:
            try:
                x = self._with_in_dim(template_for(node, self.node))
                if self.node.common.dropout:
                    shared_dims(self.node, x)
                found.append(x)
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
        if self.frame is None and self.node.common.out_shape is None:
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
                    "try reinterpret_data with size_base where the lengths are equal, or out_shape"
                )

    def noise(self, x: Data, name: str, *, static: bool = False) -> Any:
        """Return random numbers in [0, 1), shaped like the layer's output or state x.

        For a step they are the same in the loop and out of it. static: the same in every run.
        """
        return noise_like(self, x, name, static=static)

    def ref(self, option: str) -> Data:
        """Return the output of the layer that an option names."""
        return self.data(self.node.refs[option][0])

    def known_ref(self, option: str) -> Data | None:
        """Return the template of the layer that an option names; None while it is not known."""
        try:
            return self.ref(option)
        except Unknown:
            self.partial = True
            return None

    @property
    def target(self) -> Data:
        """The output of the target."""
        assert self.node.target is not None
        return self.data(self.node.target)

    def size_by_target(self) -> int:
        """Return how many outputs a layer without n_out has: classes of the target, CTC's blank."""
        if self.node.target is None:
            raise self.error("found neither n_out nor a target, needed one of them")
        classes = self.target.classes
        if classes is None or classes.size is None:
            raise self.error(f"found target {self.target}, needed one with a fixed dim; give n_out")
        loss, opts = self.node.common.loss, self.node.common.loss_opts
        return classes.size + (loss == "ctc" or bool(opts.get("ctc_decode")))

    # -- templates

    def sized(self, dim: Dim, x: Data) -> bool:
        """Return whether the size of a dim comes from those of x and of the data streams."""
        known = {leaf for d in x.dims for leaf in d.leaves()} | self.node.scope.stream_dims()
        return dim is BATCH or dim.leaves() <= known

    def shared(self, named: Dim | None, own: Dim) -> Dim:
        """Return the dim of frames that a Dim in the options means already, else the own one.

        Layers outside of loops may make the same frames: of several sequences, as a Dim has it.
        """
        dim = own if named is None or self.node.loop else self.node.scope.named.get(named, own)
        return dim if dim.dynamic and not dim.parts else own

    def agreed(self, dim: Dim, own: Dim, lengths: Any, beam: Beam | None) -> Any:
        """Return lengths; fails where another layer has made the dim with other ones before."""
        if dim is own or dim not in self.run.lengths:
            return lengths
        text = f"{self.node}: found other numbers of frames than {dim.name} has, needed the same"
        text += "; try a Dim of its own"
        needed = self.run.lengths_of(dim, beam)
        check = tf.debugging.assert_equal(lengths, needed, message=text)
        with tf.control_dependencies([check] if check is not None else []):
            return tf.identity(lengths)

    def feature(self, size: int) -> Dim:
        """Return the layer's feature dim of that size."""
        return self.node.dim("feature", "feature", size)

    def axes_of(self, word: Any, x: Data, option: str = "axis") -> list[Dim]:
        """Return the dims that an axis word means in a step, wherever the layer is moved.

        option: where the word stands; every option of a layer has its own dims.
        """
        if self.frame is None:
            self.node.resolved[option] = resolve(word, x, str(self.node))
        dims: list[Dim] = self.node.resolved[option]
        return dims

    def axis_of(self, word: Any, x: Data, option: str = "axis") -> Dim:
        """Return the one dim that an axis word means in a step, wherever the layer is moved."""
        dims = self.axes_of(word, x, option)
        if len(dims) != 1:
            raise self.error(f"found {dims} for {option} {word!r} in {x}, needed one axis")
        return dims[0]

    def names_steps(self, word: Any) -> bool:
        """Whether an axis word is a Dim that means the steps of the loop around."""
        loop = self.node.loop
        if loop is None or not isinstance(word, Dim):
            return False
        return word is SINGLE_STEP or word.means(loop.dim)

    def over_steps(self, word: Any, x: Data) -> bool:
        """Whether an axis word means the steps of the loop around, as time does without time."""
        if self.frame is None:
            without = self.node.loop is not None and x.time_dim is None and is_time(word)
            self.node.resolved["over_steps"] = without or self.names_steps(word)
        over: bool = self.node.resolved["over_steps"]
        return over

    def param(
        self,
        name: str,
        shape: tuple[int, ...],
        init: Any,
        *,
        trainable: bool = True,
        dtype: str = "float32",
    ) -> Any:
        """Declare a parameter while inferring; return it while computing.

        trainable: False for what training changes other than by gradients, see `update`.
        """
        node = self.node
        path = node.param_name(name)
        part = node.reuse.source(name) if node.reuse is not None else None
        if self.frame is not None:
            value = self.exact_param(name)
            made = part is not None and (part.custom or part.output) is not None
            return value if made or name in node.updated else noisy(self, name, value)
        node.shapes[name] = shape
        if not trainable:
            node.updated.add(name)
        if part is None:
            node.params[path] = ParamSpec(
                shape=shape,
                init=init,
                trainable=trainable and node.trainable,
                dtype=dtype,
                device=node.common.param_device,
            )
        return None

    def exact_param(self, name: str) -> Any:
        """Return a parameter while computing, without the noise of training."""
        part = self.node.reuse.source(name) if self.node.reuse is not None else None
        if part is not None:
            return part.value(self, name, self.node.shapes[name])
        return self.run.params[self.node.param_name(name)]

    def update(self, name: str, value: Any) -> None:
        """Set what a parameter becomes after this run; a trainer does so after each step."""
        part = self.node.reuse.source(name) if self.node.reuse is not None else None
        if part is not None and part.layer is not None:
            self.of(part.layer).update(name, value)
        elif self.node.trainable:
            self.run.updates[self.node.param_name(name)] = value

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
        assert self.frame is not None
        return self.frame.index

    @property
    def search(self) -> Search:
        """The search that a choice in a loop goes on with."""
        assert self.frame is not None and self.frame.search is not None
        return self.frame.search

    def check_size(self, out: Data, n_out: int | None) -> None:
        """Raise NetworkError where the template has a feature dim of another size than n_out."""
        if n_out is None or out.feature_dim is None or self.partial:
            return
        if out.feature_dim.size != n_out:
            raise self.error(f"found n_out {n_out}, needed that of {out}")

    def as_output(self, x: Data) -> Data:
        """Return values as the layer's template has them: in its order, and with its meaning.

        Where the layer is moved out of a loop, they have the loop's dim besides.
        """
        out = template_of(self.node)
        more = [d for d in x.dims if d not in out.dims]
        x = x.ordered([*more, *out.dims])
        return replace(out, dims=x.dims, beam=x.beam, tensor=x.tensor)

    def as_loop_dim(self, x: Data, dim: Dim) -> Data:
        """Return x with the loop's dim in place of another, which must be as long."""
        loop = self.node.loop
        assert loop is not None
        checked: Data = self.run.with_dim(x, dim, loop.dim, str(loop.node))
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

    def constant(self, value: Any, like: Data) -> Data:
        """Return data like a template, filled with a number, "zeros", or "ones"."""
        number = {None: 0, "zeros": 0, "ones": 1}.get(value, value)
        sizes = [self.size(d) for d in like.dims]
        if like.dtype == "string":
            return replace(like, beam=None, tensor=tf.fill(sizes, ""))
        dtype = tf.as_dtype(like.dtype)
        return replace(like, beam=None, tensor=tf.fill(sizes, tf.cast(number, dtype)))

    def size(self, dim: Dim) -> Any:
        """Return the number of entries of a dim, without beams."""
        if dim is BATCH:
            return self.run.batch
        return dim.size if dim.size is not None else self.run.entries(dim)
