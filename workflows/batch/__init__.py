"""Stages as jobs of a batch system: what the profiles give to Snakemake's cluster-generic."""
