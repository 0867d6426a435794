"""A network: from a dict of layers to templates, parameters, outputs and losses."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from returnn_lite import extern_data as streams
from returnn_lite import layers, losses
from returnn_lite.checks import Batch, check_batch, check_initial, check_loops, readable_errors
from returnn_lite.config import Config
from returnn_lite.data import Data
from returnn_lite.errors import NetworkError, nearest
from returnn_lite.frame import Frame, Run
from returnn_lite.infer import infer_loop, template_of
from returnn_lite.initialisers import check_initialiser, initial_value
from returnn_lite.layers.inputs import ExternData
from returnn_lite.lazy import tf
from returnn_lite.load_on_init import loaded_names, loaded_on_init
from returnn_lite.node import Common, Mode, Node, ParamSpec
from returnn_lite.output import Outputs, collect, output_tensors
from returnn_lite.parameters import (
    STEP_COUNTER,
    Array,
    load_checkpoint,
    save_checkpoint,
)
from returnn_lite.reuse import check_reuse
from returnn_lite.scope import Scope, default_outputs


class Network:
    """A network of layers, with parameters.

    network: the dict of layers. extern_data: the data streams. train: whether dropout and the like
    are active. search: whether choices search, rather than take the ground truth. outputs: layers
    that are needed; where it is absent, `output`, the layers with a loss, and those with
    is_output_layer. config: values that eval strings reach as
    `self.network.get_config().typed_value(name)`; a tf.Variable among them may change between runs.
    seed: of the parameters' first values and of all randomness. Raises NetworkError for any mistake
    that can be seen without data.
    """

    def __init__(
        self,
        network: dict[str, Any],
        *,
        extern_data: Mapping[str, Any],
        train: bool = False,
        search: bool = False,
        outputs: Sequence[str] | None = None,
        config: Mapping[str, Any] | None = None,
        seed: int = 1,
    ):
        # Layers ask those before them: a chain of hundreds needs more than Python's usual frames.
        sys.setrecursionlimit(max(sys.getrecursionlimit(), 30_000))
        layers.load()
        self.config = Config(config or {})
        self.mode = Mode(train=train, search=search)
        self.seed = seed
        self.scope = Scope(network, mode=self.mode)
        for key, template in streams.templates(extern_data).items():
            layer = ExternData(template=template)
            self.scope.inputs[key] = Node(key, layer, Common(), self.scope, f"data:{key}")
        names = default_outputs(network, self.mode) if outputs is None else outputs
        self._variables: dict[str, Any] | None = None
        self._functions: dict[tuple[Any, ...], Any] = {}
        self.outputs = self._build(names, "outputs")
        self.loss_nodes = [n for n in self.nodes() if losses.applies(n, self.mode)]
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
            template_of(node)
        for node in self.nodes():
            check_initial(node)
            check_reuse(node)
        for path, spec in self.param_specs().items():
            check_initialiser(path, spec.init)
        if self._variables is not None:
            self._add_variables(self._variables)
        return found

    def nodes(self) -> list[Node]:
        """Return all layers that are built, those of subnetworks included."""
        return list(self.scope.all_nodes())

    def unused(self) -> list[str]:
        """Return the layers of the dict that nothing needs, which are not built."""
        return [name for name in self.scope.layers if name not in self.scope.nodes]

    def template(self, name: str) -> Data:
        """Return the template of a layer's output."""
        return template_of(self.scope.get(name))

    # -- parameters

    def param_specs(self) -> dict[str, ParamSpec]:
        """Return shape, initialiser and trainability of every parameter."""
        specs: dict[str, ParamSpec] = {}
        for node in self.nodes():
            specs.update(node.params)
        return dict(sorted(specs.items()))

    def param_shapes(self) -> dict[str, tuple[int, ...]]:
        """Return the shape of every parameter."""
        return {name: spec.shape for name, spec in self.param_specs().items()}

    @property
    def variables(self) -> dict[str, Any]:
        """The parameters as tf.Variable, made when they are first needed."""
        if self._variables is None:
            self._variables = {}
            self._add_variables(self._variables)
        return self._variables

    def _add_variables(self, known: dict[str, Any]) -> None:
        """Make the parameters that there are not yet."""
        specs = {n: s for n, s in self.param_specs().items() if n not in known}
        values = {n: initial_value(n, s, self.seed) for n, s in specs.items()}
        for node in self.nodes():
            values.update(loaded_on_init(node, values))
        for name, value in values.items():
            spec = specs[name]
            with tf.device(f"/device:{spec.device}:*" if spec.device else None):
                known[name] = tf.Variable(value, name=name, trainable=spec.trainable)

    def get_params(self) -> dict[str, Array]:
        """Return the values of all parameters."""
        return {name: variable.numpy() for name, variable in self.variables.items()}

    def set_params(self, values: Mapping[str, Any]) -> None:
        """Set parameters. Raises NetworkError for an unknown name or another shape."""
        for name, value in values.items():
            if name not in self.variables:
                raise NetworkError(f"no parameter {name!r}{nearest(name, self.variables)}")
            found, needed = tuple(np.shape(value)), tuple(self.variables[name].shape)
            if found != needed:
                raise NetworkError(f"parameter {name}: found shape {found}, needed {needed}")
            dtype = self.variables[name].dtype.as_numpy_dtype
            self.variables[name].assign(np.asarray(value, dtype=dtype))

    def save(self, path: str | Path) -> None:
        """Write all parameters to a checkpoint; `path` is the prefix of its files."""
        save_checkpoint(path, {**self.variables, STEP_COUNTER: np.int64(0)})

    def load(self, path: str | Path) -> None:
        """Read all parameters from a checkpoint. Raises NetworkError where one is missing."""
        found = load_checkpoint(path)
        own = {n for node in self.nodes() for n in loaded_names(node)}
        missing = [n for n in self.variables if n not in found and n not in own]
        if missing:
            raise NetworkError(
                f"{path}: found no parameter {missing[0]!r} and {len(missing) - 1} others of the "
                f"network{nearest(missing[0], found)}"
            )
        self.set_params({n: found[n] for n in self.variables if n in found})

    # -- computation

    def frame(self, batch: Batch, *, train: bool | None = None, step: Any = 0) -> Frame:
        """Return the frame of a batch: {stream: (values, int32 lengths [batch])}, tensors."""
        mode = self.mode if train is None else Mode(train=train, search=self.mode.search)
        some = next(iter(batch.values()))[1]
        run = Run(
            mode=mode,
            params=self.variables,
            batch=tf.shape(some)[0],
            config=self.config,
            seed=self.seed,
            step=step,
        )
        frame = Frame(run)
        for key, (values, lengths) in batch.items():
            node = self.scope.inputs[key]
            template = template_of(node)
            assert template.time_dim is not None
            run.set_lengths(template.time_dim, lengths)
            # What lies behind the longest sequence goes, so that streams of equal lengths agree;
            # what lies behind the others is zero: it may be no number, or no label.
            values = tf.cast(values[:, : tf.reduce_max(lengths)], tf.as_dtype(template.dtype))
            missing = run.entries(template.time_dim) - tf.shape(values)[1]
            rest = [[0, 0]] * (len(template.dims) - 2)
            values = tf.pad(values, [[0, 0], [0, missing], *rest])
            data = replace(template, tensor=values)
            mask = run.mask(template.time_dim, data)
            frame.values[node] = replace(data, tensor=tf.where(mask, values, tf.zeros_like(values)))
        return frame

    def losses(self, frame: Frame, *, errors: bool = False) -> dict[str, losses.Loss]:
        """Return the loss of every layer that has one."""
        train = frame.run.mode.train
        nodes = [n for n in self.loss_nodes if not (train and n.common.only_on_eval)]
        return {n.path: losses.compute(n, frame, errors=errors) for n in nodes}

    def run(self, batch: Batch, fetch: Sequence[str] = ()) -> Outputs:
        """Return outputs, losses and search results of a batch as numpy arrays.

        batch: {stream: (values, lengths)}; values: [batch, time, dim], or [batch, time] for sparse
        data; lengths: int32 [batch]. fetch: names of layers.
        """
        names = tuple(fetch) or tuple(n.path for n in self.outputs)
        templates = {k: template_of(n) for k, n in self.scope.inputs.items()}
        check_batch(batch, templates)
        key = (names, tuple(batch))
        if key not in self._functions:
            wanted = self._build(names, "fetch")
            self._functions[key] = wanted, self._traced(batch, wanted)
        wanted, function = self._functions[key]
        with readable_errors():
            return collect(function(*_tensors(batch, templates)), wanted, self)

    def _traced(self, batch: Batch, wanted: list[Node]) -> Any:
        """Return a compiled function of a batch's tensors; the same for all sizes of a batch."""
        streams_ = list(batch)
        signature = []
        for name in streams_:
            template = template_of(self.scope.inputs[name])
            shape = [d.size for d in template.dims]
            signature += [tf.TensorSpec(shape, template.dtype), tf.TensorSpec([None], tf.int32)]

        def compute(*tensors: Any) -> Any:
            pairs = zip(tensors[::2], tensors[1::2], strict=True)
            frame = self.frame(dict(zip(streams_, pairs, strict=True)))
            with_losses = all(
                n.target is None or _given(n.target, streams_) for n in self.loss_nodes
            )
            found = self.losses(frame, errors=True) if with_losses else {}
            return output_tensors(frame, wanted, found)

        self.variables  # noqa: B018 - made outside of the trace
        return tf.function(compute, input_signature=signature, autograph=False)

    def output_lengths(self, name: str, lengths: Mapping[str, Array]) -> Array:
        """Return int32 [sequences]: how long the output of a layer is for inputs of given lengths.

        Nothing else is computed: what lengths do not depend on is pruned from the graph.
        """
        node = self.scope.get(name, "output_lengths")
        keys = list(lengths)

        def compute(*tensors: Any) -> Any:
            batch = {}
            for key, tensor in zip(keys, tensors, strict=True):
                template = template_of(self.scope.inputs[key])
                shape = [
                    tf.size(tensor),
                    tf.reduce_max(tensor),
                    *(d.size for d in template.dims[2:]),
                ]
                batch[key] = (tf.zeros(shape, tf.as_dtype(template.dtype)), tensor)
            frame = self.frame(batch)
            dim = frame.value(node).time_dim
            assert dim is not None
            return frame.run.lengths[dim].tensor

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


def _given(node: Node, streams_: list[str]) -> bool:
    """Whether a target can be computed from the given streams."""
    if node.layer.layer_class == "extern_data":
        return node.name in streams_
    return all(_given(n, streams_) for n in node.sources)


__all__ = ["Batch", "Network"]
