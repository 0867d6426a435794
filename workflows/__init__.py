"""How Snakemake runs recipes: the stage graph, the store, and the one runner of jobs."""
