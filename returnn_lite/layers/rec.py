"""The rec layer whose unit is a network, applied step by step."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any, Literal

from returnn_lite import losses
from returnn_lite.data import Data
from returnn_lite.dim import BATCH, Dim
from returnn_lite.errors import NetworkError
from returnn_lite.frame import Frame
from returnn_lite.infer import infer_loop, template_of, with_steps
from returnn_lite.layers.base import Layer, register
from returnn_lite.layers.inputs import ScopeInput, StepInput
from returnn_lite.layers.steps import RecUnstack
from returnn_lite.lazy import tf
from returnn_lite.loop import Loop
from returnn_lite.naming import let_mean
from returnn_lite.network_dict import is_output
from returnn_lite.node import Common, Node
from returnn_lite.rec.placement import Placement, check_outside, place_nodes
from returnn_lite.rec.steps import run_steps
from returnn_lite.scope import Scope
from returnn_lite.site import Site


@register("rec", when=lambda opts: isinstance(opts.get("unit"), dict))
@dataclass(frozen=True, kw_only=True)
class Rec(Layer):
    """A loop over a network: `prev:x` is what x was a step before.

    unit: the network dict; its layer `output` is the output. With a source, there is a step for
    each of its frames, and `data:source` is the frame; axis: along which dim, by default time.
    `data` and `data:<key>` are entries of streams, which must be as long as there are steps; where
    no stream is `data`, that is the frame, too. Without a source, there is a step for each entry of
    that axis, which a rec_unstack in the unit takes apart. Without an axis, or with a layer `end`
    in a search or beside a target, there is a step for each label of size_target or, in a search,
    of the target of a cheating choice or, in training, of the target, or of a rec_unstack with
    declare_rec_time, or of the target of the first choice or loss; else, in a search, and where
    axis is a Dim that nothing else has, the loop goes on until the bool layer `end` is true,
    max_seq_len steps are made, or the frames end, if it has `data:source`.
    max_seq_len: number of steps, or an expression with max_len_from('base:<layer>'), int32 [batch],
    of the network around, and tf. In RETURNN it is the longest of a batch; for that write
    tf.reduce_max(max_len_from(...)): here what is found does not depend on the rest of a batch.
    max_seq_len_via: in its place a layer, int32. include_eos: whether the step with a true `end`
    belongs to the output. optimize_move_layers_out: False keeps all layers in the loop; the result
    is the same. back_prop: False for no gradient through what is in the loop. n_out: the size of
    the output, for the reader. cheating: without effect, as in RETURNN; it is an option of choices.
    """

    refs = ("max_seq_len_via",)
    unit: dict[str, Any]
    max_seq_len: str | int = "max_len_from('base:encoder') * 3"
    max_seq_len_via: str | None = None
    include_eos: bool = False
    optimize_move_layers_out: bool = True
    size_target: str | None = None
    back_prop: bool | None = None
    n_out: int | None = None
    cheating: bool | Literal["exclusive"] = False
    axis: Any = None

    def open(self, node: Node) -> None:
        """Build the layers that the loop needs."""
        loop = Loop(node)
        scope = Scope(
            self.unit,
            mode=node.scope.mode,
            path=f"{node.path}/",
            parent=node.scope,
            owner=node,
            loop=loop,
            param_path=node.param_name("rec/"),
        )
        loop.scope = node.inner = scope
        if node.sources:
            frames = _frames(node, scope, "T?" if self.axis is None else self.axis)
            scope.inputs["source"] = frames
            if not _around_is_data(node):
                scope.inputs["data"] = frames
        scope.get("output", str(node))
        for name, opts in self.unit.items():
            if is_output(opts, node.scope.mode, in_loop=True):
                scope.get(name)
        if self._along(node):
            return
        self._find_length(node)
        if "length" not in node.refs and self._is_open(node):
            scope.get("end", str(node))
            node.resolved["max_len"] = self._max_len(node)

    def _along(self, node: Node) -> bool:
        """Return whether there is a step for each frame of the source."""
        if self.axis is not None or "end" not in self.unit:
            return bool(node.sources)
        labelled = node.common.target is not None or self.size_target is not None
        return bool(node.sources) and not node.scope.mode.search and not labelled

    def _is_open(self, node: Node) -> bool:
        """Return whether the loop goes on until its end: in a search, or where no target is."""
        if self.axis is not None:
            return True
        if node.scope.mode.search or "end" not in self.unit:
            return node.scope.mode.search
        return not any(n.target is not None and n.target.sources for n in _loop(node).nodes)

    def _find_length(self, node: Node) -> None:
        """Find the stream or layer that says how many steps there are, if one does."""
        if self.axis is not None:
            self._find_unstacked(node)
        elif self.size_target is not None:
            node.refs["length"] = [node.scope.target(self.size_target, str(node))]
        elif (key := self._cheated(node)) is not None:
            node.refs["length"] = [node.scope.target(key, str(node))]
        elif node.common.target is not None and not node.scope.mode.search:
            node.refs["length"] = [node.scope.target(node.common.target, str(node))]
        else:
            self._find_declared(node)

    def _cheated(self, node: Node) -> str | None:
        """Return the stream that a choice looks at in a search, where one does."""
        if not node.scope.mode.search:
            return None
        for opts in self.unit.values():
            if isinstance(opts, dict) and opts.get("class") == "choice" and opts.get("cheating"):
                target = opts.get("target")
                target = target[0] if isinstance(target, list | tuple) and target else target
                if isinstance(target, str) and not target.startswith("layer:"):
                    return target
        return None

    def _find_declared(self, node: Node) -> None:
        """Find the sequence outside of the loop that says how many steps there are, if one does."""
        for inner, layer in _unstacked(node):
            if layer.declare_rec_time:
                node.refs["length"] = [inner.resolved["whole"]]
                node.resolved["length_axis"] = layer.axis

    def _find_unstacked(self, node: Node) -> None:
        """Find a sequence outside of the loop that has the dim over which it runs."""
        found = _unstacked(node)
        own = isinstance(self.axis, Dim) and self.axis not in node.scope.stream_dims()
        if not found and own and "end" in self.unit:
            return
        if not found:
            raise Site(node).error(
                f"found axis {self.axis!r} without a source, needed one in 'from'; "
                "try a rec_unstack with that axis, or a layer 'end' and a Dim that no stream has"
            )
        inner, _ = found[0]
        node.refs["length"] = [inner.resolved["whole"]]
        node.resolved["length_axis"] = self.axis

    def _max_len(self, node: Node) -> tuple[str, dict[str, Node]]:
        """Return the expression for the longest search, and the layers that it names."""
        if self.max_seq_len_via is not None:
            if self.max_seq_len != Rec.max_seq_len:
                raise Site(node).error("found max_seq_len and max_seq_len_via, needed one of them")
            return "max_seq_len_via", {}
        text = str(self.max_seq_len)
        names = re.findall(r"max_len_from\(\s*['\"]([^'\"]+)['\"]\s*\)", text)
        try:
            found = {n: _around(node, n) for n in names}
        except NetworkError as error:
            which = " by default" if self.max_seq_len == Rec.max_seq_len else ""
            raise NetworkError(
                f"{error} (max_seq_len, which ends the loop, is{which} {text!r}; "
                "try another one, or a target)"
            ) from None
        if found:
            node.refs["max_seq_len"] = list(found.values())
        return text, found

    def stays(self, node: Node) -> bool:
        """Return True: it is a loop over one sequence for each of the batch."""
        return True

    def inner_input(self, site: Site) -> Data:
        """Return the sequence whose frames are `data:source`."""
        return site.source

    def infer(self, site: Site) -> Data:
        """Return the template of the layer `output`, with the loop's dim in front."""
        node = site.node
        loop = _loop(node)
        if self._along(node):
            x = site.source
            if self.axis is None and x.time_dim is None:
                raise site.error(f"found source {x}, needed a time dim")
            over = x.time_dim if self.axis is None else site.axis_of(self.axis, x)
            assert over is not None
            if over.kind == "batch":
                raise site.error(f"found axis {self.axis!r} in {x}, needed one of the sequences")
            loop.dim = over
        elif "length" in node.refs:
            x = site.ref("length")
            axis = node.resolved.get("length_axis")
            if axis is None and x.time_dim is None:
                raise site.error(f"found target {x}, needed a time dim")
            over = x.time_dim if axis is None else site.axis_of(axis, x, "length_axis")
            assert over is not None
            loop.dim = over
        elif "max_len" not in node.resolved:
            loop.dim = self._target_dim(site)
        elif self.axis is not None:
            let_mean(site, self.axis, loop.dim)
        site.partial |= not infer_loop(loop)
        assert loop.scope is not None
        out = template_of(loop.scope.get("output"))
        if "max_len" in node.resolved:
            self._check_end(site)
        if self.n_out is not None and (out.classes is None or out.classes.size != self.n_out):
            raise site.error(f"found n_out {self.n_out}, needed that of {out}")
        return with_steps(out, loop)

    def _check_end(self, site: Site) -> None:
        """Check what says when a search ends."""
        node = site.node
        end = template_of(_loop(node).scope.get("end"))  # type: ignore[union-attr]
        if end.dtype != "bool" or not {*end.dims} <= {BATCH}:
            raise site.error(f"found layer 'end' {end}, needed bool [batch]; try compare")
        limit = site.ref("max_seq_len_via").dims if self.max_seq_len_via is not None else ()
        together = not end.has_batch and BATCH not in limit and not node.resolved["max_len"][1]
        node.resolved["ends_together"] = together
        if self.max_seq_len_via is not None:
            x = site.ref("max_seq_len_via")
            if not x.dtype.startswith("int") or not {*x.dims} <= {BATCH}:
                raise site.error(f"found max_seq_len_via {x}, needed whole numbers [] or [batch]")
        text, nodes = node.resolved["max_len"]
        for name, other in nodes.items():
            x = site.data(other)
            if x.time_dim is None:
                raise site.error(f"found {name!r} {x} in max_seq_len {text!r}, needed a time dim")

    def _target_dim(self, site: Site) -> Any:
        """Return the time dim of the target of the loop's first choice."""
        loop = _loop(site.node)
        for node in loop.nodes:
            if node.target is not None and node.target.sources:
                dim = template_of(node.target.sources[0]).time_dim
                if dim is not None:
                    return dim
        raise site.error(
            "found neither a source nor a choice with a target, needed one of them; "
            "or try a layer 'end'"
        )

    def optimises(self, node: Node) -> bool:
        """Return whether layers are moved out of the loop."""
        return self.optimize_move_layers_out and not node.scope.stepwise

    def placement(self, node: Node) -> Placement:
        """Return where the layers of the loop are computed."""
        loop = _loop(node)
        assert loop.scope is not None
        named = {"output", "end"} if "max_len" in node.resolved else {"output"}
        outputs = [
            n
            # Parts of layers, such as `choice/log_prob`, are not among the nodes of a scope.
            for n in [*loop.scope.nodes.values(), *node.wanted]
            if n.name in named or n in node.wanted or n.common.is_output_layer or losses.applies(n)
        ]
        check_outside(loop, {loop.scope.get("output"), *node.wanted})
        return place_nodes(loop, outputs, optimise=self.optimises(node))

    def call(self, site: Site) -> Data:
        """Run what needs to be run step by step, and the rest at once."""
        node, loop = site.node, _loop(site.node)
        assert site.frame is not None and loop.scope is not None
        frame = Frame(site.run, loop, site.frame)
        site.frame.inside[loop] = frame
        for known in [*node.sources, *node.refs.get("length", ())]:
            site.data(known)  # the lengths of its time dim are those of the loop
        placement = self.placement(node)
        if any(n.layer.layer_class not in ("prev", "step_input") for n in placement.at("in")):
            limit, gradient = self._limit(site, placement), self.back_prop is not False
            run_steps(frame, placement, limit, include_eos=self.include_eos, with_gradient=gradient)
        return site.data(loop.scope.get("output"))

    def _limit(self, site: Site, placement: Placement) -> Any:
        """Return the number of steps after which a loop that goes on until its end stops."""
        if "max_len" not in site.node.resolved:
            return None
        text, nodes = site.node.resolved["max_len"]

        def max_len_from(name: str) -> Any:
            return site.run.lengths[site.data(nodes[name]).time_dim].tensor

        try:
            names = {"max_len_from": max_len_from, "tf": tf}
            if self.max_seq_len_via is not None:
                names[text] = site.ref(text).tensor
            value = eval(text, names)  # noqa: S307 - networks are code
        except Exception as error:
            raise site.error(f"found max_seq_len {text!r}: {error}") from error
        value = tf.broadcast_to(tf.cast(value, tf.int32), [site.run.batch])
        for node in placement.place:
            if isinstance(node.layer, StepInput) and node.layer.bounds:
                value = tf.minimum(value, self._frames_of(site, node))
        return value

    def _frames_of(self, site: Site, frames: Node) -> Any:
        """Return int32 [batch], or [] of a fixed dim: how many frames the source has."""
        x, (dim,) = site.source, frames.resolved["axis"]
        if x.beam is not None:
            raise site.error(
                f"found {x.beam} in 'from' of a loop that goes on until its end, needed none; try "
                "'decide' before"
            )
        return site.run.lengths_in(x, dim) if dim.dynamic else dim.size


def _unstacked(node: Node) -> list[tuple[Node, RecUnstack]]:
    """Return the layers of a loop that take sequences from outside of it apart."""
    assert node.inner is not None
    nodes = node.inner.nodes.values()
    return [(n, n.layer) for n in nodes if isinstance(n.layer, RecUnstack)]


def _loop(node: Node) -> Loop:
    assert node.inner is not None and node.inner.loop is not None
    return node.inner.loop


def _around_is_data(node: Node) -> bool:
    """Whether there is a stream `data` around a loop that is another sequence than its source."""
    scope: Scope | None = node.scope
    while scope is not None and not scope.is_body:
        if "data" in scope.registered or "data" in scope.inputs:
            return node.sources != [scope.inputs.get("data")]
        scope = scope.parent
    return False


def _around(node: Node, name: str) -> Node:
    """Return the layer or stream that max_seq_len names: one of the network around the loop.

    As in RETURNN, `base:` is the network around that, and only where that has no such layer, it is
    without effect.
    """
    own = name.removeprefix("base:")
    known = own != name and _names(node.scope.parent, own)
    return node.scope.get(name if known else own, str(node))


def _names(scope: Scope | None, name: str) -> bool:
    """Return whether a network has a layer or stream of a name."""
    if scope is None or name.startswith("base:"):
        return scope is not None and _names(scope.parent, name.removeprefix("base:"))
    head = name.partition("/")[0]
    return head in scope.layers or head.partition(":")[0] == "data"


def _frames(node: Node, scope: Scope, axis: Any) -> Node:
    """Return the layer that is one frame of the source in each step."""
    whole = Node("source", ScopeInput(owner=node), Common(), node.scope, f"{node.path}/source")
    if node.scope.loop is not None:
        node.scope.loop.nodes.append(whole)
    step = StepInput(axis=axis, bounds=True)
    frame = Node("data:source", step, Common(), scope, f"{node.path}/data:source")
    frame.sources = [whole]
    assert scope.loop is not None
    scope.loop.nodes.append(frame)
    return frame
