"""The whole chain in two minutes: does everything run? Its scores say nothing.

Corpus: a small one of `commands`.
"""

from __future__ import annotations

from recipes.pipelines.transducer import SCORES, Sizes, Training, stages
from recipes.recipe import Recipe, Stage

RECIPE = Recipe(
    name="tiny",
    stages=stages(
        corpus=Stage(
            job="corpus.commands",
            params={
                "train": {"utterances": 200, "speakers": 20},
                "dev": {"utterances": 10, "speakers": 2},
                "test": {"utterances": 10, "speakers": 2},
                "lm_sentences": 500,
            },
        ),
        sizes=Sizes(
            labels=50,
            encoder_units=48,
            filters=48,
            slow=32,
            fast=32,
            readout=64,
            lm_units=48,
            beam=4,
        ),
        training=Training(
            ctc={"epochs": 2, "batch_frames": 4000},
            transducer={"epochs": 2, "batch_frames": 4000},
            lm={"epochs": 1, "batch_frames": 1000},
            scales=(0.0, 0.3),
        ),
    ),
    scores=SCORES,
)
