"""Self-attention over the frames of a sequence, or over the steps of a loop so far."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

from returnn_lite import native, random
from returnn_lite.beam import latest
from returnn_lite.data import Data
from returnn_lite.dim import BATCH, Dim
from returnn_lite.first_words import KEPT
from returnn_lite.layers import kept_state
from returnn_lite.layers.affine import affine
from returnn_lite.layers.base import Layer, register
from returnn_lite.layers.history import no_entries
from returnn_lite.layers.positions import RelativePositionalEncoding
from returnn_lite.lazy import tf
from returnn_lite.node import Node
from returnn_lite.site import Site


@register("self_attention")
@dataclass(frozen=True, kw_only=True)
class SelfAttention(Layer):
    """Multi-head dot-product attention of every frame to all frames (Vaswani et al., 2017).

    in: float [batch, time, in] or sparse, or in a step of a loop without time, where it attends to
    this step and those before; out: float [batch, time, n_out]. attention_left_only: frames do not
    attend to later ones; needed in a loop. key_shift: a layer [queries, keys, key_dim] whose
    product with the query is added to the energies (Shaw et al., 2018, equation 5).
    attention_dropout: of the weights. initial_state: "keep_over_epoch" lets frames attend to those
    of the batches before, too, without a gradient (Dai et al., 2019), as `rec` has it; None or
    "zeros": to none. restrict_state_to_last_seq: of the last batch only. state_var_lengths: how
    many of those before count, the last ones of each sequence; an int32 layer [batch], an array, or
    a function without arguments that returns it. num_heads: with total_key_dim / num_heads and
    n_out / num_heads features each. share_kv, also of the class self_attention_share_kv: the values
    are the keys, so that a search keeps half as much (Irie et al., 2020). Parameter QKV [in, 2
    total_key_dim + n_out], with share_kv [in, 2 total_key_dim]; its columns are, for one head after
    the other, query, key and, without share_kv, value.
    """

    refs = ("key_shift", "state_var_lengths")
    n_out: int
    num_heads: int
    total_key_dim: int
    attention_left_only: bool = False
    attention_dropout: float = 0.0
    key_shift: str | None = None
    share_kv: bool = False
    initial_state: str | int | None = None
    restrict_state_to_last_seq: bool = False
    state_var_lengths: Any = None
    forward_weights_init: Any = "glorot_uniform"

    def open(self, node: Node) -> None:
        """Check the options."""
        if self.num_heads < 1 or self.total_key_dim % self.num_heads or self.n_out % self.num_heads:
            raise Site(node).error(
                f"found total_key_dim {self.total_key_dim} and n_out {self.n_out}, "
                f"needed multiples of num_heads {self.num_heads}"
            )
        if self.share_kv and self.total_key_dim != self.n_out:
            raise Site(node).error(
                f"found total_key_dim {self.total_key_dim} and n_out {self.n_out} with share_kv, "
                "needed equal ones"
            )
        if not 0.0 <= self.attention_dropout < 1.0:
            found = self.attention_dropout
            raise Site(node).error(f"found attention_dropout {found}, needed 0 or more, below 1")
        if self.initial_state not in (None, 0, "zeros", *KEPT):
            raise Site(node).error(
                f"found initial_state {self.initial_state!r}, needed None, 'zeros' or "
                "'keep_over_epoch'"
            )
        if self._keeps and self.key_shift is not None:
            raise Site(node).error(
                "found key_shift with initial_state 'keep_over_epoch', needed none: it is for the "
                "frames of one batch; try 'zeros'"
            )

    @property
    def _keeps(self) -> bool:
        """Whether frames attend to those of the batches before."""
        return self.initial_state in KEPT

    @property
    def _sizes(self) -> tuple[int, int]:
        """The sizes of the keys and of the values of one head."""
        return self.total_key_dim // self.num_heads, self.n_out // self.num_heads

    @property
    def _columns(self) -> list[int]:
        """The sizes of what is computed of a frame for one head: query, key and value."""
        key, value = self._sizes
        return [key, key] if self.share_kv else [key, key, value]

    def steps(self, node: Node) -> bool:
        """Return whether it runs over the loop, rather than over a dim of its input."""
        return node.resolved.get("over") is None

    def stays(self, node: Node) -> bool:
        """Return whether it runs over a dim of its input."""
        return not self.steps(node)

    def infer(self, site: Site) -> Data:
        """Return the template [batch, time, n_out], or [batch, n_out] in a step."""
        x = site.source
        rest = [d for d in x.dims if d is not x.feature_dim and d is not x.time_dim]
        if x.classes is None or x.classes.size is None or rest != [BATCH]:
            raise site.error(f"found source {x}, needed batch and feature dims, and perhaps time")
        if x.time_dim is None and site.node.loop is None:
            raise site.error(f"found source {x}, needed a time dim")
        if x.time_dim is None and not self.attention_left_only:
            raise site.error(
                "found it in a loop, where later steps are not known; try attention_left_only"
            )
        if self.key_shift is not None:
            shift = site.ref("key_shift")
            if shift.has_batch or shift.feature_dim is None or shift.feature_size != self._sizes[0]:
                raise site.error(
                    f"found key_shift {shift}, needed [queries, keys, {self._sizes[0]}]"
                )
        if "state_var_lengths" in site.node.refs:
            lengths = site.ref("state_var_lengths")
            if lengths.dims != (BATCH,) or not lengths.dtype.startswith("int"):
                raise site.error(f"found state_var_lengths {lengths}, needed whole numbers [batch]")
        site.node.resolved["over"] = x.time_dim
        kept_state.declare_kept(site, self._parts if self._keeps else ())
        shape = (x.classes.size, self.num_heads * sum(self._columns))
        site.param("QKV", shape, self.forward_weights_init)
        out = x.with_feature(site.feature(self.n_out))
        front = [BATCH] if x.time_dim is None else [BATCH, x.time_dim]
        return out.ordered([*front, out.feature])

    def first_state(self, site: Site) -> dict[str, Data]:
        """Return no keys and values, where it runs over the loop; "valid": which ones count."""
        if not self.steps(site.node):
            return {}
        state = self._before(site)
        return {**state, "valid": self._counted(site, state["valid"])}

    @property
    def _parts(self) -> list[str]:
        """The parts of the state: keys and values, and which of them are no padding."""
        return ["k", "valid"] if self.share_kv else ["k", "v", "valid"]

    def _before(self, site: Site) -> dict[str, Data]:
        """Return what is kept of the batches before, [batch, history, heads, size], or nothing."""
        history = site.node.dim("spatial", "history")
        sizes = dict(zip("kv", self._sizes, strict=True))
        found = {}
        for name in self._parts:
            dtype = "bool" if name == "valid" else "float32"
            found[name] = self._empty(site, history, sizes.get(name), dtype)
            if self._keeps:
                found[name] = kept_state.state_before(site, name, found[name])
        return found

    def _counted(self, site: Site, valid: Data) -> Data:
        """Return which frames of the batches before count."""
        given = self.state_var_lengths
        if given is None or not self._keeps:
            return valid
        if isinstance(given, str):
            lengths = site.ref("state_var_lengths").tensor
        else:
            lengths = tf.convert_to_tensor(given() if callable(given) else given)
        if lengths.shape.rank != 1 or not lengths.dtype.is_integer:
            raise site.error(f"found state_var_lengths {lengths}, needed whole numbers [batch]")
        text = f"{site.node}: found other state_var_lengths than needed, one for each sequence"
        check = tf.debugging.assert_equal(tf.size(lengths), site.run.batch, message=text)
        with tf.control_dependencies([check] if check is not None else []):
            # The number of valid frames from each one on.
            left = tf.cumsum(tf.cast(valid.tensor, tf.int32), axis=1, reverse=True)
        counts = left <= tf.cast(lengths, tf.int32)[:, None]
        return replace(valid, tensor=tf.logical_and(valid.tensor, counts))

    def kept_state(self, site: Site, state: dict[str, Data], lengths: Any) -> dict[str, Data]:
        """Return the keys and values that the next batch attends to."""
        before = self._before(site)
        count = tf.shape(before["valid"].tensor)[1]
        new = state["valid"].tensor[:, count:]
        within = tf.sequence_mask(lengths, tf.shape(new)[1])
        new = {n: d.tensor[:, count:] for n, d in state.items()} | {"valid": new & within}
        return self._added(state, before, new)

    def _added(
        self, like: dict[str, Data], before: dict[str, Data], new: dict[str, Any]
    ) -> dict[str, Data]:
        """Return what is kept for the next batch: what was kept before, and new entries."""
        if not self.restrict_state_to_last_seq:
            new = {n: tf.concat([before[n].tensor, x], axis=1) for n, x in new.items()}
        return {n: replace(like[n], tensor=x) for n, x in new.items()}

    def _empty(self, site: Site, history: Dim, size: int | None, dtype: str) -> Data:
        """Return data without any entry of the history."""
        dims = [BATCH, history]
        if size is not None:
            dims += [site.node.dim("spatial", "heads", self.num_heads)]
            dims += [site.node.dim("feature", "", size)]
        return no_entries(site, tuple(dims), history, dtype)

    def call(self, site: Site) -> Data:
        """Return the attended values of all frames, or of one step."""
        x = site.source
        over = site.node.resolved["over"]
        if over is None:
            over = site.axis
        if over is None:
            return self._step(site, x)
        x = site.over(x, BATCH).first(BATCH)
        x = site.over(x, over).first(BATCH, over)
        rest = [d for d in x.dims if d is not x.feature_dim and d not in (BATCH, over)]
        assert not rest, f"{site.node}: {x}"
        y = affine(x, site.param("QKV", (), None), None, site.run)
        if self._fused(site, y):
            return self._out(x, site, self._whole(site, x, over, y))
        q, k, v = self._split(y)
        mask = None
        if over.dynamic:
            frames = replace(x, dims=(BATCH, over), tensor=q[:, 0, :, 0])
            mask = site.run.mask(over, frames)[:, None, None, :]
        if self.attention_left_only:
            place = tf.range(tf.shape(q)[2])
            earlier = (place[None, :] <= place[:, None])[None, None]
            mask = earlier if mask is None else tf.logical_and(mask, earlier)
        if self._keeps:
            k, v, mask = self._with_before(site, x, over, (k, v), mask)
        y = self._attended(site, x, over, (q, k, v), mask)
        return self._out(x, site, y)

    def _with_before(
        self, site: Site, x: Data, over: Dim, kv: tuple[Any, Any], mask: Any
    ) -> tuple[Any, Any, Any]:
        """Return keys, values and mask with those of the batches before, and keep all of them."""
        new = {n: tf.transpose(t, [0, 2, 1, 3]) for n, t in zip("kv", kv, strict=True)}
        batch, frames = tf.unstack(tf.shape(new["k"])[:2])
        ends = site.run.lengths_in(x, over) if over.dynamic else tf.fill([batch], frames)
        new["valid"] = tf.sequence_mask(ends, frames)
        before = self._before(site)
        like = {n: replace(d, beam=x.beam) for n, d in before.items()}
        kept = self._added(like, before, {n: new[n] for n in self._parts})
        kept_state.keep(site, kept)
        past = self._counted(site, before["valid"]).tensor[:, None, None, :]
        if mask is None:
            mask = tf.ones([1, 1, 1, frames], tf.bool)
        queries = tf.shape(mask)[2]
        past = tf.broadcast_to(past, [batch, 1, queries, tf.shape(past)[3]])
        mask = tf.concat([past, tf.broadcast_to(mask, [batch, 1, queries, frames])], axis=3)
        old = {n: tf.transpose(before[n].tensor, [0, 2, 1, 3]) for n in self._parts[:-1]}
        k = tf.concat([old["k"], kv[0]], axis=2)
        return k, (k if self.share_kv else tf.concat([old["v"], kv[1]], axis=2)), mask

    def _fused(self, site: Site, qkv: Any) -> bool:
        """Return whether a kernel serves, which keeps no weights, so that none are dropped."""
        dropped = self.attention_dropout and site.run.mode.train
        return not (self._keeps or self.share_kv or dropped) and native.attends(qkv)

    def _whole(self, site: Site, x: Data, over: Dim, qkv: Any) -> Any:
        """Return float [batch, time, heads * value] of what `affine` made."""
        shift = self._shift_by_distance(site, over)
        if self.key_shift is not None and shift is None:
            shift, frames = self._shift(site, over, None), tf.shape(qkv)[1]
            text = f"{site.node}: found key_shift of other queries or keys than there are frames"
            check = tf.debugging.assert_equal(tf.shape(shift)[:-1], [frames, frames], message=text)
            with tf.control_dependencies([check] if check is not None else []):
                shift = tf.identity(shift)
        lengths = site.run.lengths_in(x, over) if over.dynamic else None
        key, value = self._sizes
        of = native.Heads(
            heads=self.num_heads,
            key_size=key,
            value_size=value,
            left_only=self.attention_left_only,
            every_query=not site.run.skips_padding,
        )
        return native.self_attention(qkv, shift, lengths, of)

    def _out(self, x: Data, site: Site, y: Any) -> Data:
        """Return y [batch, time, ...], heads and values, as data with the dims of x."""
        out = x.with_feature(site.feature(self.n_out))
        return replace(out, tensor=tf.reshape(y, [*tf.unstack(tf.shape(y)[:2]), self.n_out]))

    def _split(self, y: Any) -> list[Any]:
        """Return queries, keys and values of what `affine` made: float [batch, heads, time, size].

        Heads are put in front once, for all products, rather than by each of them.
        """
        columns = self._columns
        sizes = tf.unstack(tf.shape(y)[:-1])
        y = tf.reshape(y, [*sizes, self.num_heads, sum(columns)])
        if len(sizes) > 1:
            y = tf.transpose(y, [0, 2, 1, 3])
        q, k, *rest = tf.split(y, columns, axis=-1)
        return [q * columns[0] ** -0.5, k, rest[0] if rest else k]

    def _step(self, site: Site, x: Data) -> Data:
        """Attend to this step and those before; keep their keys and values."""
        before = {n: site.state(n) for n in self._parts}
        beam = latest([x.beam, before["k"].beam])
        x = x.in_beam(beam).first(BATCH)
        new = self._split(affine(x, site.param("QKV", (), None), None))
        before = {n: data.in_beam(beam) for n, data in before.items()}
        ones = tf.ones([tf.shape(new[0])[0]], tf.bool)
        entries = {"k": new[1], "v": new[2], "valid": ones}
        for name, data in before.items():
            tensor = tf.concat([data.tensor, entries[name][:, None]], axis=1)
            site.set_state(name, replace(data, tensor=tensor))
            entries[name] = tensor
        mask = entries["valid"][:, None, None, :]
        k = tf.transpose(entries["k"], [0, 2, 1, 3])
        v = k if self.share_kv else tf.transpose(entries["v"], [0, 2, 1, 3])
        y = self._attended(site, x, None, (new[0][:, :, None], k, v), mask)
        out = x.with_feature(site.feature(self.n_out))
        return replace(out, tensor=tf.reshape(y, [-1, self.n_out]))

    def _attended(
        self, site: Site, x: Data, over: Dim | None, qkv: tuple[Any, Any, Any], mask: Any
    ) -> Any:
        """Return float [batch, queries, heads, value].

        qkv: float [batch, heads, queries or keys, size]. mask: bool, to broadcast against [batch,
        heads, queries, keys].
        """
        q, k, v = qkv
        energy = tf.matmul(q, k, transpose_b=True)
        if self.key_shift is not None:
            energy += tf.einsum("bhqd,qkd->bhqk", q, self._shift(site, over, tf.shape(k)[2]))
        if mask is not None:
            # Added once: a choice between energies is a pass more, forward and backward.
            energy += tf.where(mask, 0.0, energy.dtype.min / 2)
        weights = tf.nn.softmax(energy)
        if self.attention_dropout and site.run.mode.train:
            weights = self._dropped(site, weights, over)
        return tf.transpose(tf.matmul(weights, v), [0, 2, 1, 3])

    def _shift(self, site: Site, over: Dim | None, keys: Any) -> Any:
        """Return float [queries, keys, key_dim]."""
        shift = site.ref("key_shift")
        x = shift.last(shift.feature).tensor
        if over is None:
            # What was computed for all steps at once has keys of later steps, too.
            return (x if x.shape.rank == 3 else x[None])[:, :keys]
        return x

    def _shift_by_distance(self, site: Site, over: Dim) -> Any:
        """Return float [2 clipping + 1, key_dim] of distances; None where shifts are of pairs."""
        for node in site.node.refs.get("key_shift", ()):
            if isinstance(node.layer, RelativePositionalEncoding) and site.frame is not None:
                return node.layer.by_distance(Site(node, site.frame.home(node)), over)
        return None

    def _dropped(self, site: Site, weights: Any, over: Dim | None) -> Any:
        """Return the weights [batch, heads, queries, keys], some of them zero."""
        seed = site.run.rng(f"{site.node.path}/attention_dropout")
        batch, heads, queries, keys = tf.unstack(tf.shape(weights))
        if not self.steps(site.node):
            noise = random.uniform([batch, heads, queries, keys], seed)
        else:
            before = keys - (site.index + 1 if over is None else queries)
            noise = self._noise_by_steps(site, seed, over, [batch, heads, keys - before])
            if self._keeps:
                other = site.run.rng(f"{site.node.path}/attention_dropout_before")
                past = self._noise_before(site, other, over, [batch, heads, before])
                noise = tf.concat([past, noise], axis=3)
        keep = tf.cast(noise >= self.attention_dropout, weights.dtype)
        return weights * keep / (1.0 - self.attention_dropout)

    def _noise_before(self, site: Site, seed: Any, over: Dim | None, sizes: list[Any]) -> Any:
        """Return random numbers [batch, heads, queries, keys] for those of the batches before."""
        if over is None:
            return random.uniform_steps(sizes, seed, site.index, 1)[0][:, :, None]
        whole, selected = site.run.steps_of(over)
        noise = random.uniform_steps(sizes, seed, 0, site.run.entries(whole))
        if selected is None:
            return tf.transpose(noise, [1, 2, 0, 3])
        noise = tf.gather(tf.transpose(noise, [1, 0, 2, 3]), selected, axis=1, batch_dims=1)
        return tf.transpose(noise, [0, 2, 1, 3])

    def _noise_by_steps(self, site: Site, seed: Any, over: Dim | None, sizes: list[Any]) -> Any:
        """Return random numbers [batch, heads, queries, keys], for a step those of all its keys."""
        batch, heads, keys = sizes
        loop = site.node.loop
        assert loop is not None
        if over is None:
            shape = [batch, heads, site.run.entries(loop.dim)]
            return random.uniform_steps(shape, seed, site.index, 1)[0][:, :, None, :keys]
        whole, selected = site.run.steps_of(over)
        steps = site.run.entries(whole)
        noise = random.uniform_steps([batch, heads, steps], seed, 0, steps)
        noise = tf.transpose(noise, [1, 2, 0, 3])
        if selected is None:
            return noise
        every = tf.transpose(noise, [0, 2, 3, 1])
        every = tf.gather(tf.gather(every, selected, batch_dims=1), selected, axis=2, batch_dims=1)
        return tf.transpose(every, [0, 3, 1, 2])
