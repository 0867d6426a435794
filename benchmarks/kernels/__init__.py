"""What `python benchmarks/kernels/run.py` times: a file of tasks for each operation."""
