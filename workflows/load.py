"""Find and load recipes: files with a `RECIPE`, by name or by path."""

from __future__ import annotations

import ast
import importlib
import importlib.util
import inspect
import os
import pkgutil
import re
import sys
import traceback
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import ModuleType

import recipes
from jobs.job import JobError, nearest
from recipes.recipe import LONGEST, Recipe, Score, Stage

SAFE_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.,=+-]*")
_SAFE = "letters, digits and _ . , = + - only"
TAKEN = ("report", "wer.txt", "recipes.json")  # in results/, where a recipe has a folder


def recipe_files() -> dict[str, Path]:
    """Return the recipes that come with the project: each file in recipes/ with a `RECIPE`."""
    paths = sorted(Path(recipes.__file__ or "").parent.glob("[a-z]*.py"))
    return {p.stem: p for p in paths if re.search(r"^RECIPE\b", p.read_text("utf-8"), re.M)}


def recipe_names(asked: str | Sequence[str]) -> list[str]:
    """Return recipes as they were asked for: several words, and commas in them, too.

    A file that there is has its commas in its own path.
    """
    words = [asked] if isinstance(asked, str) else asked
    parts = [[word] if Path(word).is_file() else word.split(",") for word in words]
    return [name.strip() for several in parts for name in several if name.strip()]


def load_recipes(names: Sequence[str]) -> dict[str, Recipe]:
    """Load recipes by name, or by path where the name ends in `.py`: as asked for -> recipe.

    Raises JobError, which tells all that is wrong with any of them.
    """
    loaded: dict[str, Recipe] = {}
    errors: list[str] = []
    paths: dict[str, Path] = {}
    for name in names:
        try:
            path = recipe_path(name)
            if path in paths.values():
                continue
            if path.stem in paths:
                both = f"{shown(paths[path.stem])} and {shown(path)}"
                raise JobError(f"two recipes have the name {path.stem!r}: {both}; rename one")
            paths[path.stem] = path
            loaded[name] = _load(path)
        except JobError as error:
            errors.append(str(error))
    if errors:
        raise JobError("\n".join(errors))
    return loaded


def shown(path: Path | str) -> str:
    """Return a path (or `file:line`) as messages name it: relative where it is below here."""
    relative = os.path.relpath(path)
    return str(path) if relative.startswith("..") else relative


def recipe_path(name: str) -> Path:
    """Return the file of a recipe, by name or path.

    Raises JobError where there is none, or another recipe has its name.
    """
    files = recipe_files()
    if not name.endswith(".py"):
        if name not in files:
            raise JobError(f"unknown recipe {name!r}{nearest(name, files)}")
        return files[name].resolve()
    path = Path(name).resolve()
    if not path.is_file():
        raise JobError(f"recipe {name}: found no such file")
    if not SAFE_NAME.fullmatch(path.stem) or "," in path.stem:  # between recipes stands a comma
        needed = _SAFE.replace(" ,", "")
        raise JobError(f"recipe {name}: found file name {path.name!r}, needed {needed}")
    if path.stem in files and files[path.stem].resolve() != path:
        ours = shown(files[path.stem])
        raise JobError(f"two recipes have the name {path.stem!r}: {ours} and {name}; rename one")
    return path


def _load(path: Path) -> Recipe:
    """Run a recipe file and check the kinds of things in it."""
    where = shown(path)
    if path.stem in TAKEN:
        raise JobError(f"{where}: found the name {path.stem!r}, which results/ has; rename it")
    if len(path.stem) > LONGEST // 2:  # plans have the user's name behind it
        raise JobError(f"{where}: found {len(path.stem)} characters, needed {LONGEST // 2} at most")
    recipe = getattr(_module(path), "RECIPE", None)
    if not isinstance(recipe, Recipe):
        raise JobError(f"{where}: found RECIPE = {recipe!r:.80}, needed a Recipe")
    if recipe.name != path.stem:
        raise JobError(
            f"{shown(recipe.made_at)}: found recipe name {recipe.name!r}, needed the name of the"
            f" file, {path.stem!r}"
        )
    if not isinstance(recipe.stages, Mapping):
        raise JobError(f"{where}: stages: found {recipe.stages!r:.80}, needed a dict of Stage")
    errors = []
    for name, stage in recipe.stages.items():
        if not isinstance(name, str) or not SAFE_NAME.fullmatch(name):
            errors.append(f"{where}: found stage name {name!r}, needed {_SAFE}")
        elif len(name) > LONGEST:
            found = f"found a stage name of {len(name)} characters"
            errors.append(f"{where}: {found}, needed {LONGEST} at most: {name}")
        if not isinstance(stage, Stage):
            errors.append(f"{where}: stage {name!r}: found {stage!r:.80}, needed a Stage")
            continue
        if not isinstance(stage.job, str):
            at = shown(stage.made_at)
            errors.append(f"{at}: stage {name!r}: job: found {stage.job!r:.80}, needed a name")
        for key, value in (("inputs", stage.inputs), ("params", stage.params)):
            if not isinstance(value, Mapping):
                at = shown(stage.made_at)
                errors.append(f"{at}: stage {name!r}: {key}: found {value!r:.80}, needed a dict")
    if not isinstance(recipe.scores, tuple | list) or not all(
        isinstance(s, Score) for s in recipe.scores
    ):
        errors.append(f"{where}: scores: found {recipe.scores!r:.80}, needed a tuple of Score")
    if errors:
        raise JobError("\n".join(errors))
    return recipe


def _module(path: Path) -> ModuleType:
    """Import a recipe file; what goes wrong in it becomes a JobError with file and line."""
    try:
        _check_keys(path)
        if path.parent == Path(recipes.__file__ or "").parent.resolve():
            return importlib.import_module(f"recipes.{path.stem}")
        spec = importlib.util.spec_from_file_location(f"recipe_file_{path.stem}", path)
        assert spec and spec.loader
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        return module
    except JobError:
        raise
    except SyntaxError as error:
        raise JobError(f"{shown(error.filename or path)}:{error.lineno}: {error.msg}") from None
    except Exception as error:
        text = f"{_line(error, path)}: {type(error).__name__}: {error}{_suggestion(error)}"
        raise JobError(text) from None


def _check_keys(path: Path) -> None:
    """Raise JobError where a dict is written with the same key twice: Python keeps one silently."""
    for node in ast.walk(ast.parse(path.read_bytes(), str(path))):
        seen: set[str] = set()
        for key in node.keys if isinstance(node, ast.Dict) else ():
            if isinstance(key, ast.Constant) and isinstance(key.value, str):
                if key.value in seen:
                    raise JobError(f"{shown(path)}:{key.lineno}: key {key.value!r} is there twice")
                seen.add(key.value)


def _suggestion(error: Exception) -> str:
    """Return the nearest name, where a name in a recipe is wrong."""
    *_, (frame, _) = traceback.walk_tb(error.__traceback__)
    match error:
        case TypeError():
            found = re.search(r"(\w+)(?:\.__init__)?\(\) .* keyword argument '(\w+)'$", str(error))
            called = frame.f_globals.get(found[1]) if found else None
            if found and called:
                return nearest(found[2], set(inspect.signature(called).parameters) - {"made_at"})
        case ImportError(name=str(name)) if module := sys.modules.get(name):
            found = re.match(r"cannot import name '(\w+)'", str(error))
            inner = pkgutil.iter_modules(getattr(module, "__path__", ()))
            return (
                nearest(found[1], _public([*vars(module), *(m.name for m in inner)]))
                if found
                else ""
            )
        case NameError(name=str(name)):
            near = nearest(name, _public([*frame.f_globals]))
            return near if "did you mean" in near else ""
    return ""


def _public(names: Sequence[str]) -> list[str]:
    return [name for name in names if not name.startswith("_")]


def _line(error: Exception, path: Path) -> str:
    """Return `file:line` of the last step into the recipe that led to an error."""
    steps = traceback.extract_tb(error.__traceback__)
    lines = [s.lineno for s in steps if Path(s.filename).resolve() == path]
    return f"{shown(path)}:{lines[-1]}" if lines else shown(path)
