"""Sub-word units: training, and text to labels and back."""
