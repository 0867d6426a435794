"""What holds for the project as a whole: style, types, imports, sizes, and what is in no file."""

from __future__ import annotations

import ast
import json
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

PROJECT = Path(__file__).parent.parent
PYPROJECT = tomllib.loads((PROJECT / "pyproject.toml").read_text())
FILE_LIMIT, FUNCTION_LIMIT = 400, 60
ALLOWED = json.loads((PROJECT / "tests" / "size_allowed.json").read_text())
# Module -> the distribution that has it, where the names differ.
DISTRIBUTIONS = {"cupy": "cupy-cuda12x", "tensorflow": "tensorflow-cpu", "yaml": "pyyaml"}


def tracked(*patterns: str) -> list[Path]:
    """Return the files of the project, without those that git ignores."""
    command = ["git", "ls-files", "--cached", "--others", "--exclude-standard", "--", *patterns]
    done = subprocess.run(command, cwd=PROJECT, capture_output=True, text=True)
    if done.returncode:
        pytest.skip("not a checkout: the files of the project cannot be listed")
    paths = (PROJECT / line for line in done.stdout.splitlines())
    return sorted({p for p in paths if p.is_file()})


def run(*command: str) -> None:
    """Run a checker; its output is the message of the failure."""
    done = subprocess.run(
        [sys.executable, "-m", *command], cwd=PROJECT, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_lint() -> None:
    run("ruff", "check", ".")


def test_format() -> None:
    run("ruff", "format", "--check", ".")


def test_types() -> None:
    run("mypy")


def test_who_may_import_whom() -> None:
    code = "from importlinter.cli import lint_imports; import sys; sys.exit(lint_imports())"
    done = subprocess.run([sys.executable, "-c", code], cwd=PROJECT, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr


def sizes() -> tuple[dict[str, int], dict[str, int]]:
    """Return what is over a limit: file -> lines, and `file:function` -> lines."""
    files, functions = {}, {}
    for path in tracked("*.py", "*.cc", "*.cu", "*.h"):
        name, text = str(path.relative_to(PROJECT)), path.read_text("utf-8")
        lines = text.count("\n")
        if lines > FILE_LIMIT:
            files[name] = lines
        for node in ast.walk(ast.parse(text)) if path.suffix == ".py" else ():
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                length = (node.end_lineno or 0) - node.lineno + 1
                if length > FUNCTION_LIMIT:
                    functions[f"{name}:{node.name}"] = length
    return files, functions


def test_lines_are_short() -> None:
    """Those of kernels: ruff looks at Python's."""
    limit = PYPROJECT["tool"]["ruff"]["line-length"]
    found = [
        f"{path.relative_to(PROJECT)}:{number}: {len(line)} characters"
        for path in tracked("*.cc", "*.cu", "*.h")
        for number, line in enumerate(path.read_text("utf-8").splitlines(), 1)
        if len(line) > limit
    ]
    assert found == []


@pytest.mark.parametrize("kind", ["files", "functions"])
def test_sizes(kind: str) -> None:
    """What is over a limit must be in tests/size_allowed.json, where numbers may only shrink."""
    found = dict(zip(("files", "functions"), sizes(), strict=True))[kind]
    assert found == ALLOWED[kind]


def imports(path: Path) -> Iterator[str]:
    """Yield the top-level modules that a file imports."""
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name.partition(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            yield node.module.partition(".")[0]


def declared(*extras: str) -> set[str]:
    """Return the distributions that pyproject.toml names, as names of modules."""
    project: dict[str, Any] = PYPROJECT["project"]
    lists = [project["dependencies"], *(project["optional-dependencies"][e] for e in extras)]
    names = [re.split(r"[\[<>=~! ]", line)[0] for lines in lists for line in lines]
    return {name.lower().replace("-", "_") for name in names}


def test_what_is_imported_is_declared() -> None:
    ours = {"recipes", "workflows", "jobs", "returnn_lite", "cupy_kernels"}
    known = ours | set(sys.stdlib_module_names) | declared("cpu", "gpu", "espeak")
    used = {
        DISTRIBUTIONS.get(module, module).replace("-", "_")
        for folder in ours
        for path in tracked(f"{folder}/*.py")
        for module in imports(path)
    }
    assert used - known == set()


def test_constraints_hold_an_exact_version_of_each_dependency() -> None:
    lines = (PROJECT / "constraints.txt").read_text().splitlines()
    pins = [line for line in lines if not line.startswith("#")]
    assert all(re.fullmatch(r"[A-Za-z0-9._-]+==[A-Za-z0-9.]+", pin) for pin in pins)
    pinned = {pin.partition("==")[0].lower().replace("-", "_") for pin in pins}
    assert declared("cpu", "espeak", "test", "slurm", "browser") - pinned == set()


def test_no_file_names_a_machine_or_a_registry() -> None:
    """Assembled, so that this file does not hold what it looks for."""
    hosts = [".".join(x) for x in (("pypi", "org"), ("pythonhosted", "org"), ("deb", "debian"))]
    bad = re.compile(
        "|".join(map(re.escape, [*hosts, "/" + "root/", "/" + "work/main", "/" + "tmp/v"]))
    )
    found = [
        f"{path.relative_to(PROJECT)}:{number}: {line.strip():.80}"
        for path in tracked()
        if path.suffix
        in ("", ".py", ".md", ".txt", ".toml", ".yaml", ".json", ".smk", ".cc", ".cu", ".h")
        for number, line in enumerate(path.read_text("utf-8").splitlines(), 1)
        if bad.search(line)
    ]
    assert found == []


def test_names_of_test_files_are_unique() -> None:
    names = [path.name for path in tracked("tests/*.py") if path.name.startswith("test_")]
    assert sorted(set(names)) == sorted(names)


def test_the_licence_is_the_apache_licence() -> None:
    text = (PROJECT / "LICENSE").read_text()
    assert text.split()[:4] == ["Apache", "License", "Version", "2.0,"]
    assert "END OF TERMS AND CONDITIONS" in text
    assert PYPROJECT["project"]["license"] == "Apache-2.0"
