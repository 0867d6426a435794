"""Jobs: what one stage does, as functions from files to files."""
