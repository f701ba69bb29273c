"""Contact sheets: many small pictures with captions on one page, to look over a set."""

from collections.abc import Sequence
from pathlib import Path
from typing import Final

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from maskwise.storage import replacing

Tile = tuple[Image.Image, str]
"""A picture and its caption; an empty caption takes no room if all are empty."""

_PAPER: Final = (245, 245, 245)
_INK: Final = (30, 30, 30)
_LINE: Final = 14


def contact_sheet(tiles: Sequence[Tile], columns: int = 8, side: int = 128) -> Image.Image:
    """Return tiles in rows of `columns`, each picture fitted whole into `side` pixels."""
    line = _LINE if any(caption for _, caption in tiles) else 0
    rows = -(-len(tiles) // columns) or 1
    sheet = Image.new("RGB", (columns * side, rows * (side + line)), _PAPER)
    draw = ImageDraw.Draw(sheet)
    font = ImageFont.load_default(size=11)
    for place, (picture, caption) in enumerate(tiles):
        x, y = place % columns * side, place // columns * (side + line)
        scale = side / max(picture.size)
        size = (max(round(picture.width * scale), 1), max(round(picture.height * scale), 1))
        small = picture.convert("RGB").resize(size, Image.Resampling.BILINEAR)
        sheet.paste(small, (x + (side - size[0]) // 2, y + (side - size[1]) // 2))
        draw.text((x + 3, y + side), _fitted(caption, side - 6, font), fill=_INK, font=font)
    return sheet


def _fitted(text: str, width: int, font: ImageFont.FreeTypeFont | ImageFont.ImageFont) -> str:
    """Return the text in one line, its end cut where it is wider than `width` pixels."""
    text = " ".join(text.split())
    while text and font.getlength(text) > width:
        text = text[:-1]
    return text


def write_sheet(path: Path, tiles: Sequence[Tile], columns: int = 8, side: int = 128) -> None:
    """Write a contact sheet as JPEG or PNG, by the name's ending, atomically.

    Raises:
        StorageError: the disk is full or the folder cannot be written.
    """
    kind = "PNG" if path.suffix.lower() == ".png" else "JPEG"
    with replacing(path) as temporary:
        contact_sheet(tiles, columns, side).save(temporary, kind, quality=88)


def spread(count: int, most: int) -> list[int]:
    """Return up to `most` numbers below `count`, evenly spread, for a look at a long list."""
    return sorted({int(place) for place in np.linspace(0, count - 1, min(count, most))})
