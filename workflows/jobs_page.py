"""All jobs with inputs, outputs and parameters: `python -m workflows.jobs_page > docs/jobs.md`."""

from __future__ import annotations

import dataclasses
import inspect
import sys
from typing import Any

from jobs.job import Job, job_names, load_job

_HEAD = """# Jobs

Made by `make docs` from the jobs themselves. Parameters in italics are not part of a stage's hash.
"""


def page() -> str:
    """Return the page as Markdown."""
    return _HEAD + "".join(_section(load_job(name)) for name in job_names())


def _section(job: Job) -> str:
    """Return a job's section: what it does, and tables of its fields."""
    text = inspect.cleandoc(str(job.__doc__)) if job.__doc__ else ""
    text += "\n\nIt can be done in shards." if hasattr(job, "merge") else ""
    parts = [f"\n## {job.NAME}\n\n{text}\n"]
    for title, cls in (("Inputs", job.Inputs), ("Outputs", job.Outputs), ("Params", job.Params)):
        fields = dataclasses.fields(cls)
        if fields:
            doc = inspect.cleandoc(cls.__doc__ or "")
            rows = "".join(_row(f) for f in fields)
            parts.append(f"\n{title}. {doc}\n\n| name | type | default |\n|---|---|---|\n{rows}")
    return "".join(parts)


def _row(field: dataclasses.Field[Any]) -> str:
    """Return a table row: name, type and default."""
    hashed = field.metadata.get("hashed", True)
    name = f"`{field.name}`" if hashed else f"*`{field.name}`*"
    default = ""
    if field.default is not dataclasses.MISSING:
        default = str(field.default) if "folder" in field.metadata else repr(field.default)
    elif field.default_factory is not dataclasses.MISSING:
        default = repr(field.default_factory())
    kind = str(field.type).replace("|", "\\|")
    return f"| {name} | `{kind}` | {f'`{default}`' if default else ''} |\n"


if __name__ == "__main__":
    sys.stdout.write(page())
