for kind in planned.rules:

    rule:
        name: kind.name
        input: kind.inputs
        output: kind.output
        wildcard_constraints: hash="[0-9a-f]{16}"
        params: command=kind.command, folder=kind.folder, unfinished=kind.unfinished
        threads: kind.threads
        priority: kind.priority
        resources: mem_mb=kind.mem_mb, runtime=kind.minutes, gpu=kind.gpu, attempt=kind.attempt
        shell: planned.shell
