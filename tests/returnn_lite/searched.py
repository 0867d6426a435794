"""A model in search and teacher-forced, with the same parameters, for tests."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import Any

import numpy as np
from eager import Array, random_parameters, run
from models import FEATURES, Net

from returnn_lite.network import Network
from returnn_lite.output import Output

Labels = tuple[tuple[int, ...], ...]
Choices = dict[str, tuple[str, int]]


class Searched:
    """A network with choices.

    choices: by the name in the loop, the target and the number of its classes. beam_size: of all
    choices, in place of what they have.
    """

    def __init__(self, net: Net, choices: Choices, *, beam_size: int | None = None):
        self.net = net = copy.deepcopy(net)
        self.choices = choices
        unit = net["output"]["unit"]
        streams: Net = {"data": {"dim": FEATURES}}
        first, _ = next(iter(choices.values()))
        for name, (target, classes) in choices.items():
            if beam_size is not None:
                unit[name]["beam_size"] = beam_size
            streams[target] = {"dim": classes, "sparse": True}
            if target != first:
                streams[target]["same_dim_tags_as"] = {"t": first}
        self.names = [f"output/{name}" for name in choices]
        self.parts = [f"{name}/log_prob" for name in self.names]
        self.forced = Network(net, extern_data=streams, outputs=self.parts)
        self.search = Network(net, extern_data=streams, search=True, outputs=self.names)
        self.search.set_params(random_parameters(self.forced, scale=1.0))

    def run(self, data: Array, lengths: Sequence[int], **more: Any) -> Output:
        """Return the output of a search."""
        return run(self.search, {"data": (data, lengths), **more}, ["output"])["output"]

    def hypotheses(
        self, data: Array, lengths: Sequence[int], **more: Any
    ) -> list[dict[Labels, float]]:
        """Return by sequence the labels of all choices, with their scores, the best first."""
        fetch = [*self.names, *self.parts]
        out = run(self.search, {"data": (data, lengths), **more}, fetch)
        first = out[self.names[0]]
        assert first.scores is not None and first.time_dim is not None
        counts = first.lengths[first.time_dim.name]
        size, found = first.scores.shape[1], []
        for b in range(len(lengths)):
            rows: dict[Labels, float] = {}
            for i, score in enumerate(first.scores[b]):
                n, row = counts[b * size + i], b * size + i
                if not np.isfinite(score):
                    continue
                labels = tuple(tuple(out[x].canonical()[row, :n].tolist()) for x in self.names)
                assert labels not in rows, "a hypothesis occurs twice"
                rows[labels] = float(score)
                by_choice = sum(out[x].canonical()[row, :n].sum() for x in self.parts)
                np.testing.assert_allclose(by_choice, score, atol=1e-4)
            found.append(rows)
        return found

    def log_probs(self, data: Array, sequences: Sequence[Labels]) -> list[float]:
        """Return the teacher-forced log-probabilities of sequences of all choices' labels."""
        counts = [len(s[0]) for s in sequences]
        many = np.repeat(data[None], len(sequences), axis=0)
        batch: dict[str, Any] = {"data": (many, [len(data)] * len(sequences))}
        for k, (target, _) in enumerate(self.choices.values()):
            values = np.zeros((len(sequences), max([*counts, 1])), np.int32)
            for row, s in zip(values, sequences, strict=True):
                row[: len(s[k])] = s[k]
            batch[target] = values, counts
        out = run(self.forced, batch, self.parts, with_losses=False)
        return [float(x) for x in sum(out[p].canonical().sum(axis=1) for p in self.parts)]


def frames_net(labels: int, **opts: Any) -> Network:
    """Return a search in which each frame of the input is the log-probabilities of its labels."""
    choice = {"class": "choice", "from": "data:source", "input_type": "log_prob", "target": "none"}
    net = {"output": {"class": "rec", "from": "data", "unit": {"output": {**choice, **opts}}}}
    return Network(net, extern_data={"data": {"dim": labels}}, search=True)
