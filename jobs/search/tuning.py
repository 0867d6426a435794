"""Word error rates of a search with different values of its config."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from jobs.job import JobError
from jobs.score.edits import align, count, total
from jobs.search.decode import beams, features_dataset, timed
from jobs.search.networks import check_units, search_network
from jobs.search.results import searched, texts
from jobs.train.model import Model
from jobs.units.units import Units
from returnn_lite.lazy import tf

if TYPE_CHECKING:
    from jobs.search.tune import Inputs, Params


def error_rates(inputs: Inputs, params: Params, log: logging.Logger) -> dict[float, float]:
    """Return the word error rate in percent by value; the graph is built once for all values."""
    model, units = Model.load(inputs.model), Units.load(inputs.units)
    data = features_dataset(inputs.features, model)
    references = {u.utt: u.text for u in searched(inputs.corpus, data.tags)}
    if not any(text.split() for text in references.values()):
        raise JobError(f"{inputs.corpus}: found no words in the references, needed some")
    value = tf.Variable(0.0)
    config = {params.name: value}
    network = search_network(model, params.network, params.layer, config, lm=inputs.lm)
    check_units(network, params.layer, units, model)
    rates = {}
    for candidate in params.values:
        value.assign(candidate)
        found, _ = timed(network, data, params.layer, beams, log)
        hypotheses = {tag: best[0] for tag, best in texts(found, units).items()}
        rates[candidate] = word_error_rate(references, hypotheses)
        log.info("%s %g: %.2f %% WER", params.name, candidate, rates[candidate])
    return rates


def word_error_rate(references: dict[str, str], hypotheses: dict[str, str]) -> float:
    """Return all errors over all words, in percent."""
    counts = [count(align(references[t].split(), h.split())) for t, h in hypotheses.items()]
    errors = total(counts)
    return 100.0 * errors.errors / errors.tokens
