"""CTC, alignment, transducer, LM, fusion: pipelines 2 (M116) and 3 (M117) of the tutorial.

Every stage takes its names from this page: `<set>` is train, dev or test.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from recipes.networks.ctc import ctc
from recipes.networks.encoder import Net, blstm
from recipes.networks.full_sum import full_sum
from recipes.networks.lm import lstm_lm, step_lm
from recipes.networks.transducer import forced_alignment, shallow_fusion, transducer
from recipes.recipe import Score, Stage

SETS = ("train", "dev", "test")
TRAININGS = ("ctc", "transducer", "lm")
FRAME_SHIFT = 0.01  # seconds, of the features
DATA = {  # of a training on the labels themselves
    "train": "features_train.features",
    "dev": "features_dev.features",
    "train_targets": "targets_train.targets",
    "dev_targets": "targets_dev.targets",
    "statistics": "statistics.statistics",
}


@dataclass(frozen=True, kw_only=True)
class Sizes:
    """Sizes of the models; each once, here.

    labels: units of the text, with `</s>` and `<unk>`. encoder_units: of each LSTM, per direction;
    the first one, whose frames are more, may have fewer.
    """

    labels: int
    sample_rate: int = 16000
    features: int = 40
    encoder_units: tuple[int, ...] = (128, 288)
    stride: int = 3
    filters: int = 160
    pooling: tuple[int, ...] = (2,)
    embed: int = 64
    slow: int = 128
    fast: int = 128
    readout: int = 256
    lm_embed: int = 64
    lm_units: int = 192
    dropout: float = 0.1
    beam: int = 8

    def label_shift(self) -> float:
        """Return the seconds from one frame of the encoder to the next."""
        return round(FRAME_SHIFT * self.stride * math.prod(self.pooling), 6)

    def encoder(self) -> Net:
        """Return the encoder that CTC model and transducer share."""
        return blstm(
            units=self.encoder_units,
            stride=self.stride,
            filters=self.filters,
            pooling=self.pooling,
            dropout=self.dropout,
            high_freq=self.sample_rate / 2,
        )

    def transducer(self, beam: int = 1, fusion: Net | None = None) -> Net:
        """Return the transducer; beam, fusion: of its search, with or without a language model.

        Neither is part of its training, so that another beam trains nothing again.
        """
        return transducer(
            self.encoder(),
            labels=self.labels,
            embed=self.embed,
            slow=self.slow,
            fast=self.fast,
            readout=self.readout,
            dropout=self.dropout,
            beam_size=beam,
            fusion=fusion,
        )

    def full_sum(self) -> Net:
        """Return the transducer that is trained on all alignments."""
        return full_sum(
            self.encoder(),
            labels=self.labels,
            embed=self.embed,
            slow=self.slow,
            readout=self.readout,
            dropout=self.dropout,
        )

    def fused(self) -> Net:
        """Return the transducer with the language model in its search."""
        lm = step_lm(labels=self.labels, embed=self.lm_embed, units=self.lm_units, layers=1)
        return self.transducer(self.beam, shallow_fusion(lm))


@dataclass(frozen=True, kw_only=True)
class Training:
    """Options of the trainings, as `TrainOptions` has them.

    full_sum: of a transducer on all alignments, whose best ones the transducer is then trained on,
    in place of those of the CTC model (pipeline 3). scales: of the language model, of which the
    best on dev is taken. units: their kind. on_bad: what to do with bad utterances: "error", or
    "skip", counted and listed in each stage.
    """

    ctc: Mapping[str, Any]
    transducer: Mapping[str, Any]
    lm: Mapping[str, Any]
    full_sum: Mapping[str, Any] | None = None
    scales: tuple[float, ...] = (0.0, 0.2, 0.4, 0.6, 0.8)
    units: str = "bpe"
    on_bad: str = "error"


def stages(
    corpus: Stage | Mapping[str, Stage], sizes: Sizes, training: Training
) -> dict[str, Stage]:
    """Return the stages from a corpus to the scores.

    corpus: a job with outputs train, dev, test and lm; or a job with an output corpus, such as
    corpus.kaldi, for each of train, dev and test, and the language model learns the text of train.
    """
    if isinstance(corpus, Stage):
        found = {"corpus": corpus}
        sources = {name: f"corpus.{name}" for name in (*SETS, "lm")}
    else:
        found = {f"corpus_{name}": corpus[name] for name in SETS}
        sources = {name: f"corpus_{name}.corpus" for name in SETS} | {"lm": "check_train.corpus"}
    return {
        **found,
        **_data(sources, sizes, training),
        **_ctc(sizes, training),
        **_full_sum(sizes, training),
        **_transducer(sizes, training),
        **_lm(sources["lm"], sizes, training),
        **_searches(sizes, training),
        **_alignments(sizes, training),
    }


SCORES = (
    Score(system="CTC greedy", set="test", stage="score_ctc"),
    Score(system="transducer", set="test", stage="score_transducer"),
    Score(system="transducer + LM", set="dev", stage="score_fusion_dev"),
    Score(system="transducer + LM", set="test", stage="score_fusion"),
)


def _data(sources: Mapping[str, str], sizes: Sizes, training: Training) -> dict[str, Stage]:
    """Return checks, features, units, and the labels of all sets."""
    found: dict[str, Stage] = {}
    for name in SETS:
        reference = {"reference": "check_train.corpus"} if name != "train" else {}
        found[f"check_{name}"] = Stage(
            job="corpus.check",
            inputs={"corpus": sources[name], **reference},
            params={"on_bad": training.on_bad},
        )
        found[f"features_{name}"] = Stage(
            job="features.extract",
            inputs={"corpus": f"check_{name}.corpus"},
            params={
                "kind": "log_mel",
                "num_mel_bins": sizes.features,
                "frame_shift": FRAME_SHIFT,
                "sample_rate": sizes.sample_rate,
                "on_bad": training.on_bad,
            },
        )
        if name != "test":
            found[f"targets_{name}"] = Stage(
                job="units.encode",
                inputs={"corpus": f"check_{name}.corpus", "units": "units.units"},
            )
    found["statistics"] = Stage(
        job="features.statistics", inputs={"features": "features_train.features"}
    )
    found["units"] = Stage(
        job="units.train",
        inputs={"text": tuple(dict.fromkeys(["check_train.corpus", sources["lm"]]))},
        params={"kind": training.units, "vocab_size": sizes.labels},
    )
    return found


def _ctc(sizes: Sizes, training: Training) -> dict[str, Stage]:
    """Return the CTC training and its alignments."""
    params = {
        "network": ctc(sizes.encoder(), dropout=sizes.dropout),
        "on_long_targets": training.on_bad,
    }
    found = {
        "check_fit": Stage(job="train.check", inputs=DATA, params=params),
        "ctc": Stage(
            job="train.network",
            inputs={**DATA, "checked": "check_fit.skipped"},
            params={**params, "options": dict(training.ctc)},
        ),
    }
    for name in ("train", "dev"):
        found[f"align_{name}"] = Stage(
            job="align.ctc",
            inputs={
                "model": "ctc.model",
                "features": f"features_{name}.features",
                "targets": f"targets_{name}.targets",
            },
            params={"repeat_labels": False, "on_no_path": training.on_bad},
        )
    return found


def _full_sum(sizes: Sizes, training: Training) -> dict[str, Stage]:
    """Return the training on all alignments, and the best ones; nothing where there is none."""
    if training.full_sum is None:
        return {}
    network = sizes.full_sum()
    found = {
        "full_sum": Stage(
            job="train.network",
            inputs={**DATA, "checked": "check_fit.skipped", "init": "ctc.model"},
            params={
                "network": network,
                "options": dict(training.full_sum),
                "on_long_targets": training.on_bad,
            },
        )
    }
    for name in ("train", "dev"):
        found[f"align_full_sum_{name}"] = Stage(
            job="align.search",
            inputs={
                "model": "full_sum.model",
                "features": f"features_{name}.features",
                "targets": f"targets_{name}.targets",
            },
            params={"network": network, "layer": "alignment", "on_no_path": training.on_bad},
        )
    return found


def _transducer(sizes: Sizes, training: Training) -> dict[str, Stage]:
    """Return the Viterbi training of the transducer; its encoder begins as the one before."""
    before, align = "ctc", "align"
    if training.full_sum is not None:
        before, align = "full_sum", "align_full_sum"
    return {
        "transducer": Stage(
            job="train.network",
            inputs={
                "train": "features_train.features",
                "dev": "features_dev.features",
                "train_targets": f"{align}_train.alignment",
                "dev_targets": f"{align}_dev.alignment",
                "statistics": "statistics.statistics",
                "init": f"{before}.model",
            },
            params={
                "network": sizes.transducer(),
                "target": "alignment",
                "options": dict(training.transducer),
                "on_missing_targets": training.on_bad,
            },
        )
    }


def _lm(text: str, sizes: Sizes, training: Training) -> dict[str, Stage]:
    """Return the training of the language model."""
    return {
        "lm_text": Stage(job="units.encode", inputs={"corpus": text, "units": "units.units"}),
        "lm": Stage(
            job="train.network",
            inputs={
                "train": "lm_text.targets",
                "dev": "targets_dev.targets",
                "checked": "check_fit.skipped",
            },
            params={
                "network": lstm_lm(
                    labels=sizes.labels,
                    embed=sizes.lm_embed,
                    units=sizes.lm_units,
                    layers=1,
                    dropout=sizes.dropout,
                ),
                "end_label": 0,
                "options": dict(training.lm),
            },
        ),
    }


def _searches(sizes: Sizes, training: Training) -> dict[str, Stage]:
    """Return greedy CTC, transducer alone, and with the language model, each with its score."""
    fused = {"model": "transducer.model", "units": "units.units", "lm": "lm.model"}
    dev = {"features": "features_dev.features", "corpus": "check_dev.corpus"}
    test = {"features": "features_test.features", "corpus": "check_test.corpus"}
    network = {"network": sizes.fused()}
    found = {
        "search_ctc": Stage(
            job="search.greedy", inputs={"model": "ctc.model", "units": "units.units", **test}
        ),
        "search_transducer": Stage(
            job="search.beam",
            inputs={"model": "transducer.model", "units": "units.units", **test},
            params={"network": sizes.transducer(sizes.beam)},
        ),
        "tune": Stage(
            job="search.tune",
            inputs={**fused, **dev},
            params={**network, "values": training.scales},
        ),
    }
    config = {"config": "tune.config"}
    for name, data in (("search_fusion", test), ("search_fusion_dev", dev)):
        found[name] = Stage(job="search.beam", inputs={**fused, **data, **config}, params=network)
    for name in [n for n in found if n.startswith("search_")]:
        corpus = "check_dev.corpus" if name.endswith("_dev") else "check_test.corpus"
        found[name.replace("search_", "score_")] = Stage(
            job="score.wer",
            inputs={
                "corpus": corpus,
                "hypotheses": f"{name}.hypotheses",
                "search": f"{name}.search",
            },
        )
    return found


def _alignments(sizes: Sizes, training: Training) -> dict[str, Stage]:
    """Return alignments of the dev set by both models, as CTM and TextGrid."""
    found = {
        "realign_dev": Stage(
            job="align.search",
            inputs={
                "model": "transducer.model",
                "features": "features_dev.features",
                "targets": "targets_dev.targets",
            },
            params={
                "network": forced_alignment(sizes.transducer(sizes.beam), labels=sizes.labels),
                "on_no_path": training.on_bad,
            },
        )
    }
    for name, alignment in (("times_ctc", "align_dev"), ("times_transducer", "realign_dev")):
        found[name] = Stage(
            job="align.export",
            inputs={
                "corpus": "check_dev.corpus",
                "alignment": f"{alignment}.alignment",
                "units": "units.units",
            },
            params={"frame_shift": sizes.label_shift(), "repeat_labels": False},
        )
    return found
