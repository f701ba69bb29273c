"""An expert who knows the labels, and the score of a cross-validation by them."""

from pathlib import Path
from typing import Final

import numpy as np
import polars as pl

from maskwise.config import LabelSettings
from maskwise.data.corrections import COLUMNS
from maskwise.data.manifest import photo_ids
from maskwise.data.targets import class_codes, task_codes
from maskwise.evaluation.metrics import confusion_matrix, macro_f1
from maskwise.evaluation.tables import read_probabilities
from maskwise.labels import NUM_CLASSES
from maskwise.storage import write_text

_FIELDS: Final = ("mask", "gender", "age", "age_group")
_ABOUT_LABELS: Final = ("swap", "mask", "gender", "age_group")


def corrections_of(
    truth: pl.DataFrame, wrong: pl.DataFrame, findings: pl.DataFrame, folder: Path, out: Path
) -> int:
    """Write corrections of what is wrong about photos that findings about labels name.

    The rows of both manifests are those of the same photos. Names in findings begin at `folder`.
    Returns the number of photos that are looked at.
    """
    named = findings.filter(pl.col("kind").is_in(_ABOUT_LABELS))["photo"].unique()
    photos = {str(folder.resolve() / name) for name in named}
    lines = []
    shown = 0
    for right, said in zip(truth.to_dicts(), wrong.to_dicts(), strict=True):
        if said["photo"] not in photos:
            continue
        shown += 1
        lines += [
            (said["photo"], field, said[field], right[field], "expert", "")
            for field in _FIELDS
            if said[field] != right[field]
        ]
    table = pl.DataFrame(
        [[None if value is None else str(value) for value in line] for line in lines],
        schema=dict.fromkeys(COLUMNS, pl.String),
        orient="row",
    )
    write_text(out, table.write_csv())
    return shown


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
