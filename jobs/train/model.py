"""A trained model on disk: network, data streams, normalisation, and parameters."""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from jobs.job import JobError


@dataclass(frozen=True, kw_only=True)
class Model:
    """A model's folder.

    network: the dict that it was trained with. config: the values that it was built with.
    extern_data: its data streams. statistics: the file by which its input is normalised, if it is.
    """

    folder: Path
    network: dict[str, Any]
    config: dict[str, Any]
    extern_data: dict[str, Any]
    statistics: Path | None

    @property
    def checkpoint(self) -> Path:
        """The prefix of the checkpoint's files."""
        return self.folder / "checkpoint"

    @classmethod
    def load(cls, folder: Path) -> Model:
        """Read a model's folder. Raises JobError where it is none."""
        try:
            found = json.loads((folder / "model.json").read_text("utf-8"))
            network, extern_data = dict(found["network"]), dict(found["extern_data"])
            config = dict(found.get("config", {}))
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise JobError(
                f"{folder}: found no model ({error!r}), needed a folder that train.network made"
            ) from None
        statistics = folder / "statistics.json"
        return cls(
            folder=folder,
            network=network,
            config=config,
            extern_data=extern_data,
            statistics=statistics if statistics.is_file() else None,
        )


def save_model(
    folder: Path, network: Any, extern_data: Mapping[str, Any], statistics: Path | None
) -> None:
    """Write a model's folder. network: a `returnn_lite.network.Network`."""
    folder.mkdir(parents=True)
    network.save(folder / "checkpoint")
    content = {
        "network": network.scope.layers,
        "config": dict(network.config.values),
        "extern_data": dict(extern_data),
    }
    (folder / "model.json").write_text(json.dumps(content, indent=1) + "\n", "utf-8")
    if statistics is not None:
        shutil.copyfile(statistics, folder / "statistics.json")
