"""What config.yaml and --config may say."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jsonschema

from jobs.job import JobError, nearest

SCHEMA = Path(__file__).parent / "schemas" / "config.json"


def check_config(config: Mapping[str, Any]) -> None:
    """Check the configuration. Raises JobError, one line for each mistake."""
    schema = json.loads(SCHEMA.read_text("utf-8"))
    known = schema["properties"]
    errors = [f"unknown key {key!r}{nearest(key, known)}" for key in config if key not in known]
    store = config.get("store")
    if isinstance(store, str) and (store.startswith("-") or set(store) & set("{}")):
        errors.append(
            f"store: found {store!r}, needed a folder without {{ and }} that does not begin with -:"
            " Snakemake takes these for its own"
        )
    checked = {key: value for key, value in config.items() if key in known}
    for error in jsonschema.Draft202012Validator(schema).iter_errors(checked):
        place = "".join(f"{p}: " for p in error.absolute_path)
        errors.append(f"{place}{error.message}")
    if errors:
        raise JobError("\n".join(f"config: {e}" for e in errors))
