"""Word error rates of a search with different values of its config."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from jobs.corpus.manifest import read_manifest
from jobs.score.edits import align, count, total
from jobs.search.decode import beams, features_dataset, timed
from jobs.search.networks import search_network
from jobs.train.model import Model
from jobs.units.units import Units
from returnn_lite.lazy import tf

if TYPE_CHECKING:
    from jobs.search.tune import Inputs, Params


def error_rates(inputs: Inputs, params: Params, log: logging.Logger) -> dict[float, float]:
    """Return the word error rate in percent by value; the graph is built once for all values."""
    model, units = Model.load(inputs.model), Units.load(inputs.units)
    value = tf.Variable(0.0)
    network = search_network(
        model, params.network, params.layer, {params.name: value}, lm=inputs.lm
    )
    data = features_dataset(inputs.features, model)
    references = {u.utt: u.text for u in read_manifest(inputs.corpus)}
    rates = {}
    for candidate in params.values:
        value.assign(candidate)
        found, _ = timed(
            network, data, params.layer, lambda tags, out: beams(tags, out, params.layer), log
        )
        hypotheses = {tag: units.decode(entries[0].labels) for tag, entries in found.items()}
        rates[candidate] = word_error_rate(references, hypotheses)
        log.info("%s %g: %.2f %% WER", params.name, candidate, rates[candidate])
    return rates


def word_error_rate(references: dict[str, str], hypotheses: dict[str, str]) -> float:
    """Return all errors over all words, in percent."""
    counts = [count(align(references[t].split(), h.split())) for t, h in hypotheses.items()]
    errors = total(counts)
    return 100.0 * errors.errors / max(1, errors.tokens)
