"""What a person may name as photos to answer.

Quick to import: answering one photo by name needs no tables.
"""

import glob
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from maskwise.data.frames import PhotoRef, photo_refs
from maskwise.data.photo_files import photo_at, photos_in
from maskwise.errors import ManifestError, listed

_ID_COLUMNS: Final = ("ImageID", "photo", "path", "image", "file")


Named = tuple[str, PhotoRef]


def find_photos(words: Sequence[str], photos: Path | None = None) -> list[Named]:
    """Return name and place of every photo meant, in order, each once.

    A folder stands for the photos below it; a CSV file for those in its ImageID (or photo, path)
    column, found in the folder `photos`, or in `images/` beside the CSV file, or beside it; a
    manifest for its photos, each with its box. The name is the id of a CSV file, the path below a
    folder, or else the path as given; where that would name two, the whole path and the box.

    Raises:
        ManifestError: a word names nothing, or a CSV file is wrong; all problems at once.
    """
    found: dict[PhotoRef, str] = {}
    problems: list[str] = []
    for word in words:
        try:
            named = _photos_of(word, photos)
        except ManifestError as error:
            problems.append(str(error))
            continue
        if not named:
            problems.append(f"{word}: no photo there")
        for name, photo in named:
            found.setdefault(photo, name)
    if problems:
        raise ManifestError(f"{len(problems)} problem(s) with the photos:\n{listed(problems)}")
    used = Counter(found.values())
    return [(name if used[name] == 1 else str(photo), photo) for photo, name in found.items()]


def _photos_of(word: str, photos: Path | None) -> list[Named]:
    path = Path(word)
    if path.is_dir():
        files = ((str(file.relative_to(path)), file) for file in photos_in(path))
        return [(name, PhotoRef(str(file))) for name, file in files]
    if path.suffix.lower() == ".csv" and path.is_file():
        return _in_csv(path, photos)
    if path.is_file():
        return [(word, PhotoRef(word))]
    names = sorted(glob.glob(word, recursive=True))  # noqa: PTH207
    return [(name, PhotoRef(name)) for name in names if Path(name).is_file()]


def _in_csv(path: Path, photos: Path | None) -> list[Named]:
    from maskwise.data.csv_files import read_rows
    from maskwise.data.manifest import SCHEMA, read_manifest

    rows = read_rows(path, _ID_COLUMNS)
    if rows and set(SCHEMA) <= rows[0][1].keys():
        frame = read_manifest(path, check_photos=False)
        return [(photo.path, photo) for photo in photo_refs(frame)]
    column = next((name for name in _ID_COLUMNS if rows and name in rows[0][1]), None)
    if column is None:
        raise ManifestError(f"{path}: expected rows with a column {', '.join(_ID_COLUMNS)}")
    empty = [f"row {number}" for number, row in rows if not row[column]]
    if empty:
        raise ManifestError(f"{path}: {column} is empty in {', '.join(empty[:10])}")
    beside = path.parent / "images"
    folder = photos or (beside if beside.is_dir() else path.parent)
    return [(row[column], PhotoRef(str(photo_at(folder, row[column])))) for _, row in rows]


def evaluation_photos(path: Path) -> str:
    """Return what stands for an evaluation folder: its info.csv, which gives ids and order."""
    listing = path / "info.csv"
    return str(listing if listing.is_file() else path)
