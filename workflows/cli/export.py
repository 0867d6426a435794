"""Write what another group needs to make one number again, to a folder, .tar.gz or .zip.

That is the recipe, what each stage was asked for and how it went, the commit, the versions, and how
to do it.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from jobs.job import JobError
from workflows.bundle import bundle
from workflows.chain import choose, locate, rows
from workflows.cli import settings
from workflows.load import recipe_files
from workflows.plans import read_plans
from workflows.stages import record


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the command's options."""
    parser.add_argument("path", type=Path, help="results/wer.txt, or what a stage made")
    parser.add_argument("row", nargs="*", help="number of the row, or words of it")
    parser.add_argument("--to", type=Path, required=True, metavar="TARGET", help="what to write")
    parser.add_argument("--artifacts", action="store_true", help="with all that the stages made")


def main(options: argparse.Namespace) -> int:
    """Write the export; return the exit status."""
    store, folder = locate(options.path)
    if found := rows(store, folder):
        row = choose(found, " ".join(options.row)) if len(found) > 1 or options.row else found[0]
        folder, name = row.folder, row.recipe
    else:
        name = str((record(store / folder) or {})["name"]).partition("/")[0]
    members = bundle(store, folder, _recipe(store, name), options.to, artifacts=options.artifacts)
    sys.stdout.write(f"{options.to}: {len(members)} files\n")
    return 0


def _recipe(store: Path, name: str) -> Path:
    """Return the file of a recipe: in the project, or where it was planned last."""
    here = str(settings.RESULTS.resolve())
    planned = [p for p in read_plans(store).values() if p.recipe == name]
    paths = [Path(p.file) for p in sorted(planned, key=lambda p: (p.results != here, p.time))]
    for path in [*(recipe_files()[n] for n in recipe_files() if n == name), *paths]:
        if path.is_file():
            return path
    raise JobError(f"recipe {name!r}: found no file of it any more, needed the one that was run")
