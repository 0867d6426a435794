"""Training: steps, epochs, learning rates, checkpoints."""
