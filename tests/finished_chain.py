"""Check what a finished run of a recipe left: a row for each of its scores, and error rates.

python -m tests.finished_chain <folder of the run> <recipe> <percent that no WER may reach>
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

from workflows.plan import make_plan


def main(folder: Path, recipe: str, worst: float) -> None:
    """Raise SystemExit for a row that is missing, or a system that learned nothing."""
    lines = (folder / "results" / "wer.txt").read_text("utf-8").splitlines()
    plan = make_plan([recipe])
    rows = plan.table.params.rows
    missing = [r for r in rows if not any(r.system in x and r.set in x for x in lines)]
    if not rows or missing:
        raise SystemExit(f"rows that results/wer.txt lacks: {missing}")
    for row, score in zip(rows, plan.table.inputs["scores"], strict=True):
        rate = json.loads((folder / "work" / score.path).read_text("utf-8"))["wer"]
        if rate >= worst:
            raise SystemExit(f"{row.system} on {row.set}: found WER {rate}, needed below {worst}")


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2], float(sys.argv[3]))
