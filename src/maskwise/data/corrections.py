"""Corrections of a manifest: a list of changes that can be read, kept, and applied again.

======== =====================================================================
column   meaning
======== =====================================================================
id       the photo as the manifest names it, ' [left top right bottom]' after it for a box
field    mask, gender, age, age_group, person; photo, to nothing, takes the row out
from     what the manifest says before; empty for nothing
to       what it says afterwards; empty for nothing
who      whose decision it is
when     its time, ISO 8601
======== =====================================================================
"""

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

import polars as pl

from maskwise.data.age_ranges import (
    AGE_RANGE,
    groups_of_range,
    parse_age_range,
    whole_ages,
)
from maskwise.data.checks import row_problems
from maskwise.data.csv_files import read_rows
from maskwise.data.manifest import fill_age_groups, photo_id, photo_ids
from maskwise.errors import ManifestError, listed
from maskwise.storage import replacing

COLUMNS: Final = ("id", "field", "from", "to", "who", "when")
FIELDS: Final = ("mask", "gender", "age", "age_group", "person", "photo")
DELETED: Final = "photo"
"""The field whose change to nothing takes a row out."""


@dataclass(frozen=True)
class Correction:
    """A change of one field of one row."""

    id: str
    field: str
    before: str
    """What the manifest says; empty for nothing. Of `DELETED` the photo, or empty."""
    after: str
    who: str = ""
    when: str = ""


@dataclass(frozen=True)
class Applied:
    """What became of a list of corrections."""

    frame: pl.DataFrame
    changed: int
    """Rows of which a field changed."""
    removed: int
    """Rows taken out."""
    refused: list[str]
    """What did not match, where that is allowed."""


def read_corrections(path: Path) -> list[Correction]:
    """Read a CSV file of corrections; `who` and `when` may be missing.

    Raises:
        ManifestError: the file cannot be read, or columns or values are wrong; all at once.
    """
    rows = read_rows(path, COLUMNS)
    missing = [name for name in COLUMNS[:4] if rows and name not in rows[0][1]]
    if missing:
        raise ManifestError(
            f"{path}: expected the columns {', '.join(COLUMNS)}; missing {', '.join(missing)}"
        )
    problems = [f"row {line}: {problem}" for line, row in rows for problem in _row_problems(row)]
    if problems:
        raise ManifestError(f"{path}: {len(problems)} problem(s):\n{listed(problems)}")
    return [Correction(*((row.get(name) or "").strip() for name in COLUMNS)) for _, row in rows]


def _row_problems(row: dict[str, str]) -> Iterator[str]:
    if not row["id"].strip():
        yield "id is empty"
    field, after = row["field"].strip(), row["to"].strip()
    if field not in FIELDS:
        yield f"field is {field!r}; expected {', '.join(FIELDS)}"
    if field == DELETED and after:
        yield f"a photo is taken out by an empty 'to', which says {after!r}"
    if field == "person" and not after:
        yield "a person cannot become nobody"


def named_below(folder: Path, name: str) -> str:
    """Return the name of a photo from a folder on, if it lies below it; else as it is."""
    return name.removeprefix(f"{folder.resolve()}{os.sep}")


def write_corrections(path: Path, corrections: Sequence[Correction]) -> None:
    """Write corrections as CSV.

    Raises:
        StorageError: the disk is full or the folder cannot be written.
    """
    rows = [(c.id, c.field, c.before, c.after, c.who, c.when) for c in corrections]
    table = pl.DataFrame(rows, schema=dict.fromkeys(COLUMNS, pl.String), orient="row")
    with replacing(path) as temporary:
        table.write_csv(temporary)


def apply_corrections(
    frame: pl.DataFrame, corrections: Sequence[Correction], folder: Path, partly: bool = False
) -> Applied:
    """Return the manifest with the corrections made.

    `frame` has absolute paths; relative ids begin at `folder`. With `partly`, corrections that do
    not match are left out and told; those of one row are made together or not at all.

    Raises:
        ManifestError: corrections do not match the manifest, disagree, or leave it wrong.
    """
    rows = {name: row for row, name in enumerate(photo_ids(frame))}
    wanted: dict[int, dict[str, Correction]] = {}
    problems: dict[int, list[str]] = {}
    unknown = []
    for correction in corrections:
        row = rows.get(os.path.abspath(folder / correction.id))  # noqa: PTH100 # links stay
        if row is None:
            unknown.append(f"{correction.id}: no such photo in the manifest")
            continue
        problem = _mismatch(frame, row, correction, wanted.get(row, {}), folder)
        if problem:
            problems.setdefault(row, []).append(f"{correction.id}: {problem}")
        else:
            wanted.setdefault(row, {})[correction.field] = correction
    made = {row: _with_group(each) for row, each in wanted.items() if row not in problems}
    text = _corrected(frame, made)
    for row, problem in row_problems(text, check_photos=False):
        if row in made:
            name = photo_id(text["photo"][row], text["box"][row])
            problems.setdefault(row, []).append(f"{name}: would become wrong: {problem}")
    told = [*unknown, *(text for several in problems.values() for text in several)]
    if told and not partly:
        raise ManifestError(
            f"{len(told)} correction(s) cannot be made; nothing was changed. Correct the list, or "
            f"leave these out with --partly:\n{listed(told)}"
        )
    return _applied(frame, {row: each for row, each in made.items() if row not in problems}, told)


def _mismatch(
    frame: pl.DataFrame,
    row: int,
    correction: Correction,
    others: dict[str, Correction],
    folder: Path,
) -> str:
    """Return why a correction cannot be made; empty if it can."""
    opposed = next((each for each in others.values() if _opposed(each, correction)), None)
    if opposed:
        who = " and ".join(each.who or "somebody" for each in (opposed, correction))
        same = opposed.field == correction.field
        second = "" if same else f"{correction.field} "
        return f"{who} disagree: {opposed.field} {opposed.after!r} and {second}{correction.after!r}"
    if correction.field == DELETED:
        given = correction.before and os.path.abspath(folder / correction.before)  # noqa: PTH100
        if given and given != frame["photo"][row]:
            return f"the photo is {frame['photo'][row]!r}; expected {correction.before!r}"
        return ""
    now = frame[correction.field][row]
    said = "" if now is None else str(now)
    if said != correction.before:
        return f"{correction.field} is {said!r} now; expected {correction.before!r}"
    return ""


def _opposed(one: Correction, other: Correction) -> bool:
    """Return whether two corrections of a row cannot both be meant."""
    if one.field == other.field:
        return one.after != other.after
    return DELETED in (one.field, other.field)


def _corrected(frame: pl.DataFrame, wanted: dict[int, dict[str, Correction]]) -> pl.DataFrame:
    """Return a manifest with corrections made; ages as text, and no row taken out."""
    text = frame.with_columns(pl.col("age").cast(pl.String))
    for field in FIELDS:
        new = {row: each[field].after or None for row, each in wanted.items() if field in each}
        if field != DELETED and new:
            values = [new.get(row, value) for row, value in enumerate(text[field])]
            text = text.with_columns(pl.Series(field, values, dtype=pl.String))
    if AGE_RANGE in text.columns:
        stale = [
            row
            for row, each in wanted.items()
            if {"age", "age_group"} & each.keys() and _contradicts_range(text.row(row, named=True))
        ]
        holds = ~pl.int_range(pl.len()).is_in(stale)
        text = text.with_columns(pl.when(holds).then(AGE_RANGE).alias(AGE_RANGE))
    return text


def _contradicts_range(row: dict[str, str | None]) -> bool:
    """Return whether a corrected row has an age, or a group or none that its range denies."""
    ages = row[AGE_RANGE]
    if ages is None or row["age"] is not None:
        return True
    return row["age_group"] not in groups_of_range(parse_age_range(ages))


def _applied(
    frame: pl.DataFrame, wanted: dict[int, dict[str, Correction]], refused: list[str]
) -> Applied:
    text = _corrected(frame, wanted)
    removed = {row for row, each in wanted.items() if DELETED in each}
    kept = [row not in removed for row in range(len(text))]
    result = fill_age_groups(text.with_columns(age=whole_ages(text["age"])).filter(kept))
    return Applied(result, len(wanted.keys() - removed), len(removed), refused)


def _with_group(changes: dict[str, Correction]) -> dict[str, Correction]:
    """Return the changes of a row; where years are new, the age group follows from them."""
    age = changes.get("age")
    if age is None or not age.after or "age_group" in changes:
        return changes
    return changes | {"age_group": replace(age, field="age_group", after="")}
