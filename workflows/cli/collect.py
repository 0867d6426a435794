"""List what no recipe needs of the store, and remove it with --remove.

Needed is what the recipes of this project and those planned before in this folder of results need
now, and all that was planned from other folders. What runs, and files that no stage made, stay.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Mapping
from pathlib import Path

from rich.console import Console
from rich.table import Column, Table

from jobs.job import JobError, nearest
from workflows import plans
from workflows.cli import settings
from workflows.cli.sizes import bytes_text
from workflows.garbage import Garbage, busy_recipes, find, sweep
from workflows.load import recipe_files, shown
from workflows.plan import make_plan
from workflows.plans import FOLDER, Planned
from workflows.stages import disk_use


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the command's options."""
    parser.add_argument("--remove", action="store_true", help="remove it; else it is only listed")
    parser.add_argument(
        "--days", type=float, default=0, help="leave what was worked at in the last days"
    )
    parser.add_argument(
        "--forget", action="append", default=[], metavar="PLAN",
        help="what this plan of a recipe needs is needed no longer, as the first column names it",
    )  # fmt: skip
    settings.add_options(parser)


def main(options: argparse.Namespace) -> int:
    """Print what goes; return the exit status."""
    known = settings.settings(options)
    store = known.store
    console = Console()

    def needed() -> dict[str, Planned]:
        return {n: p for n, p in current(known).items() if n not in options.forget}

    before = current(known)
    for name in options.forget:
        if name not in before:
            raise JobError(f"--forget: found no plan {name!r}{nearest(name, before)}")
    if before:
        console.print(_use(before, store))
    table = Table(
        *(Column(name, no_wrap=True) for name in ("stage", "folder")),
        *("why it may go", "files", "disk"),
        box=None,
    )
    total = 0
    if options.remove:
        for garbage, problem in sweep(store, needed, days=options.days):
            total += 0 if problem else garbage.bytes
            _add(table, garbage, f"stays: {problem}" if problem else garbage.why, store)
        for name in options.forget:
            (store / FOLDER / f"{name}.json").unlink(missing_ok=True)
    else:
        busy = busy_recipes(store, before.values())
        for garbage in find(store, needed(), busy=busy, days=options.days):
            total += garbage.bytes
            _add(table, garbage, garbage.why, store)
    if table.row_count:
        console.print(table)
    done = "removed" if options.remove else "may go; --remove removes it"
    sys.stdout.write(f"{bytes_text(total)} {done}\n" if table.row_count else "nothing to remove\n")
    return 0


def _add(table: Table, garbage: Garbage, why: str, store: Path) -> None:
    below = str(garbage.folder.relative_to(store))
    files = "all" if garbage.whole else ", ".join(garbage.names)
    table.add_row(garbage.name, below, why, files, bytes_text(garbage.bytes))


def current(known: settings.Settings) -> dict[str, Planned]:
    """Return all plans: those of this folder of results and project as the recipes are now.

    A recipe whose file is gone needs nothing; one with a mistake needs what it needed.
    """
    found = plans.read_plans(known.store)
    here = str(settings.RESULTS.resolve())
    names = list(recipe_files())
    for name, plan in list(found.items()):
        if plan.results != here:
            continue
        path = Path(plan.file)
        if not path.is_file():
            del found[name]
        elif plan.recipe not in names:
            names.append(str(path))
    for name in names:
        try:
            plan = plans.planned(make_plan([name], known.data), settings.RESULTS)[0]
        except JobError as error:
            sys.stderr.write(f"{shown(name)}: keeps what it needed: {error}\n")
            continue
        old = found.get(plan.name)
        # The table of several recipes is that of the newest run, which the file knows.
        table = {"of its run": old.stages["score table"]} if old else {}
        stages = {**plan.stages, **table}
        found[plan.name] = Planned(**{**vars(plan), "stages": stages})
    return {name: plan for name, plan in found.items() if _begun(plan, known.store)}


def _begun(plan: Planned, store: Path) -> bool:
    """Return whether anything of a plan is in the store."""
    return any((store / folder).exists() for folder in plan.needs())


def _use(found: Mapping[str, Planned], store: Path) -> Table:
    """Return the table of disk use by plan; alone: what no other plan needs."""
    table = Table(
        Column("plan", no_wrap=True), "results", "of", "stages", "disk", "it alone", box=None
    )
    sizes = {f: disk_use(store / f) for f in set().union(*(p.needs() for p in found.values()))}
    for name, plan in found.items():
        others = set().union(*(p.needs() for n, p in found.items() if n != name))
        size = sum(sizes[f] for f in plan.needs())
        alone = sum(sizes[f] for f in plan.needs() - others)
        cells = (shown(plan.results), f"{plan.user}@{plan.host}", str(len(plan.needs())))
        table.add_row(name, *cells, bytes_text(size), bytes_text(alone))
    return table
