"""Pages about recipes: what was found, to be read in a browser, from a disk, without a network."""
