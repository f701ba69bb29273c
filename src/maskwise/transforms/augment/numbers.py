"""Numbers of an epoch's photos: the row in the manifest, and which time it comes in the epoch."""

from typing import Final, TypeVar

import numpy as np
from numpy.typing import NDArray

Rows = NDArray[np.int64]
Row = TypeVar("Row", int, Rows)
_ROWS: Final = 1 << 32
"""More than there are rows: what a number rises by each time that its row comes again."""


def photo_rows(numbers: Row) -> Row:
    """Return the row of a number, or the rows (n,) of numbers, that `numbered_rows` gave."""
    return numbers % _ROWS


def numbered_rows(rows: Rows) -> Rows:
    """Return (n,) rows with a number added, each time that one comes again, that tells which."""
    order = np.argsort(rows, kind="stable")
    found = rows[order]
    first = np.flatnonzero(np.diff(found, prepend=-1))
    times = np.arange(len(rows)) - np.repeat(first, np.diff(first, append=len(rows)))
    numbered = rows.copy()
    numbered[order] += times * _ROWS
    return numbered
