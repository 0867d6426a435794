"""Training criteria of whole sequences, as changes of a decoder's network dict.

The decoder is the rec layer `output`, whose unit has the choice `output` with the target
`data:classes`. Those with a search are for a training with `search`, see docs/search.md.
"""

from __future__ import annotations

from typing import Any

from recipes.networks.encoder import Net


def minimum_word_errors(net: Net) -> Net:
    """Return a network that minimises the expected word errors (Prabhavalkar et al., 2018)."""
    return _risk(net, {"class": "edit_distance"})


def maximum_bleu(net: Net, *, max_order: int = 4) -> Net:
    """Return a network that maximises the expected BLEU (Edunov et al., 2018)."""
    return _risk(net, {"class": "bleu", "max_order": max_order})


def mutual_information(net: Net) -> Net:
    """Return a network that maximises the mutual information on an n-best list.

    That is the posterior of the target among the hypotheses, which has to be one of them; those
    with its labels count together (Povey, 2003; Michel et al., 2020).
    """
    net = _with_choice(net, cheating="exclusive")
    labels = {"class": "edit_distance", "a": "output", "b": "data:classes"}
    scores = {"class": "choice_get_beam_scores", "from": "output"}
    posterior = "tf.where(source(0) > 0, float('-inf'), source(1))"
    return {
        **net,
        "mmi_errors_of_beam": labels,
        "mmi_scores_of_beam": scores,
        "mmi_errors": {"class": "split_batch_beam", "from": "mmi_errors_of_beam"},
        "mmi_scores": {"class": "split_batch_beam", "from": "mmi_scores_of_beam"},
        "mmi_true_scores": {
            **{"class": "eval", "from": ["mmi_errors", "mmi_scores"], "eval": posterior},
            "out_type": {"dtype": "float32"},
        },
        "mmi_true": _sum("mmi_true_scores"),
        "mmi_all": _sum("mmi_scores"),
        "mmi": {
            **{"class": "combine", "kind": "sub", "from": ["mmi_all", "mmi_true"]},
            "loss": "as_is",
        },
    }


def scheduled_sampling(net: Net, *, gold: float) -> Net:
    """Return a network in which labels before are the target's with this probability, or samples.

    (Bengio et al., 2015.)
    """
    return _with_choice(net, scheduled_sampling={"gold_mixin_prob": gold})


def optimal_completions(net: Net, *, probs: str) -> Net:
    """Return a network that learns the best next labels after its own samples.

    probs: the layer with the probabilities of labels, whose loss is replaced (Sabour et al., 2018).
    """
    net = _with_choice(net, scheduled_sampling=True)
    rec, target = net["output"], {"target": "layer:base:data:classes"}
    best = "tf.cast(source(0) == tf.reduce_min(source(0), axis=-1, keepdims=True), 'float32')"
    loss = f"-{best} * safe_log(source(1)) / tf.reduce_sum({best}, axis=-1, keepdims=True)"
    without = {k: v for k, v in rec["unit"][probs].items() if k not in ("loss", "loss_opts")}
    unit = {
        **rec["unit"],
        probs: without,
        "distances": {"class": "edit_distance_table", "from": "output", **target},
        "completions": {"class": "optimal_completions", "from": "prev:distances", **target},
        "ocd_by_label": {
            **{"class": "eval", "from": ["completions", probs], "eval": loss},
            "out_type": {"dtype": "float32"},
        },
        "ocd": {
            **{"class": "reduce", "mode": "sum", "axis": "F", "from": "ocd_by_label"},
            "loss": "as_is",
        },
    }
    return {**net, "output": {**rec, "unit": unit}}


def _risk(net: Net, loss: Net) -> Net:
    """Return the network with the expectation of a loss over the hypotheses of its search."""
    opts = {"loss": loss, "loss_kind": "error"}
    risk = {"class": "copy", "from": "output", "target": "classes"}
    return {**net, "risk": {**risk, "loss": "expected_loss", "loss_opts": opts}}


def _with_choice(net: Net, **opts: Any) -> Net:
    rec = net["output"]
    unit = {**rec["unit"], "output": {**rec["unit"]["output"], **opts}}
    return {**net, "output": {**rec, "unit": unit}}


def _sum(scores: str) -> Net:
    """Return the logarithm of the sum of the hypotheses' probabilities."""
    return {"class": "reduce", "mode": "logsumexp", "axis": "static:0", "from": scores}
