"""The recipe `fsdd` with another seed in all trainings: how much do its scores vary?"""

from __future__ import annotations

from recipes import fsdd
from recipes.pipelines.transducer import TRAININGS

RECIPE = fsdd.RECIPE.replace(
    "fsdd_seed2", **{stage: {"options": {"seed": 2}} for stage in TRAININGS}
)
