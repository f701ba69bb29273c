"""What mending is worth: faults that are gone, and the score of a cross-validation."""

from collections.abc import Iterable
from pathlib import Path

import numpy as np
import polars as pl

from maskwise.config import LabelSettings
from maskwise.data.manifest import photo_ids
from maskwise.data.targets import class_codes, task_codes
from maskwise.evaluation.metrics import confusion_matrix, macro_f1
from maskwise.evaluation.tables import read_probabilities
from maskwise.labels import NUM_CLASSES, TASKS


def people_mended(truth: pl.DataFrame, mended: pl.DataFrame, people: Iterable[str]) -> int:
    """Return of how many people all labels are right again; rows are found by photo."""
    both = truth.join(mended, on=["photo", "box"], how="left", suffix="_now", nulls_equal=True)
    right = pl.all_horizontal(pl.col(task).eq_missing(pl.col(f"{task}_now")) for task in TASKS)
    whole = both.group_by("person").agg(right.all().alias("right"))
    return int(whole.filter(pl.col("person").is_in(list(people)))["right"].sum())


def out_of_fold_score(answers: Path, truth: pl.DataFrame) -> float:
    """Return the macro-F1 of a cross-validation by the labels of a manifest, over all photos."""
    table = read_probabilities(answers)
    place = {name: row for row, name in enumerate(photo_ids(truth))}
    rows = np.array([place[name] for name in table.ids])
    codes = class_codes(task_codes(truth, LabelSettings()))[rows]
    answered = table.answers
    if answered is None:
        answered = table.probabilities.joint.argmax(axis=1)
    return macro_f1(confusion_matrix(codes, answered, NUM_CLASSES))
