"""What the models of a cross-validation answer out of fold, and what that is worth."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import polars as pl
from numpy.typing import NDArray

from maskwise.config import Settings
from maskwise.data.targets import class_codes, task_codes
from maskwise.evaluation.evaluate import Answered, answer_rows
from maskwise.evaluation.metrics import confusion_matrix, macro_f1
from maskwise.evaluation.scores import evaluation_scores
from maskwise.evaluation.tables import class_columns
from maskwise.labels import NUM_CLASSES, UNKNOWN
from maskwise.models.ensemble import load_classifier
from maskwise.models.probabilities import Probabilities, expected_ages
from maskwise.storage import replacing


@dataclass(frozen=True)
class FoldAnswers:
    """The answers for the people of a fold."""

    rows: list[int]
    """Of the manifest, n of them."""
    answered: Answered
    ages: NDArray[np.float64]
    """(n,) in years."""


@dataclass(frozen=True)
class FoldScores:
    """What all people's answers out of fold are worth; None where nobody has all three labels."""

    scores: dict[str, float | None]
    """Macro-F1 of each fold's people, by the model of the last epoch."""
    mean: float | None
    deviation: float | None
    macro_f1: float | None
    """Of all people at once."""
    interval: tuple[float, float] | None
    """95 %, from bootstrap samples of people."""
    tasks: dict[str, float]


def answer_fold(frame: pl.DataFrame, path: Path, settings: Settings, fold: str) -> FoldAnswers:
    """Return what a model answers for the people of a fold.

    Raises:
        RunError: there is no model, or it is damaged.
        ManifestError: photos cannot be decoded.
    """
    model = load_classifier(path, partly=True)
    rows = np.flatnonzero((frame["fold"] == fold).to_numpy())
    answered = answer_rows(model, frame[rows], settings.cache, settings.train.device)
    ages = expected_ages(answered.probabilities, model.mean_ages)
    return FoldAnswers(rows.tolist(), answered, ages)


def score_folds(
    frame: pl.DataFrame, parts: Sequence[FoldAnswers], settings: Settings, oof: Path
) -> FoldScores:
    """Score all people at once, and write what each was answered.

    Raises:
        StorageError: the disk is full or the folder cannot be written.
    """
    rows = np.concatenate([part.rows for part in parts])
    found = Probabilities.concatenate(part.answered.probabilities for part in parts)
    answers = np.concatenate([part.answered.classes for part in parts])
    ages = np.concatenate([part.ages for part in parts])
    asked, tasks = frame[rows], settings.model.tasks
    scores = evaluation_scores(asked, settings.labels, found, answers, ages, answered=tasks)
    truth = class_codes(task_codes(asked, settings.labels))
    _write_answers(oof, asked, truth, answers, found)
    ends = np.cumsum([len(part.rows) for part in parts])[:-1]
    each = [
        macro_f1(confusion_matrix(*pair, NUM_CLASSES)) if (pair[0] != UNKNOWN).any() else None
        for pair in zip(np.split(truth, ends), np.split(answers, ends), strict=True)
    ]
    known = [score for score in each if score is not None]
    return FoldScores(
        scores={f"fold {number}": score for number, score in enumerate(each)},
        mean=float(np.mean(known)) if known else None,
        deviation=float(np.std(known, ddof=1)) if len(known) > 1 else None,
        macro_f1=scores["classes"]["macro_f1"] if known else None,
        interval=scores["classes"]["macro_f1_interval"],
        tasks={task: scores["tasks"][task]["macro_f1"] for task in tasks},
    )


def _write_answers(
    path: Path,
    asked: pl.DataFrame,
    truth: NDArray[np.int64],
    answers: NDArray[np.int64],
    found: Probabilities,
) -> None:
    table = asked.select("photo", "box", "fold").with_columns(
        truth=pl.Series(truth).replace(UNKNOWN, None), ans=pl.Series(answers)
    )
    with replacing(path) as temporary:
        table.with_columns(**class_columns(found.joint)).write_csv(temporary)
