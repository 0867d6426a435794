"""Sequences that come in chunks: the states after one chunk are those before the next."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from returnn_lite import extern_data as streams
from returnn_lite.carried import Carried
from returnn_lite.checks import Batch, check_batch, readable_errors
from returnn_lite.errors import NetworkError
from returnn_lite.infer import template_of
from returnn_lite.layers.batch_norm import BatchNorm
from returnn_lite.layers.choice import Choice
from returnn_lite.layers.rec import Rec
from returnn_lite.layers.rec_unit import Recurrent
from returnn_lite.lazy import tf
from returnn_lite.network import Network
from returnn_lite.node import Node
from returnn_lite.output import Array, Output, collect, output_tensors
from returnn_lite.run import carried_name
from returnn_lite.site import Site

# Layers outside of loops that look at one frame at a time.
_BY_FRAME = frozenset(
    {"activation", "cast", "combine", "compare", "copy", "dropout", "eval", "extern_data", "gating"}
    | {"layer_norm", "linear", "reduce_out", "reinterpret_data", "softmax", "split_dims"}
    | {"subnetwork", "scope_input", "batch_norm"}
)
# Layers that are functions of the number of a step, where they are in a loop.
_BY_INDEX = frozenset({"positional_encoding", "relative_positional_encoding", "random", "rand_int"})
# Options of choices that look at that number, or at the whole target.
_NOT_PLAIN = ("keep_beams", "cheating", "random_sample_scale", "custom_score_combine")


@dataclass(frozen=True)
class SoFar:
    """What a layer has given for all chunks so far.

    values: [batch, time, ...], zero behind the ends; with hypotheses [batch * beam, time, ...],
    those of a sequence side by side, the best first. lengths: int32 [batch], or [batch * beam].
    scores: float32 [batch, beam], log-probabilities of the hypotheses, None without a search.
    """

    values: Array
    lengths: Array
    scores: Array | None = None


class Stream:
    """A network that runs over chunks of sequences, with the same result as over the whole.

    network, extern_data, options: see `Network`. All layers of a loop stay in it. Outside of loops
    there may be layers of single frames, and forward recurrent layers; loops run over frames. A
    sequence may have any number of frames in a chunk, or none. Raises NetworkError for layers that
    look at other frames.
    """

    def __init__(self, network: dict[str, Any], *, extern_data: Mapping[str, Any], **options: Any):
        self.network = Network(network, extern_data=extern_data, stepwise=True, **options)
        if self.network.mode.train:
            raise NetworkError(
                "stream: found train True, needed False: noise and statistics would be by chunk"
            )
        for node in self.network.nodes():
            _check(node)
        self._carried = Carried()
        self._rows: dict[str, list[Array]] = {}
        self._batch = 0
        self._origins: dict[str, str] = {}

    def reset(self) -> None:
        """Forget all chunks: the next one is the first of other sequences."""
        self._carried.reset()
        self._rows = {}

    def push(self, batch: Batch) -> dict[str, SoFar]:
        """Run the next chunk, as `Network.run` takes it, and return the network's outputs so far.

        The sequences are those of the chunks before, in the same order.
        """
        batch = check_batch(batch, self.network.streams)
        count = len(next(iter(batch.values()))[0])
        if self._rows and count != self._batch:
            raise NetworkError(
                f"batch: found {count} sequences, needed {self._batch} as in the chunk before; "
                "try reset"
            )
        self._batch = count
        tensors = [
            tf.convert_to_tensor(np.asarray(x, dtype=dtype))
            for key, (values, lengths) in batch.items()
            for x, dtype in ((values, self.network.streams[key].dtype), (lengths, "int32"))
        ]
        self.network.variables  # noqa: B018 - made outside of the trace
        with readable_errors():
            found = self._run(tuple(batch), tensors)
        outputs = collect(found, self.network.outputs)
        return {name: self._so_far(name, out) for name, out in outputs.items()}

    def _run(self, keys: tuple[str, ...], arguments: list[Any]) -> Any:
        """Return the outputs of a chunk, and take its states."""

        def compute(tensors: Sequence[Any], carried: dict[str, Any]) -> Any:
            pairs = zip(tensors[::2], tensors[1::2], strict=True)
            frame = self.network.frame(dict(zip(keys, pairs, strict=True)), carried=carried)
            frame.run.stream = True
            found = output_tensors(frame, self.network.outputs, {})
            loops = {beam: loop for loop, beam in frame.run.beams.items()}
            for node in self.network.outputs:
                beam = frame.value(node).beam
                if beam is not None:
                    self._origins[node.path] = carried_name(loops[beam].node, "origin")
            return found, frame.run.carry

        specs = [s for k in keys for s in streams.signature(self.network.streams[k])]
        return self._carried.run(keys, compute, specs, arguments)

    def _so_far(self, name: str, out: Output) -> SoFar:
        """Return the outputs of all chunks, those before for the hypotheses of this one."""
        if out.time_dim is None or not out.time_dim.dynamic:
            raise NetworkError(f"{name}: found no time dim, needed one in a stream")
        values, lengths = out.canonical(), out.lengths[out.time_dim.name]
        chunk = [v[:n] for v, n in zip(values, lengths, strict=True)]
        before = self._rows.get(name, [v[:0] for v in values])
        if out.beam_size is not None:
            before = [before[i] for i in self._origin(name, out.beam_size)]
        rows = [np.concatenate(pair) for pair in zip(before, chunk, strict=True)]
        self._rows[name] = rows
        counts = np.array([len(r) for r in rows], np.int32)
        whole = np.zeros((len(rows), counts.max(initial=0), *values.shape[2:]), values.dtype)
        for row, r in zip(whole, rows, strict=True):
            row[: len(r)] = r
        return SoFar(whole, counts, out.scores)

    def _origin(self, name: str, size: int) -> Array:
        """Return for each hypothesis the row of the one before the chunk that it continues."""
        origin: Array = np.asarray(self._carried.states[self._origins[name]])
        return (origin + np.arange(len(origin))[:, None] * size).reshape(-1)


def _check(node: Node) -> None:
    """Raise NetworkError for a layer whose output depends on how its sequences are cut."""
    site, layer = Site(node), node.layer
    norm = layer if isinstance(layer, BatchNorm) else node.resolved.get("batch_norm")
    if norm is not None and norm.of_batch(train=False):
        raise site.error(
            "found batch_norm with the moments of a batch, needed running ones in a stream; "
            "try update_sample_only_in_training, and no force_sample"
        )
    if node.common.dropout and node.common.dropout_on_forward:
        raise site.error("found dropout_on_forward, needed none in a stream: it is by chunk")
    if node.loop is not None:
        _check_in_loop(site)
    elif isinstance(layer, Rec):
        if not node.sources:
            raise site.error("found a loop without a source, needed one over frames in a stream")
    elif isinstance(layer, Recurrent):
        if layer.way() != 1:
            raise site.error("found direction -1, needed 1 in a stream: later frames are not known")
    elif layer.layer_class not in _BY_FRAME or _splits_time(node):
        raise site.error(
            f"found {layer.layer_class}, needed layers of single frames or recurrent ones in a "
            "stream; try it within the loop"
        )


def _splits_time(node: Node) -> bool:
    return node.layer.layer_class == "split_dims" and node.resolved["axis"][0].dynamic


def _check_in_loop(site: Site) -> None:
    node, layer, mode = site.node, site.node.layer, site.node.scope.mode
    if layer.layer_class == "step_index":
        raise site.error("found ':i', needed none in a stream: chunks begin at any step")
    if layer.layer_class in _BY_INDEX and layer.steps(node):
        raise site.error(
            f"found {layer.layer_class}, needed layers that do not count steps in a stream: "
            "chunks begin at any step"
        )
    if isinstance(layer, Choice):
        names = _NOT_PLAIN if mode.search else ("scheduled_sampling",) * layer.samples(mode)
        for name in names:
            if getattr(layer, name):
                raise site.error(f"found {name}, needed a plain search in a stream")
    if layer.layer_class in ("step_input", "scope_input"):
        return
    for other in node.depends():
        if other.loop is None and any(d.dynamic for d in template_of(other).dims):
            raise site.error(f"found whole sequences of {other.path}, needed single frames")


__all__ = ["SoFar", "Stream"]
