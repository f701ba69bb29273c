"""What a model says of the photos that are audited, best of all one that never saw them."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import polars as pl
from numpy.typing import NDArray

from maskwise.config import CacheSettings
from maskwise.data.manifest import photo_ids
from maskwise.errors import RunError
from maskwise.evaluation.evaluate import answer_rows
from maskwise.evaluation.tables import OUT_OF_FOLD, read_probabilities
from maskwise.models.classifier import Classifier
from maskwise.models.probabilities import Tasks, empty_probabilities


def answered_tasks(
    model: Classifier,
    frame: pl.DataFrame,
    readable: NDArray[np.bool_],
    cache: CacheSettings,
    device: str = "auto",
    progress: Callable[[int], None] | None = None,
) -> Tasks:
    """Return the tasks' probabilities (N, words), NaN for photos that are not `readable` (N,).

    A task that the model does not answer is NaN throughout.

    Raises:
        ManifestError: a readable photo cannot be framed, as its box lies outside.
        RunError: the model gives no numbers.
    """
    tasks = empty_probabilities(len(frame)).tasks
    rows = np.flatnonzero(readable)
    if len(rows):
        answered = answer_rows(model, frame[rows], cache, device, progress)
        for task in model.tasks:
            tasks[task][rows] = answered.probabilities.tasks[task]
    return tasks


def out_of_fold_tasks(run: Path, frame: pl.DataFrame) -> Tasks:
    """Return what a cross-validation said of each photo by the model that never saw its person.

    Photos that were not in it are NaN.

    Raises:
        RunError: the run is no cross-validation, or of other photos.
        ManifestError: its file of answers is damaged.
    """
    path = run / OUT_OF_FOLD
    if not path.is_file():
        raise RunError(
            f"{run} has no {OUT_OF_FOLD}: expected a cross-validation, made with maskwise train "
            "MANIFEST --folds 5 --out RUN; leave --folds out for any other model"
        )
    table = read_probabilities(path)
    rows = {name: row for row, name in enumerate(photo_ids(frame))}
    known = [(rows[name], row) for row, name in enumerate(table.ids) if name in rows]
    if not known:
        raise RunError(f"{path} is of other photos: none of the manifest's {len(frame)} is in it")
    tasks = empty_probabilities(len(frame)).tasks
    here, there = (np.array(side) for side in zip(*known, strict=True))
    for task, values in table.probabilities.tasks.items():
        tasks[task][here] = values[there]
    return tasks
