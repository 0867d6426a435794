"""Where an artifact comes from: what manifest.json says beside a stage's outputs."""

from __future__ import annotations

import importlib.metadata
import json
import os
import platform
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from jobs.files import written

PACKAGES = (
    "cupy-cuda12x",
    "h5py",
    "kaldi-native-fbank",
    "numpy",
    "returnn-lite",
    "sentencepiece",
    "snakemake",
    "soundfile",
    "soxr",
    "tensorflow",
    "tensorflow-cpu",
)


def write_manifest(path: Path, spec: Mapping[str, Any], run: Mapping[str, Any]) -> None:
    """Write manifest.json: what was done (stage.json), how it went, and by which software."""
    value = {
        **spec,
        "seeds": seeds(spec["params"]),
        **run,
        "host": platform.node(),
        "versions": versions(),
        "project": project_state(Path(__file__).parent),
    }
    with written(path) as tmp:
        tmp.write_text(json.dumps(value, indent=1, ensure_ascii=False) + "\n", "utf-8")


def seeds(params: Any, path: str = "") -> dict[str, Any]:
    """Return all parameters that are seeds, by their place in the parameters."""
    found: dict[str, Any] = {}
    items = params.items() if isinstance(params, dict) else ()
    for key, value in items:
        at = f"{path}.{key}".lstrip(".")
        if key == "seed" or key.endswith("_seed"):
            found[at] = value
        found.update(seeds(value, at))
    return found


def versions() -> dict[str, str]:
    """Return the versions of Python and of the main packages that are there; imports none."""
    found = {"python": platform.python_version()}
    for name in PACKAGES:
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    return found


def project_state(folder: Path) -> dict[str, Any]:
    """Return the commit of the checkout, and whether files differ from it; null without git."""

    def git(*arguments: str) -> str:
        # No lock: several jobs ask at once, and a refreshed index is not worth a conflict.
        environment = {**os.environ, "GIT_OPTIONAL_LOCKS": "0"}
        command = ["git", "-C", str(folder), *arguments]
        done = subprocess.run(command, capture_output=True, text=True, check=True, env=environment)
        return done.stdout.strip()

    try:
        return {"commit": git("rev-parse", "HEAD"), "dirty": bool(git("status", "--porcelain"))}
    except (OSError, subprocess.CalledProcessError):
        return {"commit": None, "dirty": None}
