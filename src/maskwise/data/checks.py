"""Checks of every row of a manifest; all problems are found before any is reported."""

from collections.abc import Iterator, Sequence
from pathlib import Path

import polars as pl

from maskwise.data.age_ranges import (
    AGE_RANGE,
    MAX_AGE,
    groups_of_range,
    parse_age_range,
    whole_ages,
)
from maskwise.data.boxes import parse_box
from maskwise.data.soft import SOFT, parse_soft
from maskwise.errors import did_you_mean
from maskwise.labels import TASK_BOUNDARIES, TASKS, age_group_of
from maskwise.storage import is_file

Problem = tuple[int, str]
"""Row, from 0, and what is wrong with it."""


def row_problems(
    frame: pl.DataFrame, boundaries: Sequence[int] = TASK_BOUNDARIES, check_photos: bool = True
) -> list[Problem]:
    """Return what is wrong with the rows of a manifest, by row.

    `frame` has the manifest's columns, `age` as text or numbers, and absolute photo paths.
    """
    problems = [
        *_empty(frame),
        *_wrong_words(frame),
        *_wrong_ages(frame),
        *_wrong_groups(frame, boundaries),
        *_wrong_age_ranges(frame, boundaries),
        *_wrong_boxes(frame),
        *_wrong_soft_labels(frame),
        *_repeated(frame),
    ]
    if check_photos:
        problems += missing_photos(frame)
    return sorted(problems)


def _empty(frame: pl.DataFrame) -> Iterator[Problem]:
    for column in ("photo", "person", "source"):
        for row in frame[column].is_null().arg_true():
            yield row, f"{column} is empty"


def _wrong_words(frame: pl.DataFrame) -> Iterator[Problem]:
    for task, words in TASKS.items():
        column = frame[task]
        for row in (column.is_not_null() & ~column.is_in(words)).arg_true():
            hint = did_you_mean(column[row], words)
            yield row, f"{task} is {column[row]!r}; expected {', '.join(words)} or nothing{hint}"


def _wrong_ages(frame: pl.DataFrame) -> Iterator[Problem]:
    given = frame["age"]
    for row in (given.is_not_null() & whole_ages(given).is_null()).arg_true():
        yield row, f"age {given[row]!r} is no whole number from 0 to {MAX_AGE}"


def _wrong_groups(frame: pl.DataFrame, boundaries: Sequence[int]) -> Iterator[Problem]:
    ages = whole_ages(frame["age"])
    known = ages.is_not_null() & frame["age_group"].is_in(TASKS["age_group"])
    for row in known.arg_true():
        group = frame["age_group"][row]
        expected = age_group_of(ages[row], boundaries)
        # an import fills in the groups of the task's usual boundaries
        if group not in (expected, age_group_of(ages[row])):
            yield (
                row,
                f"age {ages[row]} is {expected}, but age_group says {group}; correct one of them",
            )


def _wrong_age_ranges(frame: pl.DataFrame, boundaries: Sequence[int]) -> Iterator[Problem]:
    if AGE_RANGE not in frame.columns:
        return
    ages = whole_ages(frame["age"])
    for row in frame[AGE_RANGE].is_not_null().arg_true():
        text = frame[AGE_RANGE][row]
        if text.isdecimal():
            yield row, f"{AGE_RANGE} {text} is a single age; write it in the column age"
            continue
        try:
            first, last = parse_age_range(text)
        except ValueError as error:
            yield row, f"{AGE_RANGE}: {error}"
            continue
        if ages[row] is not None and not first <= ages[row] <= last:
            yield row, f"age {ages[row]} is not in {AGE_RANGE} {first}-{last}; correct one of them"
        group = frame["age_group"][row]
        possible = {
            each
            for limits in (boundaries, TASK_BOUNDARIES)
            for each in groups_of_range((first, last), limits)
        }
        if group in TASKS["age_group"] and group not in possible:
            yield row, f"no age of {AGE_RANGE} {first}-{last} is {group}, as age_group says"


def _wrong_boxes(frame: pl.DataFrame) -> Iterator[Problem]:
    for row in frame["box"].is_not_null().arg_true():
        try:
            parse_box(frame["box"][row])
        except ValueError as error:
            yield row, f"box: {error}"


def _wrong_soft_labels(frame: pl.DataFrame) -> Iterator[Problem]:
    if SOFT not in frame.columns:
        return
    for row in frame[SOFT].is_not_null().arg_true():
        try:
            parse_soft(frame[SOFT][row])
        except ValueError as error:
            yield row, f"{SOFT}: {error}"


def _repeated(frame: pl.DataFrame) -> Iterator[Problem]:
    first: dict[tuple[str, str | None], int] = {}
    for row, (photo, box) in enumerate(frame.select("photo", "box").iter_rows()):
        if photo is not None and first.setdefault((photo, box), row) != row:
            yield row, f"repeats row {first[photo, box] + 2} ({photo})"


def missing_photos(frame: pl.DataFrame) -> Iterator[Problem]:
    """Yield the rows whose photo is no file."""
    for row, photo in enumerate(frame["photo"]):
        if photo is not None and not is_file(Path(photo)):
            yield row, f"no photo at {photo}"
