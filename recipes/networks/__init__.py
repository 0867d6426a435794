"""Network dicts, built by plain functions."""
