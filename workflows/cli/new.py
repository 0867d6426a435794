"""Start a recipe from another one: a file of its own that shows what is different.

`returnn-lite new slower commands --set ctc.options.epochs=30` writes recipes/slower.py.
"""

from __future__ import annotations

import argparse
import json
import keyword
import sys
from typing import Any

from jobs.job import JobError, nearest
from workflows.load import SAFE_NAME, load_recipes, recipe_files, shown
from workflows.plan import make_plan

TEXT = '''"""{base} with other parameters: say here what for."""

from __future__ import annotations

from recipes import {base}

RECIPE = {base}.RECIPE.replace({arguments})
'''


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the command's options."""
    parser.add_argument("name", help="of the new recipe")
    parser.add_argument("base", help="name of the recipe to start from")
    parser.add_argument(
        "--set", action="append", default=[], metavar="STAGE.PARAM=VALUE", dest="changes",
        help="a parameter that is different, as JSON; what is none is a text",
    )  # fmt: skip


def main(options: argparse.Namespace) -> int:
    """Write the recipe; return the exit status."""
    files = recipe_files()
    if options.base not in files:
        raise JobError(f"unknown recipe {options.base!r}{nearest(options.base, files)}")
    for name in (options.name, options.base):
        usual = SAFE_NAME.fullmatch(name) and name.isidentifier() and not keyword.iskeyword(name)
        if not usual:
            raise JobError(f"found recipe name {name!r}, needed letters, digits and _ only")
    path = files[options.base].parent / f"{options.name}.py"
    if path.exists():
        raise JobError(f"{shown(path)}: found a file, needed a new name")
    recipe = load_recipes([options.base])[options.base]
    changes: dict[str, Any] = {}
    for text in options.changes:
        _change(changes, text, recipe.stages)
    named = {k: v for k, v in changes.items() if k.isidentifier()}
    arguments = [_literal(options.name), *(f"{k}={_literal(v)}" for k, v in named.items())]
    if named != changes:  # `replace(**{"lr0.1": ...})`
        others = {k: v for k, v in changes.items() if k not in named}
        arguments.append(f"**{_literal(others)}")
    path.write_text(TEXT.format(base=options.base, arguments=", ".join(arguments)), "utf-8")
    try:
        make_plan([options.name])
    except JobError:
        path.unlink()
        raise
    sys.stdout.write(f"{shown(path)}: edit it, then returnn-lite check {options.name}\n")
    return 0


def _literal(value: Any) -> str:
    """Return a JSON value as Python text, with double quotes."""
    if isinstance(value, dict):
        return f"{{{', '.join(f'{_literal(k)}: {_literal(v)}' for k, v in value.items())}}}"
    if isinstance(value, list):
        return f"[{', '.join(map(_literal, value))}]"
    return json.dumps(value, ensure_ascii=False) if isinstance(value, str) else repr(value)


def _change(changes: dict[str, Any], text: str, stages: Any) -> None:
    """Add `stage.param=value` to the changes; stages may have dots in their names."""
    place, equals, value = text.partition("=")
    stage = max((s for s in stages if place.startswith(f"{s}.")), key=len, default=None)
    if not equals:
        raise JobError(f"--set {text}: found no '=', needed STAGE.PARAM=VALUE")
    if stage is None:
        near = nearest(place.partition(".")[0], stages)
        raise JobError(f"--set {text}: unknown stage{near}")
    inner = changes.setdefault(stage, {})
    *path, last = place.removeprefix(f"{stage}.").split(".")
    for key in path:
        inner = inner.setdefault(key, {})
        if not isinstance(inner, dict):
            raise JobError(f"--set {text}: found {key}={inner!r} before, needed one or the other")
    try:
        inner[last] = json.loads(value)
    except ValueError:
        inner[last] = value
