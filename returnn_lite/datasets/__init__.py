"""Sequences of data streams, and their order and grouping into batches."""
