"""A folder of photos, or a CSV file, in any known layout -> a manifest."""

from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import polars as pl

from maskwise.data.columns import read_csv_columns
from maskwise.data.competition_layout import is_competition, read_competition
from maskwise.data.layouts import (
    is_answers,
    is_decades,
    is_file_names,
    is_mask_folders,
    is_utkface,
    read_answers,
    read_decades,
    read_file_names,
    read_mask_folders,
    read_photos,
    read_utkface,
)
from maskwise.data.manifest import check_manifest, manifest_from_rows
from maskwise.data.options import ImportOptions, Row
from maskwise.data.people import people_warnings
from maskwise.data.photo_files import photos_directly_in
from maskwise.data.voc import is_voc, read_voc
from maskwise.errors import ManifestError, SettingsError, did_you_mean, listed

CSV_LAYOUT: Final = "csv"
_NAMING: Final = (CSV_LAYOUT, "answers", "voc")
"""Layouts whose tables or annotations name the photos."""


@dataclass(frozen=True)
class Layout:
    """How to know a layout and how to read it."""

    detect: Callable[[Path], bool]
    read: Callable[[Path, ImportOptions], Iterator[Row]]


LAYOUTS: Final[dict[str, Layout]] = {
    "competition": Layout(is_competition, read_competition),
    "answers": Layout(is_answers, read_answers),
    "decades": Layout(is_decades, read_decades),
    "voc": Layout(is_voc, read_voc),
    "mask-folders": Layout(is_mask_folders, read_mask_folders),
    "utkface": Layout(is_utkface, read_utkface),
    "file-names": Layout(is_file_names, read_file_names),
    "photos": Layout(lambda _: False, read_photos),
}
"""Tried in this order; `photos` is for any folder, and must be asked for."""


def detect_layout(source: Path) -> str:
    """Return the name of the layout of a folder or file.

    Raises:
        ManifestError: it does not exist, or no layout fits.
    """
    if source.is_file():
        return CSV_LAYOUT
    if not source.is_dir():
        raise ManifestError(f"no folder or file at {source}")
    for name, layout in LAYOUTS.items():
        if layout.detect(source):
            return name
    raise ManifestError(
        f"{source}: no known layout ({', '.join(LAYOUTS)}; docs/data.md shows each); "
        "give --layout, or a CSV file; photos that share a label: --layout photos --label mask=wear"
    )


def import_source(source: Path, options: ImportOptions, layout: str | None = None) -> pl.DataFrame:
    """Return the manifest of a folder or CSV file; photo paths are absolute, and not looked for.

    Raises:
        ManifestError: no layout fits, there are no photos, or names and labels are wrong.
        SettingsError: options that the layout does not know.
    """
    source = source.resolve()
    layout = layout or detect_layout(source)
    if layout != CSV_LAYOUT and (options.columns or options.values):
        raise SettingsError(f"--column and --value are for CSV files; this is the layout {layout}")
    if options.person_pattern and "person" in options.columns:
        raise SettingsError("--person-pattern and --column person= both name people: give one")
    if layout == "photos" and not options.labels:
        raise SettingsError("--layout photos: name the label of all photos, --label mask=wear")
    rows = (options.labels | row for row in _rows(source, options, layout))
    frame = manifest_from_rows(rows)
    if frame.is_empty():
        raise ManifestError(f"{source}: no photos found as {layout}; docs/data.md shows the layout")
    check_manifest(frame, source, check_photos=False)
    _check_pattern(options, frame)
    if layout in _NAMING:
        options.passed_over.update(_unnamed(frame))
    options.warnings.extend(people_warnings(frame))
    return frame


def _unnamed(frame: pl.DataFrame) -> Counter[str]:
    """Count the photos beside those of a manifest that it does not name."""
    named = set(frame["photo"])
    folders = {Path(photo).parent for photo in named}
    beside = [path for folder in folders if folder.is_dir() for path in photos_directly_in(folder)]
    count = sum(str(path) not in named for path in beside)
    return Counter({"photos that no row or annotation names": count} if count else {})


def _check_pattern(options: ImportOptions, frame: pl.DataFrame) -> None:
    """Check that the pattern of people was found in some names.

    Raises:
        SettingsError: It was found in none.
    """
    missed = options.without_pattern
    if not (options.person_pattern and missed):
        return
    if len(missed) >= len(frame):
        raise SettingsError(
            f"--person-pattern {options.person_pattern} is found in no photo's name or path below "
            f"the folder, such as {missed[0]}"
        )
    options.warnings.append(
        f"--person-pattern is not found in {len(missed)} names; each of these photos counts as a "
        f"person of its own\n{listed(missed, limit=3)}"
    )


def _rows(source: Path, options: ImportOptions, layout: str) -> Iterator[Row]:
    if layout == CSV_LAYOUT:
        return read_csv_columns(source, options)
    if layout not in LAYOUTS:
        known = [*LAYOUTS, CSV_LAYOUT]
        hint = did_you_mean(layout, known)
        raise ManifestError(f"no layout {layout!r}{hint}; known: {', '.join(known)}")
    if not source.is_dir():
        raise ManifestError(f"{source}: the layout {layout} needs a folder")
    return LAYOUTS[layout].read(source, options)
