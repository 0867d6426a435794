for kind in planned.rules:

    rule:
        name: kind.name
        input: kind.inputs
        output: kind.output
        wildcard_constraints: hash="[0-9a-f]{16}"
        params: spec=kind.spec
        threads: kind.threads
        priority: kind.priority
        resources: mem_mb=kind.mem_mb, runtime=kind.minutes, gpu=kind.gpu
        shell:
            "{sys.executable:q} -m workflows.run_job {params.spec:q} --data {planned.data:q}"
            " --threads {threads} --planned {planned.begun} --in-workflow"
