"""Write pages about recipes, to be read in a browser: scores, curves, errors, alignments, stages.

They show what there is so far, also of a recipe that still runs, or that failed.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from workflows.cli import settings
from workflows.load import recipe_names
from workflows.plan import REPORT, make_plan


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the command's options."""
    parser.add_argument("recipe", nargs="*", help="names or paths; else those of config.yaml")
    parser.add_argument(
        "--to",
        type=Path,
        default=Path(REPORT),
        metavar="FOLDER",
        help="where the pages go: %(default)s",
    )
    settings.add_options(parser)


def main(options: argparse.Namespace) -> int:
    """Write the pages; return the exit status."""
    from jobs.report.pages import write_pages
    from workflows.report import collect

    known = settings.settings(options)
    plan = make_plan(recipe_names(options.recipe) or list(known.recipes), known.data)
    index, *_ = write_pages(collect(plan, known.store), options.to)
    sys.stdout.write(f"{index}\n")
    return 0
