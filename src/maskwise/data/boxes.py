"""Face boxes as text: 'left top right bottom' in pixels."""

import math
import re
from collections.abc import Mapping, Sequence
from typing import Final

from maskwise.data.csv_files import plain_name
from maskwise.transforms.preprocess import Box

_CORNERS: Final = (
    ("left", "top", "right", "bottom"), ("xmin", "ymin", "xmax", "ymax"), ("x1", "y1", "x2", "y2"),
)  # fmt: skip
_SIZES: Final = (
    ("left", "top", "width", "height"), ("x", "y", "width", "height"), ("x", "y", "w", "h"),
    ("xmin", "ymin", "width", "height"),
)  # fmt: skip
"""Columns, as `plain_name` returns them, of left and top edge, width and height."""


def parse_box(text: str) -> Box:
    """Return (left, top, right, bottom) in pixels.

    Raises:
        ValueError: not four numbers, or an empty box.
    """
    parts = text.split()
    if len(parts) != 4:
        raise ValueError(f"expected 'left top right bottom', got {text!r}")
    left, top, right, bottom = (float(part) for part in parts)
    if not (left < right and top < bottom and math.isfinite(left + top + right + bottom)):
        raise ValueError(f"expected left < right and top < bottom, got {text!r}")
    return left, top, right, bottom


def pixel_box(text: str) -> str:
    """Return a box of a table as the manifest writes it, without brackets and commas.

    Raises:
        ValueError: not four numbers, an empty box, or shares of the photo instead of pixels.

    Example:
        >>> pixel_box("[1, 2, 30, 40]")
        '1 2 30 40'
    """
    box = " ".join(re.sub(r"[\[\](),;]", " ", text).split())
    if max(parse_box(box)) <= 1:
        raise ValueError(f"expected pixels, got shares of the photo: {box}")
    return box


def used_box_columns(names: Sequence[str]) -> list[str]:
    """Return the columns of a table in which boxes stand, four or none."""
    spelled = {plain_name(name): name for name in names}
    found = next((four for four in (*_CORNERS, *_SIZES) if spelled.keys() >= set(four)), ())
    return [spelled[name] for name in found]


def box_of_columns(row: Mapping[str, str], columns: Sequence[str]) -> str | None:
    """Return the box that stands in some columns of a row, or None where they are empty.

    Args:
        row: The cells of a row by column.
        columns: Those of boxes, as `used_box_columns` returns them.

    Raises:
        ValueError: Some of the four are empty, or no numbers.
    """
    cells = [row[name].strip() for name in columns]
    if not any(cells):
        return None
    empty = [name for name, cell in zip(columns, cells, strict=True) if not cell]
    if empty:
        raise ValueError(f"{' and '.join(empty)} {'is' if len(empty) == 1 else 'are'} empty")
    if tuple(map(plain_name, columns)) in _CORNERS:
        return " ".join(cells)
    left, top, width, height = (float(cell) for cell in cells)
    return box_text((left, top, left + width, top + height))


def common_area(first: Box, second: Box) -> float:
    """Return the area of the intersection of two boxes, in square pixels."""
    across = min(first[2], second[2]) - max(first[0], second[0])
    down = min(first[3], second[3]) - max(first[1], second[1])
    return max(across, 0.0) * max(down, 0.0)


def overlap(first: Box, second: Box) -> float:
    """Return the intersection over union of two boxes, 0 to 1."""
    common = common_area(first, second)
    areas = ((box[2] - box[0]) * (box[3] - box[1]) for box in (first, second))
    union = sum(areas) - common
    return common / union if union > 0 else 0.0


def box_text(box: Box) -> str:
    """Return a box as the manifest writes it, to a tenth of a pixel."""
    return " ".join(f"{edge:.1f}".removesuffix(".0") for edge in box)
