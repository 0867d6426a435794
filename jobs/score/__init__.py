"""Scores of hypotheses: error rates, and the table of them."""
