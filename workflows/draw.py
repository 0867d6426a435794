"""Draw recipes as graphs of stages: `python -m workflows.draw commands > docs/pipeline.md`."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence

from jobs.job import JobError
from workflows.graph import Node
from workflows.load import recipe_names
from workflows.plan import make_plan


def page(recipes: Mapping[str, Mapping[str, Node]]) -> str:
    """Return a Markdown page with a Mermaid diagram of each recipe; recipe -> stage -> node."""
    return "\n".join(f"## {name}\n\n{diagram(stages)}" for name, stages in recipes.items())


def diagram(stages: Mapping[str, Node]) -> str:
    """Return a Mermaid diagram: a box for each stage with its job, an arrow for each input."""
    ids = {node.folder: f"s{i}" for i, node in enumerate(stages.values())}
    boxes = [f'  {ids[n.folder]}["{name}<br/><i>{n.job.NAME}</i>"]' for name, n in stages.items()]
    arrows = {
        f"  {ids[source.node.folder]} --> {ids[node.folder]}": None
        for node in stages.values()
        for source in node.sources
    }
    return "\n".join(["```mermaid", "flowchart TD", *boxes, *arrows, "```", ""])


def main(arguments: Sequence[str]) -> int:
    """Print a page for recipes, separated by commas; return the exit status."""
    try:
        sys.stdout.write(page(make_plan(recipe_names(arguments)).stages))
        return 0
    except JobError as error:
        sys.stderr.write(f"{error}\n")
        return 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
