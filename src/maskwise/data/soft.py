"""Soft labels: probabilities of the 18 classes in one cell of a manifest."""

from collections.abc import Sequence
from typing import Final

import numpy as np
import polars as pl
from numpy.typing import NDArray

from maskwise.labels import NUM_CLASSES

SOFT: Final = "soft"
"""The column, which only manifests of pseudo-labels have."""
_SLACK: Final = 2e-3
"""How far from 1 they may sum: they are rounded."""


def soft_text(probabilities: Sequence[float] | NDArray[np.floating]) -> str:
    """Return 18 probabilities as a manifest writes them."""
    return " ".join(f"{p:.4f}" for p in probabilities)


def parse_soft(text: str) -> tuple[float, ...]:
    """Return the 18 probabilities of a cell, scaled to sum to 1.

    Raises:
        ValueError: there are not 18, or they are no probabilities.
    """
    parts = text.split()
    if len(parts) != NUM_CLASSES:
        raise ValueError(f"expected {NUM_CLASSES} probabilities, got {len(parts)}")
    values = [float(part) for part in parts]
    total = sum(values)
    if not all(0 <= value <= 1 for value in values) or not abs(total - 1) <= _SLACK:
        raise ValueError(f"expected probabilities that sum to 1, got a sum of {total:.4g}")
    return tuple(value / total for value in values)


def soft_labels(frame: pl.DataFrame) -> NDArray[np.float32] | None:
    """Return the soft labels (N, 18) of a manifest's rows, NaN where a row has none.

    None where no row has any.
    """
    if SOFT not in frame.columns or frame[SOFT].null_count() == len(frame):
        return None
    labels = np.full((len(frame), NUM_CLASSES), np.nan, dtype=np.float32)
    for row in frame[SOFT].is_not_null().arg_true():
        labels[row] = parse_soft(frame[SOFT][row])
    return labels
