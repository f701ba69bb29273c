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
