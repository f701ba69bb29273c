"""Evaluation of a model on a manifest."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from maskwise.config import CacheSettings, LabelSettings
from maskwise.data.cache import open_frames
from maskwise.data.frames import photo_refs
from maskwise.data.framing import Framer
from maskwise.data.targets import Codes, answered_codes, class_codes
from maskwise.errors import ManifestError, RunError
from maskwise.evaluation.scores import evaluation_scores
from maskwise.evaluation.sources import source_scores, trained_beside_unseen
from maskwise.evaluation.tables import class_columns
from maskwise.labels import TASKS, UNKNOWN
from maskwise.models.classifier import Classifier
from maskwise.models.probabilities import Probabilities, expected_ages
from maskwise.models.views import Views

_BATCH = 128
_PLAIN = Views()


@dataclass(frozen=True)
class Answered:
    """What a model says of N photos."""

    probabilities: Probabilities
    """Calibrated."""
    classes: NDArray[np.int64]
    """(N,) answered classes, 0..17."""
    unsure: NDArray[np.bool_]
    """(N,) answers whose class is less likely than the model's decision asks for."""
    missed: NDArray[np.bool_]
    """(N,) photos in which a face was looked for and none found."""


@dataclass(frozen=True)
class Evaluation:
    """Figures of a model on the rows of a manifest, and the answers behind them."""

    scores: dict[str, Any]
    frame: pl.DataFrame
    answered: Answered
    model: Classifier
    labels: LabelSettings


def evaluate(
    model: Classifier,
    frame: pl.DataFrame,
    cache: CacheSettings,
    device: str = "auto",
    samples: int = 1000,
    progress: Callable[[int], None] | None = None,
    views: Views = _PLAIN,
) -> Evaluation:
    """Answer every row of a manifest once and score the answers.

    `samples` is the number of bootstrap samples behind the intervals; `progress` is told how many
    more photos were answered.

    Raises:
        ManifestError: there are no rows, none has a label, or photos cannot be decoded.
        RunError: the model gives no numbers.
        DetectorError: the face detector that the model was trained with cannot be had.
    """
    labels = LabelSettings(task_boundaries=model.boundaries, train_boundaries=model.boundaries)
    codes = answered_codes(frame, labels, model.tasks)
    if all((values == UNKNOWN).all() for values in codes.values()):
        raise ManifestError("no row to evaluate carries a label that the model answers")
    answered = answer_rows(model, frame, cache, device, progress, views)
    found = answered.probabilities
    ages = expected_ages(found, model.mean_ages)
    scores = evaluation_scores(
        frame, labels, found, answered.classes, ages, samples, answered=model.tasks
    )
    scores["by_source"] = trained_beside_unseen(
        source_scores(frame, labels, found, answered.classes, model.tasks), model.trained_on
    )
    scores["no_face"] = int(answered.missed.sum())
    scores["unsure"] = int(answered.unsure.sum())
    scores["unsure_below"] = model.decision.unsure_below
    return Evaluation(scores, frame, answered, model, labels)


def answer_rows(
    model: Classifier,
    frame: pl.DataFrame,
    cache: CacheSettings,
    device: str = "auto",
    progress: Callable[[int], None] | None = None,
    views: Views = _PLAIN,
) -> Answered:
    """Return a model's answers for the rows of a manifest, in order; there must be at least one.

    Raises:
        ManifestError: photos cannot be decoded.
        RunError: the model gives no numbers.
        DetectorError: the face detector that the model was trained with cannot be had.
    """
    model.place(device)
    photos = photo_refs(frame)
    framed = {
        key: open_frames(photos, Framer(preprocess), cache)
        for key, preprocess in model.preprocesses.items()
    }
    parts = []
    rows = np.array_split(np.arange(len(frame)), -(-len(frame) // _BATCH))
    for batches in zip(*[frames.batches(rows) for frames in framed.values()], strict=True):
        parts.append(model.answer(dict(zip(framed, batches, strict=True)), views))
        if progress:
            progress(len(batches[0]))
    raw = Probabilities.concatenate(parts)
    if not np.isfinite(raw.joint).all():
        raise RunError("the model gives no numbers: its training went wrong")
    found = model.decision.calibrated(raw)
    missed = np.logical_or.reduce([frames.missed for frames in framed.values()])
    return Answered(found, model.decision.classes(found), model.decision.unsure(found), missed)


@dataclass(frozen=True)
class Mistake:
    """A wrong answer of one task."""

    row: int
    task: str
    truth: str
    answer: str
    confidence: float


def worst_mistakes(evaluation: Evaluation, per_task: int = 12) -> list[Mistake]:
    """Return each task's most confident wrong answers, most confident first."""
    codes = _codes(evaluation)
    mistakes = []
    for task, words in TASKS.items():
        probabilities = evaluation.answered.probabilities.tasks[task]
        answer = probabilities.argmax(axis=1)
        confidence = probabilities.max(axis=1)
        wrong = np.flatnonzero((codes[task] != UNKNOWN) & (codes[task] != answer))
        for row in wrong[np.argsort(-confidence[wrong], kind="stable")][:per_task]:
            truth, answered = words[codes[task][row]], words[answer[row]]
            mistakes.append(Mistake(int(row), task, truth, answered, float(confidence[row])))
    return mistakes


def answers_table(evaluation: Evaluation) -> pl.DataFrame:
    """Return photo, true class, answered class and the 18 probabilities of every row."""
    truth: NDArray[np.int64] = class_codes(_codes(evaluation))
    joint = evaluation.answered.probabilities.joint
    return pl.DataFrame(
        {
            "photo": evaluation.frame["photo"],
            "box": evaluation.frame["box"],
            "truth": pl.Series(truth).replace(UNKNOWN, None),
            "ans": evaluation.answered.classes,
            "unsure": evaluation.answered.unsure,
            **class_columns(joint),
        }
    )


def _codes(evaluation: Evaluation) -> Codes:
    return answered_codes(evaluation.frame, evaluation.labels, evaluation.model.tasks)
