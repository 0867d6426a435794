"""One source per operation: compiled by the host's compiler, or by NVRTC through CuPy."""
