"""Labels of a manifest as integer codes: for the score, and for training."""

from collections.abc import Collection

import numpy as np
import polars as pl
from numpy.typing import NDArray

from maskwise.config import LabelSettings
from maskwise.data.age_ranges import AGE_RANGE, AgeRange, ranges_of
from maskwise.data.manifest import fill_age_groups
from maskwise.labels import TASKS, UNKNOWN, encode_class

Codes = dict[str, NDArray[np.int64]]
Ages = NDArray[np.float32]
AgeRanges = NDArray[np.float32]


def task_codes(frame: pl.DataFrame, labels: LabelSettings) -> Codes:
    """Return task name -> codes (N,), `UNKNOWN` where unknown, with the task's boundaries."""
    return _codes(fill_age_groups(frame, labels.task_boundaries))


def answered_codes(frame: pl.DataFrame, labels: LabelSettings, tasks: Collection[str]) -> Codes:
    """Return the codes that a model of some tasks is scored by: none of the other tasks."""
    return {
        task: codes if task in tasks else np.full_like(codes, UNKNOWN)
        for task, codes in task_codes(frame, labels).items()
    }


def training_codes(frame: pl.DataFrame, labels: LabelSettings) -> Codes:
    """Return the codes that training uses: its own boundaries, and no age where it is dropped.

    A photo of a dropped age still teaches its mask state and gender.
    """
    codes = _codes(fill_age_groups(frame, labels.train_boundaries))
    codes["age_group"] = np.where(_dropped(frame, labels), UNKNOWN, codes["age_group"])
    return codes


def known_ages(frame: pl.DataFrame) -> Ages:
    """Return the ages in years (N,), NaN where unknown."""
    return frame["age"].cast(pl.Float32).fill_null(float("nan")).to_numpy()


def training_ages(frame: pl.DataFrame, labels: LabelSettings) -> Ages:
    """Return the ages that training uses (N,), NaN where unknown or dropped."""
    return np.where(_dropped(frame, labels), np.float32("nan"), known_ages(frame))


def training_age_ranges(frame: pl.DataFrame, labels: LabelSettings) -> AgeRanges:
    """Return first and last age of each row (N, 2) that training uses in place of an age.

    NaN where the age is known, no range is, or training drops all ages of it.
    """
    unknown = (float("nan"), float("nan"))
    used = [
        unknown if ages is None or labels.drops_all(*ages) else ages for ages in _age_ranges(frame)
    ]
    return np.array(used, dtype=np.float32).reshape(-1, 2)


def _age_ranges(frame: pl.DataFrame) -> list[AgeRange | None]:
    """Return the range of ages of each row whose age is unknown."""
    known = ranges_of(frame)
    if not known:
        return [None] * len(frame)
    return [
        known[text] if text and age is None else None
        for age, text in frame.select("age", AGE_RANGE).iter_rows()
    ]


def _dropped(frame: pl.DataFrame, labels: LabelSettings) -> NDArray[np.bool_]:
    ranges = _age_ranges(frame)
    spans = [
        (age, age) if age is not None else ages
        for age, ages in zip(frame["age"], ranges, strict=True)
    ]
    return np.array([ages is not None and labels.drops_all(*ages) for ages in spans], dtype=bool)


def class_codes(codes: Codes) -> NDArray[np.int64]:
    """Return classes 0..17 (N,), `UNKNOWN` where a task is unknown."""
    return encode_class(codes["mask"], codes["gender"], codes["age_group"])


def _codes(frame: pl.DataFrame) -> Codes:
    return {
        task: frame[task]
        .replace_strict(
            {word: code for code, word in enumerate(words)}, default=UNKNOWN, return_dtype=pl.Int64
        )
        .to_numpy()
        for task, words in TASKS.items()
    }


def group_mean_ages(frame: pl.DataFrame, labels: LabelSettings) -> list[float]:
    """Return the mean age in years that each group is trained on; the group's middle for none."""
    low, high = labels.train_boundaries
    middles = (low * 0.75, (low + high) / 2, high + 8.0)
    trained = [age is not None and not labels.drops(age) for age in frame["age"]]
    groups = fill_age_groups(frame.filter(trained), labels.train_boundaries)
    means = dict(groups.group_by("age_group").agg(pl.col("age").mean()).iter_rows())
    return [
        round(float(means.get(word, middle)), 2)
        for word, middle in zip(TASKS["age_group"], middles, strict=True)
    ]
