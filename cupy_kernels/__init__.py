"""Kernels for sequence learning: arrays in, arrays out, on the host or on a GPU."""
