"""The batch systems by their names."""

from collections.abc import Callable

from workflows.batch.engine import Engine
from workflows.batch.sge import Sge
from workflows.batch.slurm import Slurm

ENGINES: dict[str, Callable[[], Engine]] = {"slurm": Slurm, "sge": Sge}
RECORDS = ".snakemake/batch"  # from the folder that Snakemake runs in
