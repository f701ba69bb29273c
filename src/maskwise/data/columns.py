"""Any CSV file with named columns -> manifest rows."""

import csv
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from maskwise.data.age_ranges import (
    AGE_RANGE,
    age_labels,
    groups_of_range,
    is_age_range,
    parse_age_range,
)
from maskwise.data.boxes import parse_box
from maskwise.data.options import ImportOptions, Row
from maskwise.errors import ManifestError, listed
from maskwise.labels import TASKS

_COLUMN_NAMES: Final[dict[str, tuple[str, ...]]] = {
    "photo": ("photo", "path", "image", "file", "filename", "file_name", "imageid"),
    "person": ("person", "person_id", "id", "subject", "identity"),
    "mask": ("mask", "mask_state", "wear"),
    "gender": ("gender", "sex"),
    "age_range": ("age_range", "agerange", "age range", "ages"),
    "age": ("age", "years"),
    "age_group": ("age_group", "agegroup", "age group"),
    "box": ("box", "bbox"),
}
_CORNERS: Final = ("left", "top", "right", "bottom")
_WORDS: Final[dict[str, dict[str, str]]] = {
    "mask": {"worn": "wear", "not wear": "not_wear", "none": "not_wear", "no": "not_wear"},
    "gender": {"m": "male", "man": "male", "f": "female", "woman": "female"},
    "age_group": {},
}


def read_csv_columns(path: Path, options: ImportOptions) -> Iterator[Row]:
    """Yield manifest rows from a CSV file whose columns are named by `options` or by habit.

    Raises:
        ManifestError: no photo column, or wrong values; all problems at once, by row.
    """
    numbered = read_rows(path)
    columns = _match_columns(
        path, [name for name in numbered[0][1] if name] if numbered else [], options
    )
    folder = (options.photos or path.parent).resolve()
    problems: list[str] = []
    for number, row in numbered:
        result, wrong = _row(row, columns, options)
        problems += [f"row {number}: {problem}" for problem in wrong]
        if wrong and options.skip_bad:
            continue
        if result.get("photo"):
            name = str(result["photo"])
            result.setdefault("person", options.person(Path(name).stem))
            options.note_age_across(result)
            yield {**result, "photo": str(folder / name), "source": options.source}
        else:
            problems.append(f"row {number}: the photo is empty")
    options.refuse(path, problems)


def read_rows(path: Path) -> list[tuple[int, dict[str, str]]]:
    """Return the rows of a CSV file by column name, each with its line number; blank lines go.

    Raises:
        ManifestError: the file cannot be read, is not UTF-8, or has rows longer than its header.
    """
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            reader = csv.DictReader(file, restval="")
            rows = [(reader.line_num, row) for row in reader]
    except UnicodeDecodeError as error:
        raise ManifestError(f"{path} is not UTF-8: save it as UTF-8 ({error})") from error
    except (OSError, csv.Error) as error:
        raise ManifestError(f"cannot read {path}: {error}") from error
    long = [
        f"row {number}: {len(row[None])} cell(s) more than the header has"  # as csv names them
        for number, row in rows
        if None in row
    ]
    if long:
        raise ManifestError(f"{path}: {len(long)} problem(s):\n{listed(long)}")
    return rows


def _match_columns(path: Path, names: list[str], options: ImportOptions) -> dict[str, str]:
    """Return manifest column -> file column, the ones given first."""
    problems = [
        f"--column {ours}={theirs}: the file has no column {theirs!r}"
        for ours, theirs in options.columns.items()
        if theirs not in names
    ]
    problems += [
        f"{option} {ours}: expected one of {', '.join(_COLUMN_NAMES)}"
        for option, given in (("--column", options.columns), ("--value", options.values))
        for ours in given
        if ours not in _COLUMN_NAMES
    ]
    by_habit = {
        ours: name
        for ours, habits in _COLUMN_NAMES.items()
        for name in reversed(names)
        if name.lower() in habits
    }
    columns = by_habit | options.columns
    if "photo" not in columns:
        found = ", ".join(names) or "none"
        problems.append(f"no photo column among: {found}; name it with --column photo=NAME")
    if problems:
        raise ManifestError(f"{path}:\n{listed(problems)}")
    return columns


def _row(
    row: dict[str, str], columns: dict[str, str], options: ImportOptions
) -> tuple[Row, list[str]]:
    result: Row = {}
    problems = []
    for ours in _COLUMN_NAMES:  # what a range says of the group comes before the group itself
        theirs = columns.get(ours, "")
        text = (row.get(theirs) or "").strip()
        text = options.values.get(ours, {}).get(text, text)
        if not text:
            continue
        try:
            result |= _labels(ours, text)
        except ValueError as error:
            problems.append(f"{theirs}: {error}")
    problems += _age_problems(result)
    if "box" not in result and all(row.get(corner) for corner in _CORNERS):
        result["box"] = " ".join(row[corner] for corner in _CORNERS)
    if "box" in result:
        try:
            parse_box(str(result["box"]))
        except ValueError as error:
            problems.append(f"box: {error}")
    return result, problems


def _age_problems(labels: Row) -> Iterator[str]:
    """Yield how age or age group contradict the range of ages beside them."""
    if AGE_RANGE not in labels:
        return
    ages = parse_age_range(str(labels[AGE_RANGE]))
    age, group = labels.get("age"), labels.get("age_group")
    if isinstance(age, int) and not ages[0] <= age <= ages[1]:
        yield f"age {age} is not in the range {labels[AGE_RANGE]}"
    if group is not None and group not in groups_of_range(ages):
        yield f"no age of {labels[AGE_RANGE]} is {group}"


def _labels(column: str, text: str) -> Row:
    """Return what a cell says; an age may be a range of ages, an age group likewise.

    Raises:
        ValueError: The cell cannot be understood.
    """
    if column in ("age", AGE_RANGE):
        return age_labels(text)
    if column not in TASKS:
        return {column: text}
    word = _WORDS[column].get(text.lower(), text.lower())
    if word not in TASKS[column]:
        if column == "age_group" and is_age_range(text):
            return age_labels(text)
        raise ValueError(
            f"{text!r} is none of {', '.join(TASKS[column])}; "
            f"translate it with --value {column}:{text}=WORD"
        )
    return {column: word}
