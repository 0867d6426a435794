"""Acoustic features: extraction, and statistics over them."""
