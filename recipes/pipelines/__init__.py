"""Chains of stages that recipes share."""
