"""What all commands have: the store, the data, and the recipes asked for."""

from __future__ import annotations

import argparse
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from jobs.job import JobError
from workflows.config import check_config
from workflows.load import recipe_names

ROOT = Path(__file__).resolve().parents[2]
RESULTS = Path("results")


@dataclass(frozen=True, kw_only=True)
class Settings:
    """store: folder of all stages. data: what `{data}` stands for. recipes: the default ones."""

    store: Path
    data: str
    recipes: tuple[str, ...]


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add --store and --data."""
    parser.add_argument("--store", metavar="FOLDER", help="the store, instead of config.yaml's")
    parser.add_argument("--data", metavar="FOLDER", help="what {data} stands for in recipes")


def settings(options: argparse.Namespace) -> Settings:
    """Return what config.yaml and the options say.

    Raises JobError for a mistake in either, or where the project's files are not there.
    """
    path = ROOT / "config.yaml"
    if not (ROOT / "Snakefile").is_file() or not path.is_file():
        raise JobError(
            f"{ROOT}: found no Snakefile and config.yaml, needed a checkout of the project;"
            " try pip install -e . in one"
        )
    config: dict[str, Any] = yaml.safe_load(path.read_text("utf-8"))
    if options.store:
        config["store"] = options.store
    check_config(config)
    data = os.path.normpath(ROOT / Path(config["data"]).expanduser())
    return Settings(
        store=Path(config["store"]).expanduser(),
        data=str(Path(options.data).expanduser().absolute()) if options.data else data,
        recipes=tuple(recipe_names(config["recipes"])),
    )
