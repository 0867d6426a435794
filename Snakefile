"""The project's main job: from recipes to results/wer.txt."""

from snakemake.utils import min_version

from workflows.snakefile import Workflow

min_version("9.0")


configfile: f"{workflow.basedir}/config.yaml"


planned = Workflow(config, workflow)


rule all:
    input:
        "results/wer.txt",
        planned.manifests,


include: "workflows/rules/jobs.smk"
include: "workflows/rules/results.smk"


onsuccess:
    planned.show_table()
