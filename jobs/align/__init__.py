"""Alignments of labels to frames: made, and turned into times."""
