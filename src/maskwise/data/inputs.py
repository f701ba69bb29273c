"""What a person may name as photos to answer, or as data to train on and to score."""

import glob
import os
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import polars as pl

from maskwise.data.columns import read_rows
from maskwise.data.duplicates import find_twins, fingerprint_photos
from maskwise.data.frames import PhotoRef, photo_refs
from maskwise.data.manifest import SCHEMA, fill_age_groups, read_manifest, write_manifest
from maskwise.data.options import ImportOptions, photos_in
from maskwise.data.sources import import_source
from maskwise.data.split import PSEUDO, split_manifest
from maskwise.errors import ManifestError, SettingsError, listed
from maskwise.labels import TASK_BOUNDARIES

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
    rows = read_rows(path)
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
    return [(row[column], PhotoRef(str(folder / row[column]))) for _, row in rows]


def evaluation_photos(path: Path) -> str:
    """Return what stands for an evaluation folder: its info.csv, which gives ids and order."""
    listing = path / "info.csv"
    return str(listing if listing.is_file() else path)


def labelled_manifest(source: Path, boundaries: tuple[int, int] = TASK_BOUNDARIES) -> pl.DataFrame:
    """Return the manifest of a file, of a folder that holds one, or of a layout to import.

    Raises:
        ManifestError: there is none, or it is wrong.
    """
    path = _manifest_in(source)
    if path:
        return read_manifest(path, boundaries)
    frame = import_source(source, ImportOptions(source=source.resolve().stem))
    return fill_age_groups(frame, boundaries)


def training_manifest(source: Path, run: Path) -> Path:
    """Return a manifest with folds: the file, the one in a folder, or a folder imported and split.

    What is imported is written to `run`/manifest.csv, unless a run was begun there already.

    Raises:
        ManifestError: there is none, or it is wrong.
        SettingsError: a folder is to be imported by several processes.
    """
    path = _manifest_in(source)
    if path:
        return path
    if int(os.environ.get("WORLD_SIZE", "1")) > 1:
        raise SettingsError(
            f"{source}: several processes train from a manifest; make it with maskwise data import "
            "and maskwise data split"
        )
    if (run / "run.json").is_file():
        return run / "manifest.csv"
    frame = import_source(source, ImportOptions(source=source.resolve().stem))
    prints = fingerprint_photos(frame["photo"].to_list(), os.cpu_count() or 1)
    written = run / "manifest.csv"
    write_manifest(split_manifest(frame, find_twins(prints)), written)
    return written


def _manifest_in(source: Path) -> Path | None:
    if source.is_file() or not source.exists():
        return source
    for name in ("manifest.csv", "manifest.parquet"):
        if (source / name).is_file():
            return source / name
    return None


def choose_fold(frame: pl.DataFrame, fold: str | None, val_fold: str) -> tuple[pl.DataFrame, str]:
    """Return the rows to evaluate and what they are called.

    Without a wish these are the fold that validated the model; the others may have trained it.
    A manifest without folds is evaluated whole.

    Raises:
        ManifestError: no row has the fold.
    """
    # labels that a model gave are no truth to score by
    frame = frame.filter(pl.col("fold").is_null() | (pl.col("fold") != PSEUDO))
    folds = sorted(frame["fold"].drop_nulls().unique())
    if fold == "all" or (fold is None and not folds):
        return frame, "all rows"
    wanted = fold or val_fold
    rows = frame.filter(pl.col("fold") == wanted)
    if rows.is_empty():
        raise ManifestError(
            f"no row is in fold {wanted!r}; there are: {', '.join(folds) or 'none'}; name one with "
            "--fold, or take every row, trained on or not, with --fold all"
        )
    fold = wanted
    return rows, f"fold {fold}"
