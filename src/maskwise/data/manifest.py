"""The manifest: one row per photo (per face, where a photo has boxes), in words.

======== ======= ===========================================================================
column   type    meaning
======== ======= ===========================================================================
photo    text    path; a relative one starts at the manifest's folder
person   text    who it is; photos of one person never stand in two folds
mask     text    wear, incorrect, not_wear; empty where unknown (so for all labels)
gender   text    male, female
age      integer years, 0 to 120
age_group text   young, middle, old; follows from `age` where that is known
box      text    'left top right bottom' of the face in pixels; empty is the whole photo
source   text    the set the photo comes from
fold     text    empty before the split; then train, val, test or a number
======== ======= ===========================================================================

Columns that only some manifests have:

========= ====== ===========================================================================
age_range text   first and last age in years, `30-39`, where the age itself is unknown
soft      text   18 probabilities, of pseudo-labels
========= ====== ===========================================================================
"""

import difflib
import io
import os
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Final

import polars as pl

from maskwise.data.age_ranges import AGE_RANGE, group_of_range, ranges_of, whole_ages
from maskwise.data.checks import row_problems
from maskwise.data.csv_files import read_text
from maskwise.data.soft import SOFT
from maskwise.errors import ManifestError, listed
from maskwise.labels import TASK_BOUNDARIES, TASKS
from maskwise.storage import is_file, replacing

SCHEMA: Final[dict[str, type[pl.DataType]]] = {
    "photo": pl.String,
    "person": pl.String,
    "mask": pl.String,
    "gender": pl.String,
    "age": pl.Int64,
    "age_group": pl.String,
    "box": pl.String,
    "source": pl.String,
    "fold": pl.String,
}
OPTIONAL: Final = (AGE_RANGE, SOFT)
"""Columns of text that a manifest has where a row needs them."""


def manifest_from_rows(
    rows: Iterable[dict[str, object]], boundaries: Sequence[int] = TASK_BOUNDARIES
) -> pl.DataFrame:
    """Build a manifest from rows that name some of the columns; the age group is filled in."""
    rows = list(rows)
    schema: dict[str, type[pl.DataType]] = {**SCHEMA}
    if any(row.get(AGE_RANGE) for row in rows):
        schema[AGE_RANGE] = pl.String
    frame = pl.DataFrame(
        [{name: row.get(name) for name in schema} for row in rows], schema=schema, orient="row"
    )
    return _without_known_ranges(fill_age_groups(frame, boundaries))


def _without_known_ranges(frame: pl.DataFrame) -> pl.DataFrame:
    """Take out ranges of ages where the age itself is known."""
    if AGE_RANGE not in frame.columns:
        return frame
    return frame.with_columns(pl.when(pl.col("age").is_null()).then(AGE_RANGE).alias(AGE_RANGE))


def fill_age_groups(
    frame: pl.DataFrame, boundaries: Sequence[int] = TASK_BOUNDARIES
) -> pl.DataFrame:
    """Set `age_group` wherever `age`, or a range inside one group, is known.

    Where a range crosses these boundaries, a group that it had by the task's usual ones is unknown;
    the other rows are left alone.
    """
    low, high = boundaries
    young, middle, old = TASKS["age_group"]
    group = (
        pl.when(pl.col("age") < low)
        .then(pl.lit(young))
        .when(pl.col("age") < high)
        .then(pl.lit(middle))
        .when(pl.col("age").is_not_null())
        .then(pl.lit(old))
        .otherwise(_group_by_range(frame, boundaries))
    )
    return frame.with_columns(age_group=group)


def _group_by_range(frame: pl.DataFrame, boundaries: Sequence[int]) -> pl.Expr:
    """Return the age group of each row without an age."""
    given = pl.col("age_group")
    ranges = ranges_of(frame)
    if not ranges:
        return given
    own, usual = (
        pl.col(AGE_RANGE).replace_strict(
            {text: group_of_range(ages, limits) for text, ages in ranges.items()},
            default=None,
            return_dtype=pl.String,
        )
        for limits in (boundaries, TASK_BOUNDARIES)
    )
    return pl.coalesce(own, pl.when(given == usual).then(None).otherwise(given))


def read_manifest(
    path: Path, boundaries: Sequence[int] = TASK_BOUNDARIES, check_photos: bool = True
) -> pl.DataFrame:
    """Read and check a manifest (.csv or .parquet); photo paths come back absolute.

    Raises:
        ManifestError: the file cannot be read, or any row is wrong; all problems at once.
    """
    frame = _with_schema(_read_table(path), path)
    base = path.parent.resolve()
    # abspath, not resolve: a link to a photo keeps the name that the manifest knows it by
    absolute = [photo and os.path.abspath(base / photo) for photo in frame["photo"]]  # noqa: PTH100
    frame = frame.with_columns(photo=pl.Series(absolute, dtype=pl.String))
    check_manifest(frame, path, boundaries, check_photos)
    return fill_age_groups(frame.with_columns(age=whole_ages(frame["age"])), boundaries)


def check_manifest(
    frame: pl.DataFrame,
    path: Path,
    boundaries: Sequence[int] = TASK_BOUNDARIES,
    check_photos: bool = True,
) -> None:
    """Check every row; `path` is what the error calls the manifest.

    Raises:
        ManifestError: any row is wrong; all problems at once, by row number in the file.
    """
    problems = row_problems(frame, boundaries, check_photos)
    if problems:
        lines = [f"row {row + 2}: {problem}" for row, problem in problems]
        raise ManifestError(f"{path}: {len(lines)} problem(s):\n{listed(lines)}")


def write_manifest(frame: pl.DataFrame, path: Path) -> None:
    """Write a manifest (.csv or .parquet) atomically; photos below its folder become relative.

    Raises:
        ManifestError: the file name ends in neither.
        StorageError: the disk is full or the folder cannot be written.
    """
    base = f"{path.parent.resolve()}{os.sep}"
    used = [name for name in _optional(frame) if frame[name].null_count() < len(frame)]
    frame = frame.select([*SCHEMA, *used]).with_columns(pl.col("photo").str.strip_prefix(base))
    if path.suffix not in (".csv", ".parquet"):
        raise ManifestError(f"{path}: a manifest ends in .csv or .parquet")
    content = io.BytesIO()  # what the library makes of a full disk is no OSError
    if path.suffix == ".csv":
        frame.write_csv(content)
    else:
        frame.write_parquet(content)
    with replacing(path) as temporary:
        temporary.write_bytes(content.getvalue())


def photo_id(photo: str, box: str | None) -> str:
    """Return what tells a face of a manifest from others."""
    return f"{photo} [{box}]" if box else photo


def photo_ids(frame: pl.DataFrame) -> list[str]:
    """Return what tells each row of a manifest from others."""
    return [photo_id(photo, box) for photo, box in frame.select("photo", "box").iter_rows()]


def merge_manifests(
    frames: Sequence[pl.DataFrame], same_people: bool = False, prefix_people: bool = False
) -> pl.DataFrame:
    """Join manifests, in order.

    With `prefix_people` each person id gets its source before it, as in 'train:000001'.

    Raises:
        ManifestError: a photo stands in two of them, or, unless `same_people`, a person id does.
    """
    if prefix_people:
        name = pl.concat_str("source", "person", separator=":")
        has_prefix = pl.col("person").str.starts_with(pl.concat_str("source", pl.lit(":")))
        person = pl.when(has_prefix).then("person").otherwise(name)
        frames = [frame.with_columns(person=person) for frame in frames]
    problems = []
    for column in ("photo", "person"):
        seen: dict[str, int] = {}
        for number, frame in enumerate(frames):
            for name in frame[column].unique(maintain_order=True):
                first = seen.setdefault(name, number)
                if first != number and not (column == "person" and same_people):
                    problems.append(
                        f"{column} {name!r} is in manifest {first + 1} and {number + 1}"
                    )
    if problems:
        raise ManifestError(
            f"the manifests overlap; {_overlap_advice(prefix_people)}; a photo may stand in one of "
            f"them only:\n{listed(problems)}"
        )
    return pl.concat(frames, how="diagonal")  # some may have the optional columns


def _overlap_advice(prefix_people: bool) -> str:
    same = "where a person id means the same person in all of them say --same-people"
    if prefix_people:  # their sources have one name, too
        return f"{same}, else give the sources other names (maskwise data import --name)"
    return f"{same}, where it means different people --prefix-people"


def _read_table(path: Path) -> pl.DataFrame:
    if not is_file(path):
        raise ManifestError(f"no manifest at {path}; make one with: maskwise data import")
    try:
        if path.suffix == ".parquet":
            return pl.read_parquet(path)
        return pl.read_csv(io.BytesIO(read_text(path).encode()), infer_schema=False)
    except (pl.exceptions.PolarsError, OSError, UnicodeDecodeError) as error:
        raise ManifestError(f"cannot read {path}: {str(error).splitlines()[0]}") from error


def _with_schema(frame: pl.DataFrame, path: Path) -> pl.DataFrame:
    missing = [name for name in SCHEMA if name not in frame.columns]
    unknown = [name for name in frame.columns if name not in (*SCHEMA, *OPTIONAL)]
    problems = [f"column {name!r} is unknown{_nearest(name, missing)}" for name in unknown]
    problems += [f"column {name!r} is missing" for name in missing]
    if problems:
        raise ManifestError(f"{path}: wrong columns:\n{listed(problems)}")
    names = [*SCHEMA, *_optional(frame)]
    text = (pl.col(name).cast(pl.String).str.strip_chars().replace("", None) for name in names)
    return frame.select(text)


def _optional(frame: pl.DataFrame) -> list[str]:
    return [name for name in OPTIONAL if name in frame.columns]


def _nearest(name: str, candidates: Sequence[str]) -> str:
    close = difflib.get_close_matches(name.lower(), candidates, n=1, cutoff=0.5)
    return f" (did you mean {close[0]!r}?)" if close else ""
