"""Saved mattes: which part of a photo is person, found by the content of the photo's file.

A matte is a grey image of the upright photo's size: 255 is person, 0 is background.
"""

from pathlib import Path
from typing import Final

from PIL import Image

from maskwise.storage import replacing
from maskwise.transforms.decode import decode_photo

MATTES: Final = "mattes"
"""The folder in a set that `find_matte` takes."""


def matte_path(folder: Path, digest: str) -> Path:
    """Return where the matte of a photo lies; `digest` is the SHA-256 of the photo's file."""
    return folder / digest[:2] / f"{digest}.png"


def find_matte(folder: Path, digest: str) -> Image.Image | None:
    """Return the saved matte (mode L) of a photo, if there is one.

    Raises:
        PhotoError: the matte is damaged.
    """
    path = matte_path(folder, digest)
    return decode_photo(path).convert("L") if path.is_file() else None


def save_matte(folder: Path, digest: str, matte: Image.Image) -> None:
    """Save a matte where `find_matte` finds it.

    Raises:
        StorageError: the disk is full or the folder cannot be written.
    """
    with replacing(matte_path(folder, digest)) as temporary:
        matte.save(temporary, "PNG")
