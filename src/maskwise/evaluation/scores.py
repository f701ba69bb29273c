"""All figures of one evaluation, as plain values."""

from collections.abc import Callable, Collection
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from maskwise.config import LabelSettings
from maskwise.data.targets import Codes, answered_codes, class_codes
from maskwise.evaluation.metrics import (
    Confusion,
    accuracy,
    balanced_accuracy,
    bootstrap_interval,
    confusion_matrix,
    expected_calibration_error,
    f1_scores,
    macro_f1,
    macro_f1_of_true,
    recalls,
    reliability_bins,
    risk_coverage,
)
from maskwise.labels import NUM_CLASSES, TASKS, UNKNOWN, class_names
from maskwise.models.probabilities import Probabilities

Tasks = dict[str, NDArray[np.floating]]
_SCORES: dict[str, Callable[[Confusion], float]] = {
    "accuracy": accuracy,
    "macro_f1": macro_f1,
    "balanced_accuracy": balanced_accuracy,
}


def validation_scores(
    codes: Codes,
    joint: NDArray[np.floating],
    tasks: Tasks,
    trained: Collection[str] = tuple(TASKS),
) -> dict[str, float]:
    """Return the figures that training watches, flat, for the tasks that have known labels.

    'score' is macro-F1 over the classes where any photo carries all three labels, else the mean
    of the balanced accuracies. Where not all tasks are `trained` it is that mean over those.
    """
    scores: dict[str, float] = {}
    for task, words in TASKS.items():
        confusion = confusion_matrix(codes[task], tasks[task].argmax(axis=1), len(words))
        if confusion.any():
            scores |= {f"{task}_{name}": score(confusion) for name, score in _SCORES.items()}
    names = [f"{task}_balanced_accuracy" for task in trained]
    balanced = [scores[name] for name in names if name in scores]
    classes = confusion_matrix(class_codes(codes), joint.argmax(axis=1), NUM_CLASSES)
    if classes.any():
        scores["macro_f1"] = macro_f1(classes)
        scores["accuracy"] = accuracy(classes)
    scores["score"] = float(np.mean(balanced)) if balanced else 0.0
    if classes.any() and set(trained) == set(TASKS):
        scores["score"] = scores["macro_f1"]
    return scores


def evaluation_scores(
    frame: pl.DataFrame,
    labels: LabelSettings,
    found: Probabilities,
    answers: NDArray[np.int64],
    ages: NDArray[np.floating],
    samples: int = 1000,
    seed: int = 0,
    answered: Collection[str] = tuple(TASKS),
) -> dict[str, Any]:
    """Return every figure of an evaluation over the rows of a manifest.

    `found` is of N photos, `answers` their classes (N,), `ages` the expected ages (N,).
    Intervals are 95 %, from `samples` bootstrap samples of people. Tasks that are not `answered`
    are not scored.
    """
    codes = answered_codes(frame, labels, answered)
    people = frame["person"].rank("dense").to_numpy().astype(np.int64) - 1

    def intervals(
        truth: NDArray[np.int64], answers: NDArray[np.int64], classes: int
    ) -> dict[str, Any]:
        return {
            f"{name}_interval": bootstrap_interval(
                truth, answers, people, classes, score, samples, seed
            )
            for name, score in _SCORES.items()
        }

    result: dict[str, Any] = {"photos": len(frame), "people": frame["person"].n_unique()}
    truth, joint, tasks = class_codes(codes), found.joint, found.tasks
    result["classes"] = (
        _summary(truth, answers, class_names(labels.task_boundaries))
        | intervals(truth, answers, NUM_CLASSES)
        | _calibration(truth, joint)
    )
    result["tasks"] = {
        task: _summary(codes[task], tasks[task].argmax(axis=1), list(words))
        | intervals(codes[task], tasks[task].argmax(axis=1), len(words))
        | _calibration(codes[task], tasks[task])
        for task, words in TASKS.items()
    }
    known = truth != UNKNOWN
    confidence = joint[np.arange(len(joint)), answers]
    result["risk_coverage"] = risk_coverage((answers == truth)[known], confidence[known])
    result["age"] = _age_error(frame, ages, "age_group" in answered)
    result["groups"] = {
        column: _by_group(frame[column], codes, found, answers)
        for column in ("gender", "age_group", "mask")
    }
    return result


def _summary(
    truth: NDArray[np.int64], answers: NDArray[np.int64], names: list[str]
) -> dict[str, Any]:
    confusion = confusion_matrix(truth, answers, len(names))
    return {
        "photos": int(confusion.sum()),
        **{name: score(confusion) for name, score in _SCORES.items()},
        "names": names,
        "f1": _plain(f1_scores(confusion)),
        "recall": _plain(recalls(confusion)),
        "confusion": confusion.tolist(),
    }


def _calibration(truth: NDArray[np.int64], probabilities: NDArray[np.floating]) -> dict[str, Any]:
    bins = reliability_bins(truth, probabilities)
    return {"calibration_error": expected_calibration_error(bins), "reliability": bins}


def _plain(values: NDArray[np.float64]) -> list[float | None]:
    return [float(value) if np.isfinite(value) else None for value in values]


def _age_error(frame: pl.DataFrame, ages: NDArray[np.floating], answered: bool) -> dict[str, Any]:
    known = frame["age"].is_not_null().to_numpy() & answered
    true = frame["age"].to_numpy()[known]
    error = float(np.abs(true - ages[known]).mean()) if known.any() else None
    return {"photos": int(known.sum()), "mean_absolute_error": error}


def _by_group(
    column: pl.Series, codes: Codes, found: Probabilities, answers: NDArray[np.int64]
) -> dict[str, dict[str, float]]:
    """Return photos and scores for each word of a column; unknown words are left out.

    Macro-F1 of the 18 classes is over those that are true in the group.
    """
    groups = {}
    for word in sorted(column.drop_nulls().unique()):
        rows = np.flatnonzero(column.eq_missing(word).to_numpy())
        inside = {task: values[rows] for task, values in codes.items()}
        if all((values == UNKNOWN).all() for values in inside.values()):
            continue
        part = found.take(rows)
        scores = validation_scores(inside, part.joint, part.tasks)
        classes = confusion_matrix(class_codes(inside), answers[rows], NUM_CLASSES)
        if classes.any():
            scores["macro_f1"] = macro_f1_of_true(classes)
            scores["accuracy"] = accuracy(classes)
        scores.pop("score")
        groups[str(word)] = {"photos": len(rows), **scores}
    return groups
