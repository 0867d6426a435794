"""Energies of additive attention, with their gradient."""

from cupy_kernels.energies.op import additive_energies, additive_energies_backward

__all__ = ["additive_energies", "additive_energies_backward"]
