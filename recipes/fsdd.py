"""Strings of spoken digits, real recordings of six speakers: the official split of FSDD.

Corpus: Free Spoken Digit Dataset, CC BY-SA 4.0. Digits of one speaker are joined to strings of 3
to 7; test strings have each official test recording once.
"""

from __future__ import annotations

from recipes.pipelines.transducer import SCORES, Sizes, Training, stages
from recipes.recipe import Recipe, Stage

RECIPE = Recipe(
    name="fsdd",
    stages=stages(
        corpus=Stage(job="corpus.fsdd", params={"path": "{data}/fsdd"}),
        sizes=Sizes(
            labels=30,
            sample_rate=8000,
            encoder_units=(128, 128),
            filters=128,
            slow=64,
            fast=96,
            lm_units=64,
        ),
        training=Training(
            ctc={"epochs": 24, "batch_frames": 4000, "learning_rate": 2e-3},
            transducer={"epochs": 12, "batch_frames": 4000, "learning_rate": 1e-3},
            lm={"epochs": 2, "batch_frames": 2000, "learning_rate": 2e-3},
        ),
    ),
    scores=SCORES,
)
