"""Jobs that search with networks."""
