"""Drawn people on small photos, in which the detector centerface finds their faces."""

from dataclasses import replace
from functools import cache
from typing import Any

from PIL import Image

from maskwise.data.drawn.people import plan_person
from maskwise.data.drawn.photos import plan_photo
from maskwise.data.drawn.scene import draw_person
from maskwise.labels import MaskState

SIZE = (192, 256)


@cache
def person(number: int, state: MaskState = MaskState.NOT_WEAR, **changes: Any) -> Image.Image:
    """Return a photo (192x256) of a drawn person; `changes` are fields of its plan."""
    plan = plan_photo(0, number, "train", 6, state)
    drawn = draw_person(plan_person(0, number, "train"), replace(plan, **changes))
    return drawn.resize(SIZE)
