rule wer:
    input: planned.table_made
    output: report("results/wer.txt", category="Scores")
    params: table=planned.table
    localrule: True
    shell:
        "cp {params.table:q} {output:q}.tmp && sync {output:q}.tmp"
        " && mv {output:q}.tmp {output:q}"


rule report:
    input: planned.report_made
    output: report(planned.report, category="Recipes")
    params: command=lambda wildcards: planned.report_command
    localrule: True
    shell: "{params.command}"
