"""The recipe `commands` with another seed in all trainings: how much do its scores vary?"""

from __future__ import annotations

from recipes import commands
from recipes.pipelines.transducer import TRAININGS

RECIPE = commands.RECIPE.replace(
    "commands_seed3", **{stage: {"options": {"seed": 3}} for stage in TRAININGS}
)
