"""Face boxes as text: 'left top right bottom' in pixels."""

import math

from maskwise.transforms.preprocess import Box


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
