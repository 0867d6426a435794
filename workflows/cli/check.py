"""Validate recipes, and tell what a run would do, before it does anything.

All networks are built from templates, files outside the store are looked for, and memory and disk
use are estimated. The exit status is 1 where something is wrong.
"""

from __future__ import annotations

import argparse
import shutil
from pathlib import Path

import psutil
from rich.console import Console
from rich.table import Column, Table
from rich.text import Text

from jobs.job import JobError
from workflows.cli import settings
from workflows.cli.sizes import bytes_text
from workflows.load import recipe_names
from workflows.plan import make_plan
from workflows.preview import Step, steps

MOST = 60  # stages that are listed without --all


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the command's options."""
    parser.add_argument("recipe", nargs="*", help="names or paths; else those of config.yaml")
    parser.add_argument("--all", action="store_true", help="what run --all would do")
    parser.add_argument("--long", action="store_true", help=f"list more than {MOST} stages, too")
    settings.add_options(parser)


def main(options: argparse.Namespace) -> int:
    """Print what would run; return the exit status."""
    known = settings.settings(options)
    plan = make_plan(recipe_names(options.recipe) or list(known.recipes), known.data)
    whole = options.all or not any(recipe.scores for recipe in plan.recipes.values())
    found = steps(plan, known.store, known.data, whole=whole)
    console = Console()
    if not found:
        console.print("all that is asked for is there: nothing to run")
        return 0
    table = Table(
        *(Column(name, no_wrap=True) for name in ("stage", "job")),
        "why it runs",
        *(Column(name, no_wrap=True) for name in ("memory", "new files")),
        box=None,
    )
    for step in found if options.long else found[:MOST]:
        size = "" if step.bytes is None else f"about {bytes_text(step.bytes)}"
        memory = bytes_text(step.mem_mb * 2**20)
        table.add_row(step.node.name, step.node.job.NAME, Text(step.why), memory, size)
    console.print(table)
    if not options.long and len(found) > MOST:
        console.print(f"... and {len(found) - MOST} more; --long lists them")
    console.print(f"\n{len(found)} of {len(plan.nodes)} stages run", soft_wrap=True)
    problems = _disk(found, known.store, console)
    _memory(found, console)
    if problems:
        raise JobError("\n".join(problems))
    return 0


def _disk(found: list[Step], store: Path, console: Console) -> list[str]:
    """Print what will be written; return what is wrong with that."""
    size = sum(step.bytes or 0 for step in found)
    place = next(path for path in (store.absolute(), *store.absolute().parents) if path.exists())
    free = shutil.disk_usage(place).free
    console.print(
        f"new files: about {bytes_text(size)}, and small ones; {bytes_text(free)} are free",
        soft_wrap=True,
    )
    if size <= free:
        return []
    return [
        f"{store}: found {bytes_text(free)} free, needed about {bytes_text(size)}; make room"
        " (returnn-lite gc), or try --store FOLDER"
    ]


def _memory(found: list[Step], console: Console) -> None:
    """Print how much memory is asked for, and where that is too much or too little."""
    total = psutil.virtual_memory().total // 2**20
    most = max(found, key=lambda step: step.mem_mb)
    console.print(
        f"memory: at most {most.mem_mb} MiB for one stage ({most.node.name}); this machine has"
        f" {total} MiB",
        soft_wrap=True,
    )
    for step in found:
        if step.peak_mib and step.peak_mib > step.mem_mb:
            console.print(
                f"{step.node.name}: took {step.peak_mib} MiB before and asks for {step.mem_mb}:"
                " a cluster may stop it",
                soft_wrap=True,
            )
    if most.mem_mb > total:
        console.print(f"{most.node.name} needs another machine, such as a cluster's")
