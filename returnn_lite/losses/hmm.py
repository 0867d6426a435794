"""Sums over the paths of hidden Markov models: full-sum training of hybrid acoustic models."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from functools import cached_property
from pathlib import Path
from typing import Any

from returnn_lite import native, options
from returnn_lite.data import Data
from returnn_lite.dim import BATCH
from returnn_lite.errors import NetworkError, nearest
from returnn_lite.layers.activations import safe_log
from returnn_lite.lazy import tf
from returnn_lite.losses.base import Criterion, Given, Parts, register
from returnn_lite.losses.sequence import by_sequence
from returnn_lite.run import Run


@dataclass(frozen=True, kw_only=True)
class Topology:
    """How labels become states, each with an output of its own: phone * states + state.

    states: of a phone; each takes one frame or more. speech: costs, -log of probabilities, [loop,
    forward], of a further frame in a state and of leaving it. silence: a phone of one state that
    may stand at both ends and between words, with the costs pause. lexicon: a JSON file {word:
    [pronunciation, ...]}, each a list of phones; the target's labels are then words by its
    vocabulary, else they are phones.
    """

    states: int = 3
    speech: tuple[float, ...] = (0.0, 0.0)
    silence: int | None = None
    pause: tuple[float, ...] = (0.0, 0.0)
    lexicon: str | None = None

    @classmethod
    def of(cls, opts: Mapping[str, Any]) -> Topology:
        """Return that of options. Raises NetworkError for unknown or wrong ones."""
        # mypy takes a dataclass's own hash for that of the class.
        known, hints = [f.name for f in fields(cls)], options.hints(cls)  # type: ignore[arg-type]
        for key, value in opts.items():
            if key not in known:
                raise NetworkError(f"unknown option {key!r} in hmm_opts{nearest(key, known)}")
            if not options.fits(value, hints[key]):
                needed = options.described(hints[key])
                raise NetworkError(f"hmm_opts: option {key!r}: found {value!r}, needed {needed}")
        found = cls(**opts)
        if found.states < 1 or len(found.speech) != 2 or len(found.pause) != 2:
            raise NetworkError(
                f"found hmm_opts {dict(opts)}, needed one state or more, and costs [loop, forward]"
            )
        _ = found.words
        return found

    @cached_property
    def words(self) -> dict[str, list[tuple[list[int], float]]] | None:
        """The pronunciations of every word, with their costs."""
        if self.lexicon is None:
            return None
        try:
            found = json.loads(Path(self.lexicon).read_text(encoding="utf-8"))
            return {w: [([int(p) for p in phones], 0.0) for phones in v] for w, v in found.items()}
        except (OSError, ValueError, TypeError, AttributeError) as error:
            raise NetworkError(
                f"{self.lexicon}: found no lexicon ({error}), needed JSON, a word's pronunciations "
                "as lists of phones"
            ) from None

    def check(self, out: Data, target: Data) -> None:
        """Raise NetworkError where the outputs are not those of the states."""
        if target.sparse_dim is None or target.time_dim is None or out.feature_dim is None:
            raise NetworkError(f"found {out} for target {target}, needed features, sparse labels")
        if self.words is not None and target.vocab is None:
            raise NetworkError(f"found target {target}, needed one with a vocab for the lexicon")
        phones = target.sparse_dim.size or 0
        if self.words is not None:
            phones = 1 + max(p for v in self.words.values() for one, _ in v for p in one)
        phones = max(phones, -1 if self.silence is None else self.silence + 1)
        if out.feature_size < phones * self.states or out.time_dim is None:
            raise NetworkError(
                f"found {out} for {phones} phones, needed a time dim and "
                f"{phones * self.states} outputs, one for each of {self.states} states"
            )

    def paths(self, run: Run, scores: Data, target: Data, scale: float) -> tuple[Any, ...]:
        """Return the arguments of `native.fsa_full_sum` and `native.fsa_best_path`.

        scores: log-probabilities. scale: of the costs.
        """
        time, labels = scores.time_dim, target.time_dim
        assert time is not None and labels is not None
        automaton = native.hmm_automaton(
            states=self.states,
            silence=self.silence,
            speech=[scale * x for x in self.speech],
            pause=[scale * x for x in self.pause],
            lexicon=self.words,
            vocab=None if self.words is None else target.vocab,
        )
        x = scores.ordered([time, BATCH, scores.feature]).tensor
        y = [target.ordered([BATCH, labels]).tensor, run.lengths_of(labels, None)]
        return x, run.lengths_of(time, None), automaton, y


NEEDS_RASR = "automata of the decoder RASR (sprint_opts), needed those of this project"


@register("fast_bw")
@dataclass(frozen=True, kw_only=True)
class FullSum(Criterion):
    """-log of the sum over all paths of a hidden Markov model (Baum, 1972), of log softmax.

    RETURNN's automata come from RASR (sprint_opts); here they are those of hmm_opts, see Topology.
    sprint_opts are an error, therefore. tdp_scale: of the costs. A sequence without a path counts
    as 0.
    """

    by_frame = False
    hmm_opts: dict[str, Any] = field(default_factory=dict)
    tdp_scale: float = 1.0
    sprint_opts: Any = None

    def check(self) -> None:
        """Check hmm_opts."""
        if self.sprint_opts is not None:
            raise NetworkError(f"found {NEEDS_RASR}; try hmm_opts")
        Topology.of(self.hmm_opts)

    def check_target(self, out: Data, target: Data) -> None:
        """Check that there are outputs for all states."""
        Topology.of(self.hmm_opts).check(out, target)

    def parts(self, given: Given) -> Parts:
        """Return the value of every sequence; no error."""
        name, before = given.before
        if name in ("softmax", "log_softmax"):
            x = before.last(before.feature)
            scores = replace(x, tensor=tf.nn.log_softmax(x.tensor))
        else:
            scores = replace(given.out, tensor=safe_log(given.out.tensor))
        topology = Topology.of(self.hmm_opts)
        paths = topology.paths(given.run, scores, given.target, self.tdp_scale)
        value = native.fsa_full_sum(*paths)
        value = tf.where(tf.math.is_inf(value), 0.0, value)
        return Parts(by_sequence(given.out, value), None)
