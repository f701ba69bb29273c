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
"""

import difflib
import os
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Final

import polars as pl

from maskwise.errors import ManifestError, listed
from maskwise.labels import TASK_BOUNDARIES, TASKS, age_group_of
from maskwise.storage import replacing
from maskwise.transforms.preprocess import Box

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
MAX_AGE: Final = 120


def manifest_from_rows(
    rows: Iterable[dict[str, object]], boundaries: Sequence[int] = TASK_BOUNDARIES
) -> pl.DataFrame:
    """Build a manifest from rows that name some of the columns; the age group is filled in."""
    frame = pl.DataFrame(
        [{name: row.get(name) for name in SCHEMA} for row in rows], schema=SCHEMA, orient="row"
    )
    return fill_age_groups(frame, boundaries)


def fill_age_groups(
    frame: pl.DataFrame, boundaries: Sequence[int] = TASK_BOUNDARIES
) -> pl.DataFrame:
    """Set `age_group` wherever `age` is known; leave the other rows alone."""
    low, high = boundaries
    young, middle, old = TASKS["age_group"]
    group = (
        pl.when(pl.col("age") < low)
        .then(pl.lit(young))
        .when(pl.col("age") < high)
        .then(pl.lit(middle))
        .when(pl.col("age").is_not_null())
        .then(pl.lit(old))
        .otherwise(pl.col("age_group"))
    )
    return frame.with_columns(age_group=group)


def read_manifest(
    path: Path, boundaries: Sequence[int] = TASK_BOUNDARIES, check_photos: bool = True
) -> pl.DataFrame:
    """Read and check a manifest (.csv or .parquet); photo paths come back absolute.

    Raises:
        ManifestError: the file cannot be read, or any row is wrong; all problems at once.
    """
    frame = _with_schema(_read_table(path), path)
    frame = fill_age_groups_checked(frame, path, boundaries)
    base = path.parent.resolve()
    # abspath, not resolve: a link to a photo keeps the name that the manifest knows it by
    absolute = [os.path.abspath(base / photo) for photo in frame["photo"]]  # noqa: PTH100
    frame = frame.with_columns(photo=pl.Series(absolute, dtype=pl.String))
    if check_photos:
        _check_photos(frame, path)
    return frame


def write_manifest(frame: pl.DataFrame, path: Path) -> None:
    """Write a manifest (.csv or .parquet) atomically; photos below its folder become relative.

    Raises:
        ManifestError: the file name ends in neither.
        StorageError: the disk is full or the folder cannot be written.
    """
    base = f"{path.parent.resolve()}{os.sep}"
    frame = frame.select(list(SCHEMA)).with_columns(pl.col("photo").str.strip_prefix(base))
    if path.suffix not in (".csv", ".parquet"):
        raise ManifestError(f"{path}: a manifest ends in .csv or .parquet")
    with replacing(path) as temporary:
        if path.suffix == ".csv":
            frame.write_csv(temporary)
        else:
            frame.write_parquet(temporary)


def merge_manifests(frames: Sequence[pl.DataFrame], same_people: bool = False) -> pl.DataFrame:
    """Join manifests, in order.

    Raises:
        ManifestError: a photo stands in two of them, or, unless `same_people`, a person id does.
    """
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
            "the manifests overlap; if a person id means the same person in all of them, say "
            f"--same-people:\n{listed(problems)}"
        )
    return pl.concat(frames)


def parse_box(text: str) -> Box:
    """Return (left, top, right, bottom) in pixels.

    Raises:
        ValueError: not four numbers, or an empty box.
    """
    parts = text.split()
    if len(parts) != 4:
        raise ValueError(f"expected 'left top right bottom', got {text!r}")
    left, top, right, bottom = (float(part) for part in parts)
    if not (left < right and top < bottom):
        raise ValueError(f"expected left < right and top < bottom, got {text!r}")
    return left, top, right, bottom


def _read_table(path: Path) -> pl.DataFrame:
    if not path.is_file():
        raise ManifestError(f"no manifest at {path}; make one with: maskwise data import")
    try:
        if path.suffix == ".parquet":
            return pl.read_parquet(path)
        return pl.read_csv(path, infer_schema=False, encoding="utf8")
    except (pl.exceptions.PolarsError, OSError, UnicodeDecodeError) as error:
        raise ManifestError(f"cannot read {path}: {str(error).splitlines()[0]}") from error


def _with_schema(frame: pl.DataFrame, path: Path) -> pl.DataFrame:
    missing = [name for name in SCHEMA if name not in frame.columns]
    unknown = [name for name in frame.columns if name not in SCHEMA]
    problems = [f"column {name!r} is unknown{_nearest(name, missing)}" for name in unknown]
    problems += [f"column {name!r} is missing" for name in missing]
    if problems:
        raise ManifestError(f"{path}: wrong columns:\n{listed(problems)}")
    text = frame.select(
        pl.col(name).cast(pl.String).str.strip_chars().replace("", None) for name in SCHEMA
    )
    age = text["age"].cast(pl.Float64, strict=False)
    wrong = (text["age"].is_not_null() & (age.is_null() | (age != age.floor()))) | ~age.is_between(
        0, MAX_AGE
    )
    if wrong.any():
        problems = [
            f"row {row + 2}: age {text['age'][row]!r} is no whole number from 0 to {MAX_AGE}"
            for row in wrong.arg_true()
        ]
        raise ManifestError(f"{path}: {len(problems)} wrong age(s):\n{listed(problems)}")
    return text.with_columns(age=age.cast(pl.Int64))


def _nearest(name: str, candidates: Sequence[str]) -> str:
    close = difflib.get_close_matches(name.lower(), candidates, n=1, cutoff=0.5)
    return f" (did you mean {close[0]!r}?)" if close else ""


def fill_age_groups_checked(
    frame: pl.DataFrame, path: Path, boundaries: Sequence[int] = TASK_BOUNDARIES
) -> pl.DataFrame:
    """Check every row's labels and box, then fill in the age groups.

    Raises:
        ManifestError: any row is wrong; all problems at once, by row number in the file.
    """
    problems = [*_wrong_words(frame), *_wrong_groups(frame, boundaries), *_wrong_boxes(frame)]
    for column in ("photo", "person", "source"):
        problems += [
            f"row {row + 2}: {column} is empty" for row in frame[column].is_null().arg_true()
        ]
    repeated = frame.select("photo", "box").is_duplicated() & frame["photo"].is_not_null()
    first_seen: dict[object, int] = {}
    for row in repeated.arg_true():
        key = frame.row(row)[0], frame["box"][row]
        if key in first_seen:
            problems.append(f"row {row + 2}: repeats row {first_seen[key]} ({key[0]})")
        first_seen.setdefault(key, row + 2)
    if problems:
        raise ManifestError(f"{path}: {len(problems)} wrong row(s):\n{listed(problems)}")
    return fill_age_groups(frame, boundaries)


def _wrong_words(frame: pl.DataFrame) -> list[str]:
    problems = []
    for task, words in TASKS.items():
        column = frame[task]
        for row in (column.is_not_null() & ~column.is_in(words)).arg_true():
            expected = ", ".join(words)
            problems.append(
                f"row {row + 2}: {task} is {column[row]!r}; expected {expected} or nothing"
            )
    return problems


def _wrong_groups(frame: pl.DataFrame, boundaries: Sequence[int]) -> list[str]:
    given, expected = frame["age_group"], fill_age_groups(frame, boundaries)["age_group"]
    rows = (given.is_in(TASKS["age_group"]) & (given != expected)).arg_true()
    return [
        f"row {row + 2}: age {frame['age'][row]} is {age_group_of(frame['age'][row], boundaries)}, "
        f"but age_group says {given[row]}; correct one of them or empty age_group"
        for row in rows
    ]


def _wrong_boxes(frame: pl.DataFrame) -> list[str]:
    problems = []
    for row in frame["box"].is_not_null().arg_true():
        try:
            parse_box(frame["box"][row])
        except ValueError as error:
            problems.append(f"row {row + 2}: box: {error}")
    return problems


def _check_photos(frame: pl.DataFrame, path: Path) -> None:
    missing = [
        f"row {row + 2}: no photo at {photo}"
        for row, photo in enumerate(frame["photo"])
        if not Path(photo).is_file()
    ]
    if missing:
        raise ManifestError(f"{path}: {len(missing)} photo(s) missing:\n{listed(missing)}")
