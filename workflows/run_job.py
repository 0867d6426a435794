"""The one runner of jobs: `python -m workflows.run_job work/<job>/<hash>/stage.json`."""

from __future__ import annotations

import argparse
import contextlib
import errno
import faulthandler
import json
import logging
import os
import shlex
import signal
import sys
import time
from collections.abc import Sequence
from contextlib import AbstractContextManager
from datetime import UTC, datetime
from pathlib import Path
from types import FrameType
from typing import Any, NoReturn

from jobs.files import remove, remove_leftovers
from jobs.job import Job, JobError, load_job, outputs_of
from jobs.shards import Shard
from jobs.typed_json import from_json
from workflows.exit_status import FAILED, MACHINE, MISTAKE, OUT_OF_MEMORY, USAGE
from workflows.gpus import devices, leased
from workflows.lock import locked, wait_for
from workflows.machine_errors import note_machine, of_machine, this_machine
from workflows.memory import peak_memory
from workflows.provenance import write_manifest
from workflows.release import release
from workflows.stage_log import message, report, stage_log
from workflows.stages import ERROR, LOCK, MACHINES, MANIFEST, RELEASED, finished
from workflows.store import share

NEEDED = ("name", "job", "version", "params", "inputs")  # in a stage.json
PAUSE = 5.0  # seconds before a stage begins again on the machine that failed
THREAD_VARIABLES = (
    "OMP_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "MKL_NUM_THREADS",
    "TF_NUM_INTRAOP_THREADS",
    "TF_NUM_INTEROP_THREADS",
)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one stage; return its exit status: 0, or one of workflows/exit_status.py."""
    words = list(sys.argv[1:] if arguments is None else arguments)
    options = _options(words)
    set_threads(options.threads)
    signal.signal(signal.SIGTERM, _stop)
    faulthandler.enable()
    folder = options.spec.parent
    try:
        spec = dict(json.loads(options.spec.read_text("utf-8")))
        missing = next((key for key in NEEDED if key not in spec), "")
    except (OSError, ValueError, TypeError) as error:
        sys.stderr.write(f"{options.spec}: not the specification of a stage: {error}\n")
        return USAGE
    if missing:
        sys.stderr.write(f"{options.spec}: not the specification of a stage: no {missing!r}\n")
        return USAGE
    share(folder.parent.parent)
    try:
        if not os.access(folder, os.W_OK):
            return _leave_to_owner(folder, spec)
        with stage_log(folder, spec["name"], options.in_workflow) as log:
            status = _run_alone(spec, options, log)
    except OSError as error:  # not even the log can be written
        sys.stderr.write(f"{spec['name']}: {message(error, folder)}\n")
        return FAILED
    if status == MACHINE and options.restarts:
        _start_again(words, options.restarts - 1)
    return status


def _start_again(words: Sequence[str], restarts: int) -> NoReturn:
    """Become a new process that does the same: only that gets rid of a GPU's error."""
    time.sleep(PAUSE)
    program = [sys.executable, "-m", "workflows.run_job"]
    os.execv(sys.executable, [*program, *words, "--restarts", str(restarts)])


def _run_alone(spec: dict[str, Any], options: argparse.Namespace, log: logging.Logger) -> int:
    """Run a stage while no other process does; return the exit status."""
    folder: Path = options.spec.parent
    log.debug("by hand: %s", _command(options))
    try:
        with locked(folder / LOCK, log) as waited:
            if (waited or _newer(folder, options.planned)) and _finished(folder, spec):
                log.info("another process has done it")
                return 0
            remove(folder / ERROR)
            with _gpus(options, log):
                run_stage(spec, options, log)
        release(spec.get("release", []), folder.parent.parent, log)
        return 0
    except (Exception, KeyboardInterrupt) as error:
        report(error, folder / ERROR, log)
        if not isinstance(error, JobError) and of_machine(error, folder.parent.parent):
            log.warning("%s: its GPU or its disk failed", this_machine())
            with contextlib.suppress(OSError):
                note_machine(folder)
            return MACHINE
        kinds = {JobError: MISTAKE, MemoryError: OUT_OF_MEMORY}
        return next((code for kind, code in kinds.items() if isinstance(error, kind)), FAILED)


def _gpus(options: argparse.Namespace, log: logging.Logger) -> AbstractContextManager[object]:
    """Take as many GPUs as the options say; by hand, without the option, all that are visible."""
    if options.gpus is None or (options.allocated and options.gpus):
        return contextlib.nullcontext()
    return leased(options.gpus, log)


def _leave_to_owner(folder: Path, spec: dict[str, Any]) -> int:
    """Wait for a stage of a user who lets nobody else write; return the exit status."""
    sys.stderr.write(f"{spec['name']}: {folder} is another user's; waiting for it\n")
    with contextlib.suppress(FileNotFoundError):  # nobody has begun it
        wait_for(folder / LOCK)
    if _finished(folder, spec):
        return 0
    sys.stderr.write(f"{spec['name']}: {message(PermissionError(errno.EACCES, ''), folder)}\n")
    return FAILED


def _newer(folder: Path, planned: float | None) -> bool:
    """Return whether a stage was finished after the run was planned that wants it."""
    manifest = folder / MANIFEST
    return planned is not None and manifest.exists() and manifest.stat().st_mtime > planned


def _options(arguments: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m workflows.run_job", description=__doc__)
    parser.add_argument("spec", type=Path, help="stage.json in the folder of the stage")
    parser.add_argument("--data", help="the folder that {data} stands for in parameters")
    parser.add_argument("--threads", type=int, default=os.cpu_count(), help="cores to use")
    parser.add_argument("--gpus", type=int, help="GPUs to lease, until there are as many")
    parser.add_argument(
        "--allocated", action="store_true", help="a batch system has chosen the GPUs: lease none"
    )
    parser.add_argument(
        "--in-workflow", action="store_true", help="one of several on a terminal: say little"
    )
    parser.add_argument(
        "--restarts", type=int, default=0, help="how often to begin again where a GPU or disk fails"
    )
    parser.add_argument(
        "--planned", type=float, metavar="SECONDS", help="do nothing where it was done after that"
    )
    return parser.parse_args(arguments)


def _command(options: argparse.Namespace) -> str:
    """Return the command that runs the same stage by hand."""
    command = [sys.executable, "-m", "workflows.run_job", str(options.spec)]
    data = ["--data", options.data] if options.data else []
    leased = [] if options.gpus is None else ["--gpus", str(options.gpus)]
    return shlex.join([*command, *data, "--threads", str(options.threads), *leased])


def set_threads(threads: int) -> None:
    """Give all libraries one budget of threads; before any of them is imported."""
    for name in THREAD_VARIABLES:
        os.environ[name] = str(threads)
    os.environ["OMP_WAIT_POLICY"] = "PASSIVE"  # pools that spin take the cores from one another
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")


def run_stage(spec: dict[str, Any], options: argparse.Namespace, log: logging.Logger) -> None:
    """Run the job of a stage and write its manifest.

    Raises JobError where the code has changed since the plan, or an output is missing.
    """
    folder: Path = options.spec.parent
    job = load_job(spec["job"])
    if spec["version"] != job.VERSION:
        raise JobError(
            f"{options.spec}: found version {spec['version']} of {job.NAME}, needed"
            f" {job.VERSION}, which the code has now; try snakemake, which plans anew"
        )
    for path in remove_leftovers(folder):
        log.info("removed %s, left by a killed process", path)
    remove(folder / MANIFEST)
    params = from_json(job.Params, _with_data(spec["params"], options.data), job.NAME)
    inputs = from_json(job.Inputs, _below(folder.parent.parent, spec["inputs"]), job.NAME)
    outputs = job.Outputs(**{k: folder / path for k, path in outputs_of(job).items()})
    started, start = datetime.now(UTC), time.monotonic()
    with peak_memory() as peak:
        merged = _work(job, spec, folder.parent.parent, (inputs, outputs, params), log)
    if missing := _missing(folder, job):
        raise JobError(f"{job.NAME}: ended without an error, but did not make {missing}")
    run = {
        "command": _command(options),
        "data": options.data,
        "started": started.isoformat(timespec="seconds"),
        "seconds": round(time.monotonic() - start, 3),
        "peak_memory_mib": peak.mib,
        "threads": options.threads,
        "gpus": len(devices()),
    }
    made_from = {k: v for k, v in spec.items() if k != "shards" or merged}
    write_manifest(folder / MANIFEST, made_from, run)
    remove(folder / RELEASED)
    remove(folder / MACHINES)
    log.info("done in %.1f s, %d MiB", run["seconds"], peak.mib)


def _work(
    job: Job, spec: dict[str, Any], store: Path, files: tuple[Any, Any, Any], log: logging.Logger
) -> bool:
    """Let a job do all of its work, or a shard of it, or put shards together that are all there.

    files: inputs, outputs and params. Returns whether shards were put together.
    """
    inputs, outputs, params = files
    split: Any = job
    folders = [store / folder for folder in spec.get("shards", [])]
    if folders and all(_finished(folder, spec) for folder in folders):
        names = outputs_of(job).items()
        parts = [job.Outputs(**{k: folder / p for k, p in names}) for folder in folders]
        split.merge(inputs, parts, outputs, params, log)
        return True
    if "shard" in spec:
        shard = from_json(Shard, spec["shard"], "shard")
        split.run(inputs, outputs, params, log, shard)
    else:  # also where shards were put together before, and are gone
        job.run(inputs, outputs, params, log)
    return False


def _finished(folder: Path, spec: dict[str, Any]) -> bool:
    return finished(folder, map(str, outputs_of(load_job(spec["job"])).values()))


def _missing(folder: Path, job: Job) -> str:
    """Return the outputs of a job that are not in its folder, as a text."""
    paths = [folder / path for path in outputs_of(job).values()]
    return ", ".join(str(path) for path in paths if not path.exists())


def _with_data(value: Any, data: str | None) -> Any:
    """Replace `{data}` in all strings of JSON values."""
    if isinstance(value, dict):
        return {k: _with_data(v, data) for k, v in value.items()}
    if isinstance(value, list):
        return [_with_data(v, data) for v in value]
    if isinstance(value, str) and "{data}" in value:
        if data is None:
            raise JobError(f"found {value!r}, needed a folder for {{data}}; try --data FOLDER")
        return value.replace("{data}", data)
    return value


def _below(store: Path, inputs: dict[str, Any]) -> dict[str, Any]:
    """Return the inputs as paths."""
    many = {k: [str(store / p) for p in v] for k, v in inputs.items() if isinstance(v, list)}
    one = {k: str(store / v) for k, v in inputs.items() if isinstance(v, str)}
    return {**inputs, **many, **one}


def _stop(number: int, frame: FrameType | None) -> None:
    raise KeyboardInterrupt


if __name__ == "__main__":
    sys.exit(main())
