"""What a teacher says of the training photos."""

from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from maskwise.config import Settings
from maskwise.data.manifest import photo_ids
from maskwise.data.soft import soft_labels
from maskwise.errors import ManifestError, SettingsError
from maskwise.evaluation.evaluate import answer_rows
from maskwise.evaluation.tables import read_probabilities, write_probabilities
from maskwise.labels import NUM_CLASSES, TASKS
from maskwise.models.loading import open_classifier
from maskwise.training.lineage import keep_teacher_sources
from maskwise.training.observer import Observer
from maskwise.training.prepare import RunRows

_FILE: Final = "teacher.csv"


def check_teacher(settings: Settings, folder: Path) -> None:
    """Check that a teacher is there, and answers all tasks, unless the run has its answers.

    Raises:
        SettingsError: there is none.
        RunError: it is a damaged model, or answers some tasks only.
        ManifestError: it is a file that holds no probabilities.
    """
    apart = settings.model.head == "tasks"  # each network has a folder
    folders = [folder / task for task in TASKS] if apart else [folder]
    if not settings.distill.teacher or all((place / _FILE).is_file() for place in folders):
        return
    path = _path(settings)
    if not path.exists():
        raise SettingsError(f"distill.teacher: there is no {path}")
    if path.suffix == ".csv":
        read_probabilities(path)
    elif tuple(open_classifier(path).boundaries) != settings.labels.task_boundaries:
        raise SettingsError(
            f"distill.teacher: {path} answers other age groups than labels.task_boundaries"
        )


def _path(settings: Settings) -> Path:
    return Path(settings.distill.teacher).expanduser()


def taught_labels(
    rows: RunRows, settings: Settings, folder: Path, told: Observer | None
) -> NDArray[np.float32] | None:
    """Return what is taught of each row (N, 18), NaN where nothing is; None where there is nothing.

    A model answers the training photos once, as they are; of a file, the rows that it names are
    taken. Either stays in `teacher.csv` of the run folder, which a resumed run goes on with. Rows
    with soft labels of their own keep them where the teacher says nothing.

    Raises:
        ManifestError: a file names no training photo; or photos cannot be decoded.
        DetectorError: the face detector that the teacher was trained with cannot be had.
    """
    taught = soft_labels(rows.frame)
    if not settings.distill.teacher:
        return taught
    if taught is None:
        taught = np.full((len(rows.frame), NUM_CLASSES), np.nan, dtype=np.float32)
    path, saved = _path(settings), folder / _FILE
    if not saved.is_file():
        keep_teacher_sources(folder, settings)
        if path.suffix == ".csv":
            _copy(path, rows, saved)
        else:
            if told:
                told.noted(f"the teacher {path} answers {len(rows.train)} photos")
            _ask(path, rows, settings, saved)
    table = read_probabilities(saved)
    place = {name: row for row, name in enumerate(table.ids)}
    names = photo_ids(rows.frame)
    asked = [row for row in rows.train.tolist() if names[row] in place]
    if told and len(asked) < len(rows.train):
        told.noted(f"{path} teaches {len(asked)} of {len(rows.train)} training photos")
    taught[asked] = table.probabilities.joint[[place[names[row]] for row in asked]]
    return taught


def _copy(path: Path, rows: RunRows, saved: Path) -> None:
    """Keep what a file says of the training photos."""
    table = read_probabilities(path)
    names = photo_ids(rows.frame[rows.train])
    wanted = set(names)
    found = np.array([row for row, name in enumerate(table.ids) if name in wanted], dtype=np.int64)
    if not len(found):
        raise ManifestError(f"{path} names no training photo of the manifest")
    ids = [table.ids[row] for row in found.tolist()]
    write_probabilities(saved, ids, table.probabilities.take(found))


def _ask(path: Path, rows: RunRows, settings: Settings, saved: Path) -> None:
    teacher = open_classifier(path)
    frame = rows.frame[rows.train]
    answered = answer_rows(teacher, frame, settings.cache, settings.train.device)
    write_probabilities(saved, photo_ids(frame), answered.probabilities)
