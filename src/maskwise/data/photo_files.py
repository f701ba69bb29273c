"""Photos in folders: which files are photos, what is passed over, and how names are matched."""

import os
import unicodedata
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from maskwise.storage import is_file

PHOTO_SUFFIXES: Final = frozenset(
    (".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".bmp", ".dib", ".gif", ".tif", ".tiff", ".webp",
     ".avif", ".jp2", ".j2k", ".mpo", ".ppm", ".pgm", ".tga")
)  # fmt: skip
"""Of files that `decode_photo` reads."""
_SILENT: Final = frozenset((".csv", ".txt", ".json", ".xml", ".yaml", ".yml", ".parquet", ".md"))
"""Of files that stand beside photos and are none."""
PassedOver = Counter[str]
"""Why files were passed over -> how many."""


def photos_in(folder: Path, passed_over: PassedOver | None = None) -> Iterator[Path]:
    """Yield the photos below a folder by name; whatever begins with a dot is left out.

    Links are followed, but no folder is read twice on one way down.

    Args:
        folder: The folder to search.
        passed_over: Counts what is no photo, by reason.
    """
    counts = Counter() if passed_over is None else passed_over
    yield from sorted(_walk(folder, (), counts))


def _walk(folder: Path, above: tuple[str, ...], counts: PassedOver) -> Iterator[Path]:
    """Yield the photos below a folder; `above` are the real paths of the folders it lies in."""
    real = os.path.realpath(folder)
    if real in above:
        counts["links to a folder that holds them"] += 1
        return
    try:
        children = list(folder.iterdir())
    except OSError:
        counts["folders that cannot be read"] += 1
        return
    for path in children:
        suffix = path.suffix.lower()
        if path.name.startswith("."):
            counts["hidden files and folders"] += 1
        elif path.is_dir():
            yield from _walk(path, (*above, real), counts)
        elif suffix in PHOTO_SUFFIXES and path.is_file():
            yield path
        elif suffix in PHOTO_SUFFIXES:
            counts["names of photos that lead to no file"] += 1
        elif suffix not in _SILENT:
            counts[f"files ending in {suffix or 'nothing'}"] += 1


def photos_directly_in(folder: Path) -> list[Path]:
    """Return the photos in a folder by name, without those in folders below it."""
    return sorted(
        path
        for path in folder.iterdir()
        if path.suffix.lower() in PHOTO_SUFFIXES
        and not path.name.startswith(".")
        and path.is_file()
    )


def loose_photos(folder: Path, beside: str) -> list[str]:
    """Return the problem of photos that lie beside the folders that name the labels."""
    loose = photos_directly_in(folder)
    return (
        [f"{folder}: {len(loose)} photos beside the {beside}, such as {loose[0].name}"]
        if loose
        else []
    )


def subfolders(folder: Path) -> list[Path]:
    """Return the folders directly in a folder by name, without hidden ones."""
    return sorted(
        child for child in folder.iterdir() if child.is_dir() and not child.name.startswith(".")
    )


def photo_at(folder: Path, name: str) -> Path:
    """Return the path of a photo that a table names.

    Where there is no file of this name, one is taken whose name is written with slashes instead of
    backslashes, or with letters composed another way (a Mac writes Korean in parts, NFD).
    """
    plain = name.replace("\\", "/")
    forms = (unicodedata.normalize(form, plain) for form in ("NFC", "NFD"))
    tried = dict.fromkeys((name, plain, *forms))
    return next((folder / one for one in tried if is_file(folder / one)), folder / name)
