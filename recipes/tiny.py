"""The whole chain in two minutes: does everything run, and does it learn at all?

Corpus: a small and easy one of `commands`: one accent, little noise. Its scores say no more.
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
                "train": {"utterances": 400, "speakers": 40},
                "dev": {"utterances": 10, "speakers": 2},
                "test": {"utterances": 10, "speakers": 2},
                "lm_sentences": 2000,
                "accents": ["en-us"],
                "snr_db": [30.0],
            },
        ),
        sizes=Sizes(
            labels=80,
            encoder_units=(64, 64),
            filters=64,
            slow=32,
            fast=32,
            readout=64,
            lm_units=48,
            beam=4,
        ),
        training=Training(
            ctc={"epochs": 16, "batch_frames": 2000, "learning_rate": 4e-3},
            transducer={"epochs": 5, "batch_frames": 2000, "learning_rate": 2e-3},
            lm={"epochs": 2, "batch_frames": 1000, "learning_rate": 4e-3},
            scales=(0.0, 0.3),
        ),
    ),
    scores=SCORES,
)
