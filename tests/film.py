"""A film for the camera that Chromium pretends to have: drawn people come and go."""

import io
from pathlib import Path

from PIL import Image

from maskwise.labels import MaskState
from people import person

RATE = 30
"""Frames a second at which Chromium shows a file of JPEG pictures."""


def write_film(path: Path, scenes: list[tuple[float, list[Image.Image]]]) -> Path:
    """Write scenes of some seconds with some people side by side, as one JPEG after another."""
    with path.open("wb") as film:
        for seconds, people in scenes:
            picture = Image.new("RGB", (640, 360), (120, 130, 140))
            for place, one in enumerate(people):
                shown = one.resize((240, 320))
                picture.paste(shown, ((place + 1) * 640 // (len(people) + 1) - 120, 40))
            frame = io.BytesIO()
            picture.save(frame, "JPEG", quality=88)
            film.write(frame.getvalue() * round(seconds * RATE))
    return path


def door(path: Path) -> Path:
    """Write a film in which one comes with a mask, then one without, then two."""
    worn, bare = person(1, MaskState.WEAR), person(2)
    wrong = person(3, MaskState.INCORRECT)
    return write_film(path, [(1, []), (4, [worn]), (2.5, []), (4, [bare]), (2.5, []),
                             (4, [wrong, worn]), (2, [])])  # fmt: skip
