"""What a manifest holds: counts by mask, gender, age group and source, and ages."""

from typing import Any, Final

import polars as pl

from maskwise.labels import TASKS

_DECADES: Final = 13


def manifest_stats(frame: pl.DataFrame) -> dict[str, Any]:
    """Return counts as plain values: photos, people, tasks, classes, sources, ages, folds.

    `classes` counts photos by mask x gender x age group, with 'unknown' among the words; `ages`
    holds the number of photos per decade of age, from 0-9 to 120.
    """
    words = frame.select(pl.col(task).fill_null("unknown") for task in TASKS)
    classes = words.group_by(list(TASKS)).len("photos").sort(list(TASKS))
    return {
        "photos": len(frame),
        "people": frame["person"].n_unique(),
        "tasks": {task: _counts(frame[task], [*TASKS[task]]) for task in TASKS},
        "classes": classes.to_dicts(),
        "sources": _by(frame, "source"),
        "folds": _by(frame, "fold"),
        "ages": _ages(frame),
    }


def _counts(column: pl.Series, words: list[str]) -> dict[str, int]:
    return {word: int((column == word).sum()) for word in words} | {"unknown": column.null_count()}


def _by(frame: pl.DataFrame, column: str) -> list[dict[str, Any]]:
    return (
        frame.with_columns(pl.col(column).fill_null("none"))
        .group_by(column)
        .agg(
            pl.len().alias("photos"),
            pl.col("person").n_unique().alias("people"),
            *[pl.col(task).is_not_null().sum().alias(f"{task}_known") for task in TASKS],
        )
        .sort(column)
        .to_dicts()
    )


def _ages(frame: pl.DataFrame) -> list[dict[str, Any]]:
    decades = frame["age"].drop_nulls() // 10
    return [
        {"from": 10 * decade, "to": 10 * decade + 9, "photos": int((decades == decade).sum())}
        for decade in range(_DECADES)
    ]
