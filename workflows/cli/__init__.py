"""The command line: one file for each command, over what Snakemake and the store know."""
