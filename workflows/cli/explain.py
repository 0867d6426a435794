"""Explain a number: the commands, parameters, versions and times that are behind it.

Of parameters, those that differ from their defaults come first.
"""

from __future__ import annotations

import argparse
import itertools
import json
import sys
import textwrap
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from workflows.chain import chain, choose, devices_text, differing, locate, rows, shards_of
from workflows.cli.sizes import bytes_text, time_text

WIDTH = 100
LONG = 200  # characters of a value that are shown without --full


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the command's options."""
    parser.add_argument("path", type=Path, help="results/wer.txt, or what a stage made")
    parser.add_argument("row", nargs="*", help="number of a row, or words of it; else all")
    parser.add_argument("--full", action="store_true", help="show long values whole")


def main(options: argparse.Namespace) -> int:
    """Print the chain; return the exit status."""
    store, folder = locate(options.path)
    found = rows(store, folder)
    if options.row:
        found = [choose(found, " ".join(options.row))]
    stages = chain(store, [row.folder for row in found] or [folder])
    lines = [f"row {row.text}: {row.folder}" for row in found]
    shards = {known["hash"]: shards_of(known, store) for known in stages}
    lines += ["", *_common(stages, shards)]
    for number, known in enumerate(stages, 1):
        lines += ["", *_stage(number, known, _versions(stages), full=options.full)]
        for shard in shards[known["hash"]]:
            where = f"{time_text(shard['seconds'])}, {devices_text(shard)}"
            lines.append(f"   shard {shard['shard']['index'] + 1}: {shard['command']}, {where}")
    sys.stdout.write("\n".join(lines).lstrip("\n") + "\n")
    return 0


def _versions(stages: list[dict[str, Any]]) -> dict[str, Any]:
    """Return what is the same in all stages: software and commit."""
    kinds = [{**known["versions"], **known["project"]} for known in stages]
    return {k: v for k, v in kinds[0].items() if all(kind.get(k) == v for kind in kinds)}


def _common(
    stages: list[dict[str, Any]], shards: Mapping[str, list[dict[str, Any]]]
) -> Iterator[str]:
    """Yield what holds for all stages."""
    total = sum(known["seconds"] for known in [*stages, *itertools.chain(*shards.values())])
    yield f"{len(stages)} stages, {time_text(total)} in all"
    yield from _wrapped("in all of them: ", _versions(stages))


def _stage(
    number: int, known: Mapping[str, Any], common: Mapping[str, Any], *, full: bool
) -> Iterator[str]:
    """Yield the lines of a stage."""
    differ, same = differing(known)
    own = {k: v for k, v in {**known["versions"], **known["project"]}.items() if k not in common}
    memory = bytes_text(known["peak_memory_mib"] * 2**20)
    yield f"{number}. {known['name']}: {known['job']} (version {known['version']}), {known['hash']}"
    yield f"   {known['command']}"
    yield (f"   {known['started']}, {time_text(known['seconds'])}, {memory}, {devices_text(known)}")
    for name, value in known["inputs"].items():
        if value:
            yield f"   reads {name}: {value if isinstance(value, str) else ', '.join(value)}"
    for key, value in differ.items():
        text = json.dumps(value, ensure_ascii=False)
        if len(text) > LONG and not full:
            text = f"{text[:LONG]}... ({len(text)} characters; --full shows them)"
        yield f"   {key} = {text}"
    yield from _wrapped("   by default: ", same)
    yield from _wrapped("   here: ", own)


def _wrapped(head: str, values: Mapping[str, Any]) -> Iterator[str]:
    """Yield names and values in lines; nothing for none."""
    text = ", ".join(f"{k} = {json.dumps(v, ensure_ascii=False)}" for k, v in values.items())
    if values:
        indent = " " * len(head)
        yield from textwrap.wrap(
            head + text, WIDTH, subsequent_indent=indent, break_on_hyphens=False
        )
