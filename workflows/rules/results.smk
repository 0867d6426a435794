rule wer:
    input: planned.table
    output: "results/wer.txt"
    localrule: True
    shell: "cp {input[0]:q} {output:q}.tmp && mv {output:q}.tmp {output:q}"
