"""A network: from a dict of layers to templates, parameters, outputs and losses."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from returnn_lite import extern_data as streams
from returnn_lite import initial_output, layers, losses
from returnn_lite.carried import Carried, Computation
from returnn_lite.checks import (
    Batch,
    check_batch,
    check_choices,
    check_initial,
    check_loops,
    readable_errors,
)
from returnn_lite.config import Config
from returnn_lite.data import Data
from returnn_lite.dim import BATCH, Dim, tell_apart
from returnn_lite.errors import NetworkError
from returnn_lite.frame import Frame
from returnn_lite.infer import infer_chain, infer_loop, template_of
from returnn_lite.initialisers import check_initialiser, initial_value
from returnn_lite.layers.inputs import ExternData
from returnn_lite.layers.kept_state import keeps
from returnn_lite.lazy import tf
from returnn_lite.load_on_init import loaded_names, loaded_on_init
from returnn_lite.network_dict import default_outputs
from returnn_lite.node import Common, Mode, Node, ParamSpec
from returnn_lite.output import Outputs, collect, output_tensors
from returnn_lite.param_noise import check_noise
from returnn_lite.parameters import (
    STEP_COUNTER,
    Array,
    check_missing,
    check_more,
    fitting,
    load_checkpoint,
    save_checkpoint,
)
from returnn_lite.reuse import check_reuse
from returnn_lite.run import Run
from returnn_lite.scope import Scope

_TASKS = ("forward", "eval", "train", "search")
_DISTINCT_DIMS = 16  # the behaviour version from which Dims of equal size are different ones


class Network:
    """A network of layers, with parameters.

    network: the dict of layers. extern_data: the data streams, see `extern_data.templates`. train:
    whether dropout and the like are active. search: whether choices search, rather than take the
    ground truth. task: "forward", "eval", "train" or "search", as a RETURNN config has it: the last
    two are train and search. outputs: layers that are needed; where it is absent, `output`, the
    layers with a loss, and those with is_output_layer. config: what a config defines besides, which
    eval strings reach as `self.network.get_config().typed_value(name)`, `task` among it; a
    tf.Variable in it may change between runs; its `behavior_version`, by default 0, says which
    defaults some options have and, from 16 on, that Dims of equal size are different dims. seed:
    of the parameters' first values and of all randomness. stepwise: whether all layers of loops
    stay in them; the result is the same. Raises NetworkError for any mistake that can be seen
    without data.
    """

    def __init__(
        self,
        network: dict[str, Any],
        *,
        extern_data: Mapping[str, Any],
        train: bool = False,
        search: bool = False,
        task: str = "forward",
        outputs: Sequence[str] | None = None,
        config: Mapping[str, Any] | None = None,
        seed: int = 1,
        stepwise: bool = False,
    ):
        # Layers ask those before them: more than Python's usual frames, see also `long_chain`.
        sys.setrecursionlimit(max(sys.getrecursionlimit(), 30_000))
        layers.load()
        if not isinstance(network, dict) or not all(isinstance(n, str) for n in network):
            raise NetworkError("network: found no dict of layers by name, needed one")
        if task not in _TASKS:
            raise NetworkError(f"task: found {task!r}, needed one of {', '.join(_TASKS)}")
        self.config = Config(config or {}, task)
        check_noise(self.config.values, "config")
        self.mode = Mode(train=train or task == "train", search=search or task == "search")
        self.seed = seed
        self.scope = Scope(network, mode=self.mode)
        self.scope.default_target = self.config.typed_value("target", "classes")
        self.scope.behavior_version = self.config.behavior_version
        self.scope.stepwise = stepwise
        if self.config.behavior_version >= _DISTINCT_DIMS:
            tell_apart([network, extern_data])
        for key, template in streams.templates(extern_data).items():
            layer = ExternData(template=template)
            self.scope.inputs[key] = Node(key, layer, Common(), self.scope, f"data:{key}")
        names = default_outputs(network, self.mode) if outputs is None else outputs
        self._variables: dict[str, Any] | None = None
        self._computations: dict[tuple[Any, ...], tuple[list[Node], Computation]] = {}
        self._carried = Carried()
        self.streams = {k: template_of(n) for k, n in self.scope.inputs.items()}
        self.outputs = self._build(names, "outputs")
        self.loss_nodes = [n for n in self.nodes() if losses.applies(n)]
        for node in self.loss_nodes:
            losses.check(node)

    def _build(self, names: Sequence[str], asker: str) -> list[Node]:
        """Return layers, built, inferred and checked with all that they need."""
        found = [self.scope.get(n, asker) for n in names]
        check_loops(self.scope)
        for node in self.nodes():
            # A layer may be added to a loop that is inferred already.
            if node.out is None and node.loop is not None and node.loop.node.out is not None:
                infer_loop(node.loop)
            infer_chain(node)
        for node in self.nodes():
            initial_output.declare(node)
        for node in self.nodes():
            check_initial(node)
            check_choices(node)
            check_reuse(node)
        for path, spec in self.param_specs().items():
            check_initialiser(path, spec.init)
        if self._variables is not None:
            self._add_variables(self._variables, {})
        return found

    def nodes(self) -> list[Node]:
        """Return all layers that are built, those of subnetworks included."""
        return list(self.scope.all_nodes())

    def unused(self) -> list[str]:
        """Return the layers of the dict that nothing needs, which are not built."""
        return self.scope.unused()

    def template(self, name: str) -> Data:
        """Return the template of a layer's output."""
        return template_of(self.scope.get(name))

    # -- parameters

    def param_specs(self) -> dict[str, ParamSpec]:
        """Return shape, initialiser and trainability of every parameter."""
        specs: dict[str, ParamSpec] = {}
        for node in self.nodes():
            for name, spec in node.params.items():
                if found := spec.unlike(specs.setdefault(name, spec)):
                    raise NetworkError(
                        f"{node}: found parameter {name} with {found}, needed the same; "
                        "try another name_scope"
                    )
        return dict(sorted(specs.items()))

    def param_shapes(self) -> dict[str, tuple[int, ...]]:
        """Return the shape of every parameter."""
        return {name: spec.shape for name, spec in self.param_specs().items()}

    @property
    def variables(self) -> dict[str, Any]:
        """The parameters as tf.Variable, made when they are first needed."""
        if self._variables is None:
            self._variables = {}
            self._add_variables(self._variables, {})
        return self._variables

    def _add_variables(self, known: dict[str, Any], given: Mapping[str, Array]) -> None:
        """Make the parameters that there are not yet, of given values or of their first ones."""
        specs = {n: s for n, s in self.param_specs().items() if n not in known}
        loaded = dict(given)
        for node in self.nodes():
            loaded.update(loaded_on_init(node, {n: specs[n] for n in specs if n not in given}))
        # One after the other, so that not all of the values are held at once.
        for name, spec in specs.items():
            value = loaded.pop(name) if name in loaded else self._first_value(name, spec)
            with tf.device(f"/device:{spec.device}:*" if spec.device else None):
                known[name] = tf.Variable(value, name=name, trainable=spec.trainable)

    def _first_value(self, name: str, spec: ParamSpec) -> Any:
        if not isinstance(spec.init, Node):
            return initial_value(name, spec, self.seed)
        try:
            with tf.init_scope():
                return self.frame({}).value(spec.init).tensor
        except NetworkError as error:
            raise NetworkError(
                f"{spec.init}: found that the first value of {name} depends on data, needed "
                f"one that does not ({error})"
            ) from None

    def get_params(self) -> dict[str, Array]:
        """Return the values of all parameters."""
        return {name: variable.numpy() for name, variable in self.variables.items()}

    def set_params(self, values: Mapping[str, Any]) -> None:
        """Set parameters. Raises NetworkError for an unknown name or another shape."""
        given = fitting(values, self.param_specs())
        if self._variables is None:  # no random numbers are made for what is given
            self._variables = {}
            self._add_variables(self._variables, given)
            return
        for name, value in given.items():
            self._variables[name].assign(value)

    def save(self, path: str | Path) -> None:
        """Write all parameters to a checkpoint; `path` is the prefix of its files."""
        save_checkpoint(path, {**self.variables, STEP_COUNTER: np.int64(0)})

    def load(self, path: str | Path, *, subset: bool = False) -> None:
        """Read all parameters from a checkpoint, such as RETURNN writes it.

        It may have those of layers of the dict that nothing needs; subset: and others, too. Raises
        NetworkError where one is missing, unknown, or of another shape.
        """
        found, specs = load_checkpoint(path), self.param_specs()
        own = {n for node in self.nodes() for n in loaded_names(node)}
        check_missing(path, found, [n for n in specs if n not in own])
        if not subset:
            unused = self.scope.unused_params()
            check_more(path, [n for n in found if n not in specs and not unused(n)])
        try:
            self.set_params({n: found[n] for n in specs if n in found})
        except NetworkError as error:
            raise NetworkError(f"{path}: {error}") from None

    # -- computation

    def frame(
        self,
        batch: Batch,
        *,
        train: bool | None = None,
        step: Any = 0,
        carried: dict[str, Any] | None = None,
    ) -> Frame:
        """Return the frame of a batch: {stream: (values, lengths)}, tensors, see `run`.

        carried: the states that go on, by name; those of the end are its `run.carry`.
        """
        mode = self.mode if train is None else Mode(train=train, search=self.mode.search)
        run = Run(
            mode=mode,
            params=self.variables,
            batch=streams.batch_size(batch, self.streams),
            config=self.config,
            seed=self.seed,
            step=step,
            carried=carried or {},
            skips_padding=not any(n.sees_padding for n in self.nodes()),
        )
        frame = Frame(run)
        for key, (values, lengths) in batch.items():
            template = self.streams[key]
            frame.values[self.scope.inputs[key]] = streams.filled(run, template, values, lengths)
        return frame

    def losses(self, frame: Frame, *, errors: bool = False) -> dict[str, losses.Loss]:
        """Return the loss of every layer that has one."""
        train = frame.run.mode.train
        nodes = [n for n in self.loss_nodes if not (train and n.common.only_on_eval)]
        for node in nodes:
            frame.compute_chain(node)
        return {n.path: losses.compute(n, frame, errors=errors) for n in nodes}

    def run(self, batch: Batch, fetch: Sequence[str] = (), *, gradients: bool = False) -> Outputs:
        """Return outputs, losses and search results of a batch as numpy arrays.

        batch: {stream: (values, lengths)}; values: [batch, time, dim], or [batch, time] for sparse
        data, or as extern_data has it; lengths: int32 [batch], [dynamic axes, batch] where there
        are several, None where there is none. fetch: names of layers; by default all outputs.
        gradients: whether to return those of the objective, too: the sum of the losses of all
        sequences, each times its scale, and of the L2 terms. States of layers with initial_state
        "keep_over_epoch" go on from the call before that computed the layer, without a gradient;
        see `reset`.
        """
        if isinstance(fetch, str):
            raise NetworkError(f"fetch: found {fetch!r}, needed a list of layers; try [{fetch!r}]")
        names = tuple(fetch) or tuple(n.path for n in self.outputs)
        batch = check_batch(batch, self.streams)
        key = (names, tuple(batch), gradients)
        if key not in self._computations:
            wanted = self._build(names, "fetch")
            compute = self._computation(batch, wanted, gradients=gradients)
            self._computations[key] = wanted, compute
        wanted, compute = self._computations[key]
        signature = [spec for k in batch for spec in streams.signature(self.streams[k])]
        tensors = _tensors(batch, self.streams)
        self._carried.check(_count(batch, self.streams))
        with readable_errors():
            return collect(self._carried.run(key, compute, signature, tensors), wanted)

    def reset(self) -> None:
        """Forget the states that layers keep: the next batch is the first one of an epoch."""
        self._carried.reset()

    @property
    def keeps_states(self) -> bool:
        """Whether a layer keeps its state from batch to batch."""
        return any(keeps(node) for node in self.nodes())

    def _computation(self, batch: Batch, wanted: list[Node], *, gradients: bool) -> Computation:
        """Return the function of a batch's tensors; the same for all sizes of a batch."""
        keys = list(batch)
        targets = [(n, n.target) for n in self.loss_nodes if n.target is not None]
        absent = [n for n, target in targets if not _given(target, keys)]
        if gradients and (absent or not self.loss_nodes):
            needed = f"the target of {absent[0]}" if absent else "a layer with a loss"
            raise NetworkError(f"gradients: found no loss of the batch, needed {needed}")
        trained = {n: self.variables[n] for n, s in self.param_specs().items() if s.trainable}

        def compute(tensors: Sequence[Any], carried: dict[str, Any]) -> Any:
            pairs = zip(tensors[::2], tensors[1::2], strict=True)
            with tf.GradientTape(watch_accessed_variables=False) as tape:
                tape.watch(list(trained.values()) if gradients else [])
                frame = self.frame(dict(zip(keys, pairs, strict=True)), carried=carried)
                found = {} if absent else self.losses(frame, errors=True)
                result = output_tensors(frame, wanted, found, others=self.outputs)
                if not gradients:
                    return result, frame.run.carry
                total = losses.summed(found) + losses.penalty(self.nodes(), self.variables)
            result["gradients"] = tape.gradient(total, trained, unconnected_gradients="zero")
            return result, frame.run.carry

        return compute

    def output_lengths(
        self, name: str, lengths: Mapping[str, Array], dim: Dim | None = None
    ) -> Array:
        """Return int32 [sequences]: how long the output of a layer is for inputs of given lengths.

        dim: of its dims, by default that of time. Nothing else is computed: what lengths do not
        depend on is pruned from the graph.
        """
        node = self.scope.get(name, "output_lengths")
        keys = list(lengths)

        def compute(*tensors: Any) -> Any:
            batch, count = {}, tf.shape(tensors[0])[-1]
            for key, tensor in zip(keys, tensors, strict=True):
                template = self.streams[key]
                rows = iter(tf.unstack(tensor) if tensor.shape.rank == 2 else [tensor])
                dynamic = streams.dynamic_dims(template)
                sizes = {d: tf.reduce_max(next(rows)) for d in dynamic} | {BATCH: count}
                shape = [sizes.get(d, d.size) for d in template.dims]
                batch[key] = (tf.zeros(shape, tf.as_dtype(template.dtype)), tensor)
            frame = self.frame(batch)
            out = frame.value(node)
            of = out.time_dim if dim is None else dim
            assert of is not None
            return frame.run.lengths[of].tensor

        tensors = [tf.constant(np.asarray(x, np.int32)) for x in lengths.values()]
        self.variables  # noqa: B018 - made outside of the trace
        found: Array = tf.function(compute, autograph=False)(*tensors).numpy()
        return found

    def describe(self) -> str:
        """Return a table of the layers, their templates and parameters, and of every loop."""
        from returnn_lite.describe import describe

        return describe(self)


def _tensors(batch: Batch, templates: Mapping[str, Data]) -> list[Any]:
    return [
        tf.convert_to_tensor(np.asarray(x, dtype=dtype))
        for key, (values, lengths) in batch.items()
        for x, dtype in ((values, templates[key].dtype), (lengths, "int32"))
    ]


def _count(batch: Batch, templates: Mapping[str, Data]) -> int:
    return int(streams.batch_size(batch, templates))


def _given(target: Node, keys: list[str]) -> bool:
    """Whether a target can be computed from the given streams."""
    needed = [target]
    for node in needed:  # which grows: a layer of a loop may need itself, of the step before
        needed += [n for n in node.depends() if n not in needed]
    return all(n.name in keys for n in needed if n.layer.layer_class == "extern_data")


__all__ = ["Batch", "Network"]
