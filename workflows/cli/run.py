"""Run recipes up to their table of scores: Snakemake, with the recipes.

RECIPE is a name or a path; without any, those of config.yaml run. Further options are Snakemake's:
`returnn-lite run commands --cores 8 -n`.
"""

from __future__ import annotations

import argparse
import itertools
import json
import os
import sys

from jobs.job import JobError
from workflows.cli import settings
from workflows.load import load_recipes, recipe_files, recipe_names


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the command's options."""
    parser.usage = "returnn-lite run RECIPE ... [--all] [--store FOLDER] [--data FOLDER] [...]"
    parser.add_argument(
        "--all",
        action="store_true",
        help="all stages, not only those of the table of scores",
    )
    settings.add_options(parser)


def main(options: argparse.Namespace) -> int:
    """Become Snakemake. Raises JobError for recipes that there are not."""
    command = command_line(options, settings.settings(options))
    sys.stdout.flush()
    os.execv(command[0], command)


def command_line(options: argparse.Namespace, known: settings.Settings) -> list[str]:
    """Return Snakemake's command line; what --config says of other keys stays."""
    # Not told apart by argparse, which takes the value of Snakemake's first option for a recipe.
    asked = list(itertools.takewhile(lambda word: not word.startswith("-"), options.rest))
    names = recipe_names(asked) or list(known.recipes)
    rest = options.rest[len(asked) :]
    late = [word for word in rest if word in recipe_files()]
    if late:
        raise JobError(f"found {late[0]!r} behind an option, needed recipes before all options")
    recipes = load_recipes(names).values()
    values = [f"recipes={json.dumps(names)}"]
    if options.store:
        values.append(f"store={_quoted(str(known.store))}")
    if options.data:
        values.append(f"data={_quoted(known.data)}")
    ways = {"recipes": "recipes as words", "store": "--store alone", "data": "--data alone"}
    for key in (value.partition("=")[0] for value in values):
        if twice := next((word for word in rest if word.startswith(f"{key}=")), None):
            raise JobError(f"found --config {twice} beside our own, needed {ways[key]}")
    if "--config" in rest:
        at = rest.index("--config") + 1
        rest[at:at] = values
    else:
        rest += ["--config", *values]
    scored = any(recipe.scores for recipe in recipes)
    target = "results/wer.txt" if scored and not options.all else "all"
    snakefile = ["--snakefile", str(settings.ROOT / "Snakefile")]
    return [sys.executable, "-m", "snakemake", *snakefile, target, *rest]


def _quoted(text: str) -> str:
    """Return a text that Snakemake reads as one, and not as a number or a list, such as 2024.

    It takes quotes at the ends away, but no blanks, and reads what is left as YAML.
    """
    return f" {json.dumps(text, ensure_ascii=False)} "
