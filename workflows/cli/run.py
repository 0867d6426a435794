"""Run recipes up to their table of scores: Snakemake, with the recipes.

Further options are Snakemake's: `returnn-lite run commands --cores 8 -n`.
"""

from __future__ import annotations

import argparse
import json
import os
import sys

from jobs.job import JobError
from workflows.cli import settings
from workflows.load import load_recipes, recipe_files, recipe_names


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the command's options."""
    parser.usage = "returnn-lite run RECIPE ... [--all] [--store FOLDER] [--data FOLDER] [...]"
    parser.add_argument("recipe", nargs="*", help="names or paths; else those of config.yaml")
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
    names = recipe_names(options.recipe) or list(known.recipes)
    late = [word for word in options.rest if word in recipe_files()]
    if late:
        raise JobError(f"found {late[0]!r} behind an option, needed recipes before all options")
    recipes = load_recipes(names).values()
    values = [f"recipes={json.dumps(names)}"]
    if options.store:
        values.append(f"store={_quoted(str(known.store))}")
    if options.data:
        values.append(f"data={_quoted(known.data)}")
    rest = list(options.rest)
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
