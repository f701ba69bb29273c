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


def photos_in(
    folder: Path, passed_over: PassedOver | None = None, within: Path | None = None
) -> Iterator[Path]:
    """Yield the photos below a folder by name; whatever begins with a dot is left out.

    A link to a folder elsewhere is followed, once. One to a folder of the set itself is not: its
    photos have labels of their own there.

    Args:
        folder: The folder to search.
        passed_over: Counts what is no photo, by reason.
        within: The folder of the whole set; else `folder`.
    """
    counts: PassedOver = Counter() if passed_over is None else passed_over
    root = Path(os.path.realpath(within or folder))
    seen = {root} if within else set[Path]()
    yield from sorted(_walk(folder, root, seen, counts))


def _walk(folder: Path, root: Path, seen: set[Path], counts: PassedOver) -> Iterator[Path]:
    """Yield the photos below a folder of the set `root`; `seen` are folders that links led to."""
    if folder.is_symlink():
        real = Path(os.path.realpath(folder))
        if real in seen or _shows(real, root) or real in root.parents:
            counts["links to folders that are read elsewhere"] += 1
            return
        seen.add(real)
    seen.add(root)
    try:
        children = list(folder.iterdir())
    except OSError:
        counts["folders that cannot be read"] += 1
        return
    for path in children:
        if path.is_dir() and not path.name.startswith("."):
            yield from _walk(path, root, seen, counts)
        elif reason := _no_photo(path):
            counts[reason] += 1
        elif path.suffix.lower() in PHOTO_SUFFIXES:
            yield path


def _no_photo(path: Path) -> str:
    """Return why a file is passed over; nothing for a photo, and for what stands beside photos."""
    suffix = path.suffix.lower()
    if path.name.startswith("."):
        return "hidden files and folders"
    if suffix in PHOTO_SUFFIXES:
        return "" if path.is_file() else "names of photos that lead to no file"
    return "" if suffix in _SILENT else f"files ending in {suffix or 'nothing'}"


def _shows(folder: Path, root: Path) -> bool:
    """Return whether a folder lies in a set where its photos are found, not in a hidden place."""
    if root not in folder.parents:
        return False
    return not any(part.startswith(".") for part in folder.relative_to(root).parts)


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
