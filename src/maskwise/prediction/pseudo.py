"""Pseudo-labels: photos without labels, labelled by a model where it is sure."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from maskwise.data.boxes import box_text
from maskwise.data.frames import PhotoRef
from maskwise.data.manifest import SCHEMA
from maskwise.data.soft import SOFT, soft_text
from maskwise.data.split import PSEUDO
from maskwise.labels import NUM_CLASSES, class_names
from maskwise.prediction.result import Prediction


@dataclass(frozen=True)
class Pseudo:
    """Photos that a model is sure of, as a manifest."""

    frame: pl.DataFrame
    answered: int
    unreadable: int
    kept: dict[str, int]
    """Photos kept of each class."""


def pseudo_manifest(
    answers: Iterable[Prediction],
    photos: Sequence[PhotoRef],
    min_confidence: float,
    per_class: bool,
    round_number: int,
) -> Pseudo:
    """Return the manifest of the photos whose class is at least so likely.

    With `per_class` as many of each answered class are kept as the rarest has, the surest; else the
    classes that a model likes crowd out the others. Rows have the words and the probabilities of
    all classes, the source `pseudo-ROUND` and the fold `pseudo`, which never validates. Each photo
    is a person of its own. After Lee, 2013, 'Pseudo-Label'; soft as Xie et al., 2020, section 3.
    """
    rows, sure, counted, unreadable = [], [], 0, 0
    for answer, photo in zip(answers, photos, strict=True):
        counted += 1
        if answer.error:
            unreadable += 1
            continue
        confidence = answer.classes[answer.answer]
        if confidence < min_confidence:
            continue
        rows.append(_row(answer, photo, round_number))
        sure.append((answer.answer, confidence))
    keep = _balanced(sure) if per_class else list(range(len(rows)))
    names = class_names()
    counts = np.bincount([sure[row][0] for row in keep], minlength=NUM_CLASSES)
    schema: dict[str, type[pl.DataType]] = {**SCHEMA, SOFT: pl.String}
    frame = pl.DataFrame([rows[row] for row in keep], schema=schema, orient="row")
    kept = {names[number]: int(count) for number, count in enumerate(counts)}
    return Pseudo(frame, counted, unreadable, kept)


def _row(answer: Prediction, photo: PhotoRef, round_number: int) -> dict[str, Any]:
    path = str(Path(photo.path).absolute())
    return {
        "photo": path,
        "person": f"pseudo:{path}",
        "mask": answer.mask,
        "gender": answer.gender,
        "age": None,
        "age_group": answer.age_group,
        "box": box_text(photo.box) if photo.box else None,
        "source": f"pseudo-{round_number}",
        "fold": PSEUDO,
        SOFT: soft_text(answer.classes),
    }


def _balanced(sure: Sequence[tuple[int, float]]) -> list[int]:
    """Return the rows of the surest photos, as many of each class as the rarest has, in order."""
    by_class: dict[int, list[int]] = {}
    for row in sorted(range(len(sure)), key=lambda row: -sure[row][1]):
        by_class.setdefault(sure[row][0], []).append(row)
    fewest = min((len(rows) for rows in by_class.values()), default=0)
    return sorted(row for rows in by_class.values() for row in rows[:fewest])
