"""Figures of each task on each source, and the gap to sources never trained on."""

from typing import Any

import numpy as np
import polars as pl
import pytest

from maskwise.config import LabelSettings
from maskwise.data.manifest import manifest_from_rows
from maskwise.evaluation.sources import (
    CLASSES,
    SourceScores,
    selective_risk,
    source_scores,
    trained_beside_unseen,
)
from maskwise.models.probabilities import Probabilities, task_product


def probabilities(genders: list[float]) -> Probabilities:
    """Return probabilities of photos by that of the class male; the other tasks are even."""
    male = np.array(genders)
    tasks = {
        "mask": np.full((len(male), 3), 1 / 3),
        "gender": np.stack([male, 1 - male], axis=1),
        "age_group": np.full((len(male), 3), 1 / 3),
    }
    return Probabilities.of_joint(task_product(tasks))


ROWS = [
    # source, gender, probability of male
    ("one", "male", 0.9),
    ("one", "male", 0.6),
    ("one", "female", 0.7),  # wrong
    ("one", "female", 0.1),
    ("two", "male", 0.2),  # wrong
    ("two", "female", 0.3),
    ("two", None, 0.9),
]
FRAME = manifest_from_rows(
    {"photo": f"/{number}", "person": str(number), "source": source, "gender": gender,
     "mask": "wear" if source == "two" else None}
    for number, (source, gender, _) in enumerate(ROWS)
)  # fmt: skip


def scored(frame: pl.DataFrame = FRAME, **more: Any) -> dict[str, dict[str, SourceScores]]:
    """Return the figures of the rows; classes are those of the highest probability."""
    found = probabilities([row[2] for row in ROWS])
    return source_scores(frame, LabelSettings(), found, found.joint.argmax(axis=1), **more)


def test_the_18_classes_are_scored_where_a_photo_has_all_labels() -> None:
    """By the predicted classes, which may differ from those of the highest probability."""
    frame = FRAME.with_columns(
        mask=pl.lit("wear"), age_group=pl.when(pl.col("source") == "one").then(pl.lit("young"))
    )
    found = probabilities([row[2] for row in ROWS])
    classes = np.array([0, 0, 3, 0, 0, 0, 0])  # all wear and young: three of source one are right
    scores = source_scores(frame, LabelSettings(), found, classes)
    assert CLASSES not in scores["two"]
    own = scores["one"][CLASSES]
    assert (own.photos, own.accuracy, own.balanced_accuracy) == (4, 0.75, 0.75)
    assert own.macro_f1 == pytest.approx((2 * 2 / (2 * 2 + 1) + 2 / 3) / 2)
    result = trained_beside_unseen(scores, {"one"})
    assert result["sources"]["one"][CLASSES]["photos"] == 4
    assert CLASSES not in result["gaps"]  # only one source has it


def test_each_task_is_scored_on_the_photos_of_each_source_that_carry_its_label() -> None:
    found = scored()
    assert {source: sorted(own) for source, own in found.items()} == {
        "one": ["gender"], "two": ["gender", "mask"]
    }  # fmt: skip
    one, two = found["one"]["gender"], found["two"]["gender"]
    assert (one.photos, one.accuracy, one.balanced_accuracy) == (4, 0.75, 0.75)
    assert one.recalls == {"male": 1.0, "female": 0.5}
    assert (two.photos, two.balanced_accuracy) == (2, 0.5)
    # the three most confident of four (80 %) have the error of confidence .7
    assert one.selective_risk == pytest.approx(1 / 3)
    assert found["two"]["mask"].photos == 3
    only = scored(tasks=["mask"])
    assert only == {"one": {}, "two": {"mask": found["two"]["mask"]}}


def test_the_gap_is_that_of_sources_trained_on_and_others() -> None:
    scores = scored()
    result = trained_beside_unseen(scores, {"one", "three"})
    assert result["gaps"] == {"gender": 0.25}  # mask: no source that was trained on has it
    assert result["sources"]["one"]["trained_on"] is True
    assert result["sources"]["two"]["trained_on"] is False
    assert result["sources"]["two"]["gender"]["photos"] == 2
    unknown = trained_beside_unseen(scores, None)
    assert unknown["gaps"] == {}
    assert unknown["sources"]["one"]["trained_on"] is None
    assert trained_beside_unseen(scores, {"one", "two"})["gaps"] == {}


def test_selective_risk_counts_errors_of_the_most_confident() -> None:
    right = np.array([True] * 7 + [False] * 3)
    sure = np.linspace(1, 0.1, 10)
    assert selective_risk(right, sure) == pytest.approx(1 / 8)
    assert selective_risk(right, sure[::-1].copy()) == pytest.approx(3 / 8)
    assert selective_risk(np.array([False]), np.array([0.5])) == 1
