"""Rec layers: loops over subnetworks, what leaves the loop, and search within it."""
