"""List recipes: what they are about, and what of them is done; with names, their stages."""

from __future__ import annotations

import argparse
import ast
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Column, Table
from rich.text import Text

from jobs.job import JobError, outputs_of
from workflows.chain import memory_of, seconds_of
from workflows.cli import settings
from workflows.cli.sizes import bytes_text, time_text
from workflows.graph import Node
from workflows.load import recipe_files, recipe_names, shown
from workflows.plan import make_plan
from workflows.stages import disk_use, finished, record, state


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the command's options."""
    parser.add_argument("recipe", nargs="*", help="names or paths; all that come with the project")
    settings.add_options(parser)


def main(options: argparse.Namespace) -> int:
    """Print the tables; return the exit status."""
    known = settings.settings(options)
    asked = recipe_names(options.recipe)
    console = Console()
    if asked:
        plan = make_plan(asked, known.data)
        for name, nodes in plan.stages.items():
            console.print(_stages(name, nodes, known.store))
        return 0
    table = Table(
        Column("recipe", no_wrap=True),
        "about",
        "stages",
        "state",
        "disk",
        box=None,
        header_style="bold",
    )
    for name in recipe_files():
        table.add_row(*_row(name, known))
    console.print(table)
    return 0


def _row(name: str, known: settings.Settings) -> tuple[str | Text, ...]:
    """Return the cells of a recipe; one with a mistake shows it."""
    about = description(recipe_files()[name])
    try:
        plan = make_plan([name], known.data)
    except JobError as error:
        first = str(error).partition("\n")[0]
        return name, Text(about), "", Text(first, style="red"), ""
    folders = {node.folder: node for node in plan.stages[name].values()}
    states = Counter(stage_state(node, known.store) for node in folders.values())
    words = [f"{n} {word}" for word, n in states.items() if word != "finished" and word != "new"]
    done = f"{states['finished']} of {len(folders)} finished"
    size = sum(
        _disk(node, record(known.store / folder) or {}, known.store)
        for folder, node in folders.items()
    )
    return name, Text(about), str(len(folders)), ", ".join([done, *words]), bytes_text(size)


def stage_state(node: Node, store: Path) -> str:
    """Return how far a stage is, as a word; a stage that lacks an output is not finished."""
    folder = store / node.folder
    found = state(folder)
    if found == "finished" and not finished(folder, map(str, outputs_of(node.job).values())):
        return "incomplete"
    if found not in ("absent", "planned"):
        return found
    shards = {state(store / shard.folder) for shard in node.shards}
    begun = [word for word in ("running", "failed", "stopped") if word in shards]
    return begun[0] if begun else "new"


def measured(node: Node, known: Mapping[str, Any], store: Path) -> tuple[str, str, str]:
    """Return time, memory and disk use of a stage, with its shards; empty for none.

    known: its manifest, or nothing.
    """
    time = memory = ""
    if "seconds" in known:
        time = time_text(seconds_of(known, store))
    if "peak_memory_mib" in known:
        memory = bytes_text(memory_of(known, store))
    return time, memory, bytes_text(size) if (size := _disk(node, known, store)) else ""


def _disk(node: Node, known: Mapping[str, Any], store: Path) -> int:
    """Return the bytes of a stage, and of the shards that it is, or will be, put together from."""
    shards = known.get("shards") or [shard.folder for shard in node.shards]
    return sum(disk_use(store / folder) for folder in (node.folder, *shards))


def description(path: Path) -> str:
    """Return the first sentence of a recipe's docstring."""
    try:
        text = ast.get_docstring(ast.parse(path.read_bytes())) or ""
    except SyntaxError as error:
        raise JobError(f"{shown(path)}:{error.lineno}: {error.msg}") from None
    return " ".join(text.partition("\n\n")[0].split())


def _stages(name: str, nodes: Mapping[str, Node], store: Path) -> Table:
    """Return the table of a recipe's stages."""
    table = Table(
        *(Column(column, no_wrap=True) for column in ("stage", "job")),
        *("state", "time", "memory", "disk"),
        box=None,
        title=name,
    )
    for stage, node in nodes.items():
        known = record(store / node.folder) or {}
        table.add_row(stage, node.job.NAME, stage_state(node, store), *measured(node, known, store))
    return table
