"""What a user sees of a run: a line when a stage starts, its error when it fails, the table."""

from __future__ import annotations

import logging
import re
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from snakemake.logging import DefaultFormatter
from snakemake.logging import logger as snakemake_logger

from workflows.exit_status import FAILED, MACHINE, MISTAKE, OUT_OF_MEMORY
from workflows.graph import Node

CHATTER = (
    "--keep-incomplete mode is set",
    "Assuming unrestricted",
    "Cannot restore ",
    "Config file ",
    "Execute ",
    "Provided resources: ",
    "Rules claiming",
    "Select jobs to execute...",
    "Using shell: ",
    "Using workflow specific profile",
)


class Shown(NamedTuple):
    """A stage, and why it runs, where Snakemake's reason says less."""

    node: Node
    why: str | None


# Of the runner, which says why in error.txt.
SAID = re.compile(
    rf"returned non-zero exit status ({MISTAKE}|{FAILED}|{OUT_OF_MEMORY}|{MACHINE})\.$"
)


class ShortFormatter(DefaultFormatter):
    """Formats Snakemake's messages in terms of recipes and stages; leaves others as they are.

    nodes: folder -> stage.
    """

    def __init__(self, nodes: Mapping[str, Shown]) -> None:
        super().__init__()
        self.nodes = nodes
        self.told: set[tuple[Path, str]] = set()

    def format(self, record: logging.LogRecord) -> str:
        text, kind = str(record.msg), getattr(record, "exception", None)
        if text.startswith(CHATTER):
            return ""
        if kind == "PlanError":
            lines = text.splitlines()[1:]  # after `PlanError in file "Snakefile", line 3:`
            return "\n".join(line for line in lines if not line.startswith('  File "'))
        if kind == "RuleException" and SAID.search(text):
            return ""  # the job has said more, see format_job_error
        return str(super().format(record))

    def format_job_info(self, msg: dict[str, Any]) -> str:
        folder, shown = self._stage(msg)
        if shown is None:
            return f"{msg['rule_name']}: {', '.join(msg['output'])}"
        reason = shown.why or str(msg["reason"]).partition(": ")[0].lower()
        return f"{shown.node.name}: {shown.node.job.NAME}, {folder} ({reason})"

    def format_job_finished(self, msg: dict[str, Any]) -> str:
        return ""

    def format_job_error(self, msg: dict[str, Any]) -> str:
        folder, shown = self._stage(msg)
        if shown is None:
            return str(super().format_job_error(msg))
        node = shown.node
        error = folder / "error.txt"
        text = (
            error.read_text("utf-8", "replace")
            if error.exists()
            else "stopped without an error message\n"
        )
        if (folder, text) in self.told:
            return ""  # another attempt was not made, or ended as the last one
        self.told.add((folder, text))
        return f"\n{node.name}: {node.job.NAME} failed; log: {folder / 'log.txt'}\n{text}"

    def _stage(self, msg: dict[str, Any]) -> tuple[Path, Shown | None]:
        folder = Path(msg["output"][0]).parent if msg["output"] else Path()
        return folder, self.nodes.get(str(folder))


def install(nodes: Mapping[str, Shown]) -> None:
    """Let what Snakemake says on the terminal be short; its log file stays as it is.

    nodes: folder -> stage, may be filled later.
    """
    for handler in snakemake_logger.handlers:
        if isinstance(handler, logging.StreamHandler) and handler.name == "DefaultStreamHandler":
            handler.setFormatter(ShortFormatter(nodes))


def show(text: str) -> None:
    """Write a text to standard output."""
    sys.stdout.write(text)
    sys.stdout.flush()
