"""Photos as the labelling page shows them: made small when they are asked for, kept in memory."""

import io
from functools import lru_cache
from pathlib import Path
from typing import Final, Literal

from PIL import Image

from maskwise.data.boxes import parse_box
from maskwise.errors import PhotoError
from maskwise.transforms.decode import decode_photo

Size = Literal["small", "large"]
SIDES: Final[dict[Size, int]] = {"small": 160, "large": 1280}
"""Longest side in pixels."""
AROUND: Final = 0.5
"""Of a face in a box, what is shown about it: a share of its larger side."""


def picture(path: str, box: str | None, size: Size) -> bytes:
    """Return a photo, or the face in its box and what is about it, as a JPEG.

    Raises:
        PhotoError: the photo is gone or cannot be decoded, or the box lies outside it.
    """
    try:
        changed = Path(path).stat().st_mtime_ns
    except OSError as error:
        raise PhotoError(f"{path}: {error.strerror or error}") from error
    return _small(path, box, changed) if size == "small" else _large(path, box, changed)


@lru_cache(maxsize=4096)
def _small(path: str, box: str | None, changed: int) -> bytes:  # noqa: ARG001 # when it is another
    return _made(path, box, SIDES["small"])


@lru_cache(maxsize=64)
def _large(path: str, box: str | None, changed: int) -> bytes:  # noqa: ARG001 # when it is another
    return _made(path, box, SIDES["large"])


def _made(path: str, box: str | None, side: int) -> bytes:
    image = decode_photo(path)
    if box:
        image = _face(image, box, path)
    image.thumbnail((side, side), Image.Resampling.BILINEAR, reducing_gap=2)
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", quality=88)
    return buffer.getvalue()


def _face(image: Image.Image, box: str, path: str) -> Image.Image:
    left, top, right, bottom = parse_box(box)
    more = AROUND * max(right - left, bottom - top)
    part = (
        max(round(left - more), 0), max(round(top - more), 0),
        min(round(right + more), image.width), min(round(bottom + more), image.height),
    )  # fmt: skip
    if part[0] >= part[2] or part[1] >= part[3]:
        raise PhotoError(f"{path}: the box {box} lies outside the photo")
    return image.crop(part)
