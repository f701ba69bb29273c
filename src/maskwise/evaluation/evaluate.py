"""Evaluation of a model on a manifest."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import torch
from numpy.typing import NDArray

from maskwise.config import CacheSettings, LabelSettings
from maskwise.data.cache import open_frames
from maskwise.data.frames import FrameSource, photo_refs
from maskwise.data.framing import Framer
from maskwise.data.targets import Codes, answered_codes, class_codes
from maskwise.errors import ManifestError, RunError
from maskwise.evaluation.scores import evaluation_scores
from maskwise.labels import TASKS, UNKNOWN
from maskwise.models.bundle import ModelInfo, load_bundle
from maskwise.models.inference import (
    Probabilities,
    choose_device,
    expected_ages,
    model_probabilities,
)
from maskwise.models.network import Network
from maskwise.transforms.preprocess import Preprocess

_BATCH = 128


@dataclass(frozen=True)
class Evaluation:
    """Figures of a model on the rows of a manifest, and the answers behind them."""

    scores: dict[str, Any]
    frame: pl.DataFrame
    answers: Probabilities
    info: ModelInfo
    labels: LabelSettings


def evaluate(
    model_path: Path,
    frame: pl.DataFrame,
    cache: CacheSettings,
    device: str = "auto",
    samples: int = 1000,
    detectors: Path | None = None,
    progress: Callable[[int], None] | None = None,
) -> Evaluation:
    """Answer every row of a manifest once and score the answers.

    `samples` is the number of bootstrap samples behind the intervals; `detectors` the folder of
    the face detector's file, where it lies in no usual place; `progress` is told how many more
    photos were answered.

    Raises:
        ManifestError: there are no rows, none has a label, or photos cannot be decoded.
        RunError: there is no model, or a damaged one.
        DetectorError: the face detector that the model was trained with cannot be had.
    """
    model, info = load_bundle(model_path, partly=True)
    labels = LabelSettings(
        task_boundaries=info.task_boundaries, train_boundaries=info.task_boundaries
    )
    codes = answered_codes(frame, labels, info.model.tasks)
    if all((values == UNKNOWN).all() for values in codes.values()):
        raise ManifestError("no row to evaluate carries a label that the model answers")
    target = choose_device(device)
    model.to(target).to(memory_format=torch.channels_last)
    preprocess = info.preprocess
    frames = open_frames(photo_refs(frame), Framer(preprocess, detectors), cache)
    answers = answer_frames(model, frames, preprocess, target, progress=progress)
    if not np.isfinite(answers.joint).all():
        raise RunError(f"{model_path} gives no numbers: its training went wrong")
    ages = expected_ages(answers, info.mean_ages)
    scores = evaluation_scores(
        frame, labels, answers.joint, answers.tasks, ages, samples, answered=info.model.tasks
    )
    scores["no_face"] = int(frames.missed.sum())
    return Evaluation(scores, frame, answers, info, labels)


def answer_frames(
    model: Network,
    frames: FrameSource,
    preprocess: Preprocess,
    device: torch.device,
    amp: str = "no",
    progress: Callable[[int], None] | None = None,
) -> Probabilities:
    """Return a model's answers for all frames, in order; there must be at least one."""
    rows = np.array_split(np.arange(len(frames)), -(-len(frames) // _BATCH))
    parts = []
    batches = (torch.from_numpy(batch).to(device) for batch in frames.batches(rows))
    for part in model_probabilities(model, batches, preprocess, amp):
        parts.append(part)
        if progress:
            progress(len(part.joint))
    return Probabilities.concatenate(parts)


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
        probabilities = evaluation.answers.tasks[task]
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
    joint = evaluation.answers.joint
    return pl.DataFrame(
        {
            "photo": evaluation.frame["photo"],
            "box": evaluation.frame["box"],
            "truth": pl.Series(truth).replace(UNKNOWN, None),
            "ans": joint.argmax(axis=1),
            **{f"p{number}": joint[:, number] for number in range(joint.shape[1])},
        }
    )


def _codes(evaluation: Evaluation) -> Codes:
    tasks = evaluation.info.model.tasks
    return answered_codes(evaluation.frame, evaluation.labels, tasks)
