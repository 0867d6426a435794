"""`returnn-lite`: recipes, check, run, report, explain, gc, export, new."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence

from jobs.job import JobError, nearest
from workflows.cli import check, collect, explain, export, new, overview, report, run

COMMANDS = {
    "recipes": overview,
    "check": check,
    "run": run,
    "report": report,
    "explain": explain,
    "gc": collect,
    "export": export,
    "new": new,
}


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command; return its exit status: 0, or 1 with an error in a few lines."""
    words = list(sys.argv[1:] if arguments is None else arguments)
    if words and not words[0].startswith("-") and words[0] not in COMMANDS:
        sys.stderr.write(f"unknown command {words[0]!r}{nearest(words[0], COMMANDS)}\n")
        return 2
    options, rest = parser().parse_known_args(words)
    if rest and options.command != "run":
        parser().error(f"unknown {' '.join(rest)}; see returnn-lite {options.command} --help")
    options.rest = rest
    try:
        return int(COMMANDS[options.command].main(options))
    except JobError as error:
        sys.stderr.write(f"{error}\n")
        return 1
    except BrokenPipeError:  # the reader, such as `head`, has enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except OSError as error:
        place = error.filename or options.command
        sys.stderr.write(f"{place}: {error.strerror or error}\n")
        return 1
    except KeyboardInterrupt:
        return 130


def parser() -> argparse.ArgumentParser:
    """Return the parser of all commands."""
    top = argparse.ArgumentParser(prog="returnn-lite", description=__doc__.partition(":")[2])
    commands = top.add_subparsers(dest="command", required=True, metavar="COMMAND")
    for name, module in COMMANDS.items():
        first, _, more = str(module.__doc__).partition("\n")
        command = commands.add_parser(
            name,
            help=first.rstrip("."),
            description=f"{first}\n{more}".rstrip(),
            formatter_class=argparse.RawDescriptionHelpFormatter,
            allow_abbrev=False,
        )
        module.add_options(command)
    return top


if __name__ == "__main__":
    sys.exit(main())
