"""An expert who knows the labels, and the score of a cross-validation by them."""

from pathlib import Path
from typing import Final

import numpy as np
import polars as pl

from benchmarks.label_audit.faults import KINDS
from maskwise.config import LabelSettings
from maskwise.data.corrections import Correction, write_corrections
from maskwise.data.manifest import photo_ids
from maskwise.data.targets import class_codes, task_codes
from maskwise.evaluation.metrics import confusion_matrix, macro_f1
from maskwise.evaluation.tables import read_probabilities
from maskwise.labels import NUM_CLASSES

_FIELDS: Final = ("mask", "gender", "age", "age_group")


def corrections_of(
    truth: pl.DataFrame, wrong: pl.DataFrame, findings: pl.DataFrame, folder: Path, out: Path
) -> int:
    """Write corrections of what is wrong about photos that findings about labels name.

    The rows of both manifests are those of the same photos. Names in findings begin at `folder`.
    Returns the number of photos that are looked at.
    """
    named = findings.filter(pl.col("kind").is_in(KINDS))["photo"].unique()
    photos = {str(folder.resolve() / name) for name in named}
    corrections: list[Correction] = []
    shown = 0
    for right, said in zip(truth.to_dicts(), wrong.to_dicts(), strict=True):
        if said["photo"] not in photos:
            continue
        shown += 1
        corrections += [
            Correction(said["photo"], field, _text(said[field]), _text(right[field]), "expert")
            for field in _FIELDS
            if said[field] != right[field]
        ]
    write_corrections(out, corrections)
    return shown


def _text(value: object) -> str:
    return "" if value is None else str(value)


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
