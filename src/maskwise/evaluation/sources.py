"""How well each task is predicted on each source, and whether the model was trained on it."""

from collections.abc import Collection, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Final

import numpy as np
import polars as pl
from numpy.typing import NDArray

from maskwise.config import LabelSettings
from maskwise.data.source_names import base_source, base_sources
from maskwise.data.targets import answered_codes, class_codes
from maskwise.evaluation.metrics import (
    accuracy,
    balanced_accuracy,
    confusion_matrix,
    expected_calibration_error,
    macro_f1_of_true,
    recalls,
    reliability_bins,
    risk_coverage,
)
from maskwise.labels import TASKS, UNKNOWN, class_names
from maskwise.models.probabilities import Probabilities

CLASSES: Final = "classes"
"""Stands beside the tasks for the 18 classes, of photos that carry all three labels."""
TASK_NAMES: Final = {"mask": "mask", "gender": "gender", "age_group": "age group",
                     CLASSES: "18 classes"}  # fmt: skip
COVERAGE: Final = 0.8
"""Share of photos, the most confident ones, of which the selective risk is given."""


@dataclass(frozen=True)
class SourceScores:
    """Figures of one task on the photos of one source that carry its label."""

    photos: int
    accuracy: float
    balanced_accuracy: float
    """Mean recall of the classes that the source has."""
    macro_f1: float
    """Mean F1 of the classes that the source has."""
    recalls: dict[str, float]
    """Class name -> share of its photos that are predicted as it."""
    calibration_error: float
    """Expected calibration error, 0 to 1."""
    selective_risk: float
    """Share of wrong predictions among the `COVERAGE` of photos with the highest confidence."""


def source_scores(
    frame: pl.DataFrame,
    labels: LabelSettings,
    found: Probabilities,
    classes: NDArray[np.int64],
    tasks: Collection[str] = tuple(TASKS),
) -> dict[str, dict[str, SourceScores]]:
    """Score every task, and the 18 classes, on every source.

    Args:
        frame: N rows of a manifest.
        labels: Where age groups begin.
        found: The probabilities of those N photos.
        classes: (N,) their predicted classes, 0 to 17.
        tasks: The tasks that the model predicts.

    Returns:
        Source -> task -> figures; a task is there where a photo of the source has its label, and
        `CLASSES` where a photo has all three.
    """
    codes = answered_codes(frame, labels, tasks)
    truths = {**codes, CLASSES: class_codes(codes)}
    predicted = {task: values.argmax(axis=1) for task, values in found.tasks.items()}
    predicted[CLASSES] = classes
    probabilities = {**found.tasks, CLASSES: found.joint}
    names = {**TASKS, CLASSES: class_names(labels.task_boundaries)}
    parts = (truths, predicted, probabilities)
    sources = base_sources(frame).to_numpy()
    scores: dict[str, dict[str, SourceScores]] = {}
    for source in sorted(set(sources)):
        known = {task: (sources == source) & (truths[task] != UNKNOWN) for task in names}
        scores[source] = {
            task: _scores(names[task], *(part[task][rows] for part in parts))
            for task, rows in known.items()
            if rows.any()
        }
    return scores


def _scores(
    names: Sequence[str],
    truth: NDArray[np.int64],
    predicted: NDArray[np.int64],
    probabilities: NDArray[np.floating],
) -> SourceScores:
    """Return the figures of N photos whose label is known."""
    confusion = confusion_matrix(truth, predicted, len(names))
    confidence = probabilities[np.arange(len(truth)), predicted]
    return SourceScores(
        photos=len(truth),
        accuracy=accuracy(confusion),
        balanced_accuracy=balanced_accuracy(confusion),
        macro_f1=macro_f1_of_true(confusion),
        recalls={
            str(name): float(recall)
            for name, recall in zip(names, recalls(confusion), strict=True)
            if np.isfinite(recall)
        },
        calibration_error=expected_calibration_error(reliability_bins(truth, probabilities)),
        selective_risk=selective_risk(predicted == truth, confidence),
    )


def selective_risk(right: NDArray[np.bool_], confidence: NDArray[np.floating]) -> float:
    """Return the share of errors among the photos that a model is most confident of.

    Geifman & El-Yaniv, 2017, 'Selective Classification for Deep Neural Networks', section 2, at
    the coverage `COVERAGE`.

    Args:
        right: (N,) whether each prediction is correct; at least one.
        confidence: (N,) the probability of each predicted class, 0 to 1.
    """
    shares = risk_coverage(right, confidence)
    return 1 - shares[round(COVERAGE * len(shares)) - 1]["accuracy"]


def trained_beside_unseen(
    scores: dict[str, dict[str, SourceScores]], trained_on: Collection[str] | None
) -> dict[str, Any]:
    """Return scores with whether the model was trained on each source, and the mean gap.

    Args:
        scores: What `source_scores` gives.
        trained_on: The sources of the model's training photos; None is not known.

    Returns:
        `sources`: source -> `trained_on` and the figures of each task. `gaps`: task -> the mean
        balanced accuracy of sources trained on, less that of the others; only where both exist.
    """
    if trained_on is not None:
        trained_on = {base_source(name) for name in trained_on}
    gaps = {}
    for task in TASK_NAMES:
        seen, unseen = (
            [
                own[task].balanced_accuracy
                for source, own in scores.items()
                if task in own and trained_on is not None and (source in trained_on) is wanted
            ]
            for wanted in (True, False)
        )
        if seen and unseen:
            gaps[task] = float(np.mean(seen) - np.mean(unseen))
    return {
        "sources": {
            source: {
                "trained_on": None if trained_on is None else source in trained_on,
                **{task: asdict(figures) for task, figures in own.items()},
            }
            for source, own in scores.items()
        },
        "gaps": gaps,
    }
