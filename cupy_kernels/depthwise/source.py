"""The source of the operation."""

from __future__ import annotations

from pathlib import Path

SOURCE = Path(__file__).with_name("depthwise.cu")
