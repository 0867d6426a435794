"""The errors of a search, to be read: the most frequent ones, then each sentence that has one."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence

from rich.cells import cell_len  # widths of characters on a terminal

from jobs.score.edits import Counts, Pair, count

MOST = 30  # rows of a list of most frequent errors
WIDTH = 100


def report(alignments: Mapping[str, Sequence[Pair]]) -> str:
    """Return the text of errors.txt. alignments: words of each utterance."""
    wrong = {utt: pairs for utt, pairs in alignments.items() if count(pairs).errors}
    every = [pair for pairs in wrong.values() for pair in pairs if pair[0] != pair[1]]
    lines = [f"{len(wrong)} of {len(alignments)} sentences have errors", ""]
    lines += _frequent("Substitutions", Counter(f"{r} -> {h}" for r, h in every if r and h))
    lines += _frequent("Deletions", Counter(r for r, h in every if r and h is None))
    lines += _frequent("Insertions", Counter(h for r, h in every if h and r is None))
    for utt, pairs in wrong.items():
        lines += [f"{utt}: {_told(count(pairs))}", *_aligned(pairs), ""]
    return "\n".join(lines)


def _frequent(title: str, found: Counter[str]) -> list[str]:
    """Return the lines of a list of errors, the most frequent first."""
    rows = sorted(found.items(), key=lambda row: (-row[1], row[0]))
    more = f", the {MOST} most frequent of {len(rows)}" if len(rows) > MOST else ""
    head = f"{title}: {found.total()}{more}"
    return [head, *(f"{number:7d}  {name}" for name, number in rows[:MOST]), ""]


def _told(c: Counts) -> str:
    kinds = {"substituted": c.substitutions, "deleted": c.deletions, "inserted": c.insertions}
    told = ", ".join(f"{number} {kind}" for kind, number in kinds.items() if number)
    return f"{told}; {c.tokens} words"


def _aligned(pairs: Sequence[Pair]) -> Iterator[str]:
    """Yield lines REF, HYP and ERR in columns, broken at WIDTH."""
    rows = ["REF:", "HYP:", "ERR:"]
    for reference, hypothesis in pairs:
        mark = "" if reference == hypothesis else "I" if reference is None else "S"
        mark = "D" if hypothesis is None else mark
        width = max(cell_len(reference or ""), cell_len(hypothesis or ""))
        if cell_len(rows[0]) + 1 + width > WIDTH and rows[0] != "REF:":
            yield from (row.rstrip() for row in rows)
            rows = ["REF:", "HYP:", "ERR:"]
        cells = [reference or "*" * width, hypothesis or "*" * width, mark]
        rows = [
            f"{row} {cell}{' ' * (width - cell_len(cell))}"
            for row, cell in zip(rows, cells, strict=True)
        ]
    yield from (row.rstrip() for row in rows)
