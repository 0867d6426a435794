"""Where the LSTM's kernels are written."""

from pathlib import Path

SOURCE = Path(__file__).with_name("lstm.cu")
