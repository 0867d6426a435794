"""The commands that profiles give to Snakemake's executor cluster-generic."""

from __future__ import annotations

import argparse
import logging
import sys
from collections.abc import Sequence
from pathlib import Path

from jobs.job import JobError
from workflows.batch.engine import State
from workflows.batch.left import noted
from workflows.batch.request import read_request
from workflows.batch.status import status
from workflows.batch.submit import submit
from workflows.batch.systems import ENGINES, RECORDS

WORDS = {State.ACTIVE: "running", State.DONE: "success"}  # as cluster-generic has them


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command; return its exit status."""
    parser = argparse.ArgumentParser(prog="python -m workflows.batch", description=__doc__)
    parser.add_argument("engine", choices=ENGINES)
    commands = parser.add_subparsers(dest="command", required=True)
    submitting = commands.add_parser("submit", help="submit a job script of Snakemake's; print id")
    submitting.add_argument("jobscript", type=Path)
    asking = commands.add_parser("status", help="print running, success or failed")
    asking.add_argument("--every", type=float, default=5.0, help="seconds between two questions")
    asking.add_argument("job")
    options = parser.parse_args(arguments)
    engine = ENGINES[options.engine]()
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    log, records = logging.getLogger(), Path(RECORDS)
    if options.command == "status":
        state = status(options.job, engine, records, options.every, log)
        sys.stdout.write(f"{WORDS.get(state, 'failed')}\n")
        return 0
    try:
        request = read_request(options.jobscript)
        with noted(options.engine, request.name):
            job = submit(request, engine, log, records)
    except JobError as error:
        sys.stderr.write(f"{error}\n")
        return 1
    sys.stdout.write(f"{job}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
