"""Ages that are given as ranges: `20-29`, `more than 70`, `under 30`, `30s`.

A spreadsheet turns some ranges into dates when it opens a CSV file (`3-9` becomes `03-Sep`,
`10-19` becomes `Oct-19`); these are read back.
"""

import re
from collections.abc import Sequence
from typing import Final

import polars as pl

from maskwise.labels import TASK_BOUNDARIES, AgeGroup, age_group_of

AGE_RANGE: Final = "age_range"
"""The column of a manifest for ranges of ages, where a photo has no age in years."""
MAX_AGE: Final = 120
AgeRange = tuple[int, int]
"""First and last age in years, both included."""
_MONTHS: Final = (
    "january", "february", "march", "april", "may", "june", "july", "august", "september",
    "october", "november", "december",
)  # fmt: skip
_NUMBER: Final = r"(\d{1,3})"
_DASHES: Final = "[-\u2010-\u2015\u2212~,_]"
_BETWEEN: Final = re.compile(rf"{_NUMBER}\s*(?:{_DASHES}|to|until)\s*{_NUMBER}")
_AT_LEAST: Final = re.compile(
    rf"(?:>=|\u2265|at least|from)\s*{_NUMBER}"
    rf"|{_NUMBER}\s*(?:\+|plus|(?:and|or) (?:over|older|above|more))"
)
_MORE_THAN: Final = re.compile(rf"(?:>|more than|over|older than|above)\s*{_NUMBER}")
_AT_MOST: Final = re.compile(
    rf"(?:<=|\u2264|at most|up to)\s*{_NUMBER}"
    rf"|{_NUMBER}\s*(?:and|or) (?:under|younger|below|less)"
)
_LESS_THAN: Final = re.compile(rf"(?:<|less than|under|younger than|below)\s*{_NUMBER}")
_DECADE: Final = re.compile(r"(\d{1,2}0)\s*(?:'?s|\ub300)")
_MONTH_NAME: Final = re.compile(r"(\d{1,2}|[a-z]{3,9})[-. /](\d{1,2}|[a-z]{3,9})")
_KOREAN_DATE: Final = re.compile(r"(\d{1,2})\uc6d4\s*(\d{1,2})\uc77c")
_BRACKETS: Final = "[](){} "


def whole_ages(ages: pl.Series) -> pl.Series:
    """Return ages as whole years; null where an age is none from 0 to `MAX_AGE`."""
    years = ages.cast(pl.Float64, strict=False)
    fits = (years == years.floor()) & years.is_between(0, MAX_AGE)
    return years.zip_with(fits.fill_null(value=False), pl.Series([None], dtype=pl.Float64)).cast(
        pl.Int64
    )


def parse_age_range(text: str) -> AgeRange:
    """Return the first and the last age of a range.

    Args:
        text: The range as people write it, or as a spreadsheet made a date of it.

    Returns:
        Both ages are included and from 0 to 120: `more than 70` is (71, 120), `30s` is (30, 39).

    Raises:
        ValueError: The text is no range, or its ages fall or are larger than 120.

    Example:
        >>> parse_age_range("20-29"), parse_age_range("Oct-19"), parse_age_range("70+")
        ((20, 29), (10, 19), (70, 120))
    """
    half_open = re.fullmatch(r"\s*\[.*\)\s*", text) is not None  # [20, 30) ends at 29
    plain = " ".join(text.lower().strip(_BRACKETS).split())
    plain = re.sub(r"\s*(years?( old)?|\uc138)$", "", plain)
    found = _spoken(plain) or _of_a_date(plain)
    if found is None:
        raise ValueError(
            f"{text!r} is neither a whole number from 0 to {MAX_AGE} nor a range of ages such as "
            "20-29, 70+, more than 70 or under 30"
        )
    first, last = found[0], found[1] - half_open
    if last < 0:
        raise ValueError(f"{text!r} holds no age")
    if first > last:
        raise ValueError(f"{text!r} is a range that falls; write {last}-{first}")
    if first > MAX_AGE or (last > MAX_AGE):
        raise ValueError(f"{text!r} reaches beyond {MAX_AGE} years")
    return first, last


def ranges_of(frame: pl.DataFrame) -> dict[str, AgeRange]:
    """Return the ranges in a manifest's column by their text; empty where it has no such column.

    Raises:
        ValueError: A text is no range.
    """
    if AGE_RANGE not in frame.columns:
        return {}
    return {text: parse_age_range(text) for text in frame[AGE_RANGE].drop_nulls().unique()}


def is_age_range(text: str) -> bool:
    """Return whether a text is a range of ages; a number alone is none."""
    try:
        parse_age_range(text)
    except ValueError:
        return False
    return True


def _spoken(text: str) -> AgeRange | None:
    """Return the range that words or signs name, or None."""
    if found := _BETWEEN.fullmatch(text):
        return int(found[1]), int(found[2])
    if found := _DECADE.fullmatch(text):
        return int(found[1]), int(found[1]) + 9
    for pattern, low, step in ((_AT_LEAST, True, 0), (_MORE_THAN, True, 1),
                               (_AT_MOST, False, 0), (_LESS_THAN, False, -1)):  # fmt: skip
        if found := pattern.fullmatch(text):
            age = int(next(group for group in found.groups() if group)) + step
            return (age, max(age, MAX_AGE)) if low else (0, age)
    return None


def _of_a_date(text: str) -> AgeRange | None:
    """Return the range that a spreadsheet made a date of, or None; dates may swap day and month."""
    if found := _KOREAN_DATE.fullmatch(text):
        numbers = [int(found[1]), int(found[2])]
    elif found := _MONTH_NAME.fullmatch(text):
        if found[1].isdigit() == found[2].isdigit():
            return None
        numbers = [int(part) if part.isdigit() else _month(part) for part in found.groups()]
    else:
        return None
    return (min(numbers), max(numbers)) if min(numbers) > 0 else None


def _month(name: str) -> int:
    """Return the number of a month by its English name, whole or of three letters, or 0."""
    known = {month[:3]: number for number, month in enumerate(_MONTHS, start=1)}
    known |= {month: known[month[:3]] for month in _MONTHS} | {"sept": known["sep"]}
    return known.get(name, 0)


def age_labels(text: str) -> dict[str, object]:
    """Return the labels of an age, or of a range of ages.

    Args:
        text: A whole number of years, or a range.

    Returns:
        `age` for a number. For a range `age_range`, and `age_group`, which is None where the range
        crosses a boundary of the task's groups.

    Raises:
        ValueError: The text is neither.
    """
    age = whole_ages(pl.Series([text]))[0]
    if age is not None:
        return {"age": age}
    first, last = parse_age_range(text)
    return {"age_group": group_of_range((first, last)), AGE_RANGE: f"{first}-{last}"}


def group_of_range(ages: AgeRange, boundaries: Sequence[int] = TASK_BOUNDARIES) -> AgeGroup | None:
    """Return the age group that holds a whole range, or None where it crosses a boundary."""
    groups = groups_of_range(ages, boundaries)
    return groups[0] if len(groups) == 1 else None


def groups_of_range(
    ages: AgeRange, boundaries: Sequence[int] = TASK_BOUNDARIES
) -> tuple[AgeGroup, ...]:
    """Return the age groups that hold some age of a range, youngest first."""
    groups = tuple(AgeGroup)
    first, last = (groups.index(age_group_of(age, boundaries)) for age in ages)
    return groups[first : last + 1]
