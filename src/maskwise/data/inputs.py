"""What a person may name as data to train on and to score."""

import logging
import os
from pathlib import Path
from typing import Final

import polars as pl

from maskwise.cores import core_count
from maskwise.data.duplicates import find_twins, fingerprint_photos
from maskwise.data.import_summary import messages
from maskwise.data.manifest import fill_age_groups, read_manifest, write_manifest
from maskwise.data.options import ImportOptions
from maskwise.data.sources import import_source
from maskwise.data.split import PSEUDO, split_manifest
from maskwise.errors import ManifestError, SettingsError
from maskwise.labels import TASK_BOUNDARIES

_LOG: Final = logging.getLogger(__name__)


def labelled_manifest(source: Path, boundaries: tuple[int, int] = TASK_BOUNDARIES) -> pl.DataFrame:
    """Return the manifest of a file, of a folder that holds one, or of a layout to import.

    Raises:
        ManifestError: there is none, or it is wrong.
    """
    path = _manifest_in(source)
    if path:
        return read_manifest(path, boundaries)
    return fill_age_groups(_imported(source), boundaries)


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
    frame = _imported(source)
    prints = fingerprint_photos(frame["photo"].to_list(), core_count())
    written = run / "manifest.csv"
    write_manifest(split_manifest(frame, find_twins(prints)), written)
    return written


def _imported(source: Path) -> pl.DataFrame:
    """Return the manifest of a layout; what was noted on the way is logged."""
    options = ImportOptions(source=source.resolve().stem)
    frame = import_source(source, options)
    for message in messages(options):
        _LOG.warning(message)
    return frame


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
