"""Submissions: answers in the order that was asked for, checked, scored and compared."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import polars as pl
from numpy.typing import NDArray

from maskwise.config import LabelSettings
from maskwise.data.csv_files import read_rows
from maskwise.data.duplicates import find_twins, fingerprint_photos
from maskwise.data.photo_files import photo_at
from maskwise.data.targets import class_codes, task_codes
from maskwise.errors import ManifestError, listed
from maskwise.evaluation.metrics import accuracy, confusion_matrix, f1_scores, macro_f1
from maskwise.evaluation.tables import parse_class
from maskwise.labels import NUM_CLASSES, TASKS, UNKNOWN, class_names, decode_class
from maskwise.storage import write_csv

ID, ANSWER = "ImageID", "ans"
_SHOWN: Final = 5


@dataclass(frozen=True)
class Listing:
    """The photos that answers are asked for."""

    ids: list[str]
    photos: list[Path]
    """The file of each."""


def read_listing(path: Path, photos: Path | None = None) -> Listing:
    """Read `info.csv`, or that of a folder; its photos lie in `images/` beside it, or in `photos`.

    Raises:
        ManifestError: there is none, or ids are empty or stand in it twice.
    """
    file = path / "info.csv" if path.is_dir() else path
    rows = read_rows(file, (ID,))
    if not rows or ID not in rows[0][1]:
        raise ManifestError(f"{file}: expected rows with a column {ID}")
    ids = [row[ID] for _, row in rows]
    problems = [f"row {line}: {ID} is empty" for line, row in rows if not row[ID]]
    problems += [f"{name} stands in {count} rows" for name, count in _repeated(ids)]
    if problems:
        raise ManifestError(f"{file}: {len(problems)} problem(s):\n{listed(problems)}")
    beside = file.parent / "images"
    folder = photos or (beside if beside.is_dir() else file.parent)
    return Listing(ids, [photo_at(folder, name) for name in ids])


def check_photos(listing: Listing) -> None:
    """Check that each photo of a listing is there.

    Raises:
        ManifestError: some are not.
    """
    missing = [str(photo) for photo in listing.photos if not photo.is_file()]
    if missing:
        raise ManifestError(
            f"{len(missing)} of {len(listing.ids)} photos are missing; name their folder with "
            f"--photos:\n{listed(missing)}"
        )


def in_order(listing: Listing, ids: Sequence[str], what: str) -> NDArray[np.int64]:
    """Return the row of each of a listing's ids among others'.

    Raises:
        ManifestError: ids are missing, too many, or come twice; all problems at once.
    """
    place = {name: row for row, name in enumerate(ids)}
    wanted = set(listing.ids)
    missing = [name for name in listing.ids if name not in place]
    extra = [name for name in ids if name not in wanted]
    problems = [f"{name} stands in {count} rows" for name, count in _repeated(ids)]
    if missing:
        problems.append(f"{len(missing)} id(s) are missing, such as {_some(missing)}")
    if extra:
        problems.append(f"{len(extra)} id(s) are not asked for, such as {_some(extra)}")
    if problems:
        raise ManifestError(f"{what}: it does not fit the listing:\n{listed(problems)}")
    return np.array([place[name] for name in listing.ids])


def _repeated(ids: Sequence[str]) -> list[tuple[str, int]]:
    return [(name, count) for name, count in Counter(ids).items() if count > 1]


def _some(names: Sequence[str]) -> str:
    return ", ".join(names[:_SHOWN])


def write_submission(path: Path, ids: Sequence[str], answers: Sequence[int]) -> None:
    """Write ImageID and ans.

    Raises:
        StorageError: the disk is full or the folder cannot be written.
    """
    write_csv(path, [ID, ANSWER], zip(ids, answers, strict=True))


def read_answers(path: Path) -> dict[str, int]:
    """Return id -> class of a submission, or of a file of true classes.

    Raises:
        ManifestError: it has other columns, an id twice, or an answer that is no class; all at
            once.
    """
    rows = read_rows(path, (ID, ANSWER))
    if not rows or not {ID, ANSWER} <= set(rows[0][1]):
        found = ", ".join(rows[0][1]) if rows else "no rows"
        raise ManifestError(f"{path}: expected the columns {ID} and {ANSWER}, found {found}")
    problems = [f"{name} stands in {n} rows" for name, n in _repeated([r[ID] for _, r in rows])]
    answers: dict[str, int] = {}
    for line, row in rows:
        answer = parse_class(row[ANSWER])
        if answer == UNKNOWN:
            text = (row[ANSWER] or "").strip()
            problems.append(f"row {line}: {ANSWER} {text[:20]!r} is no class from 0 to 17")
            continue
        answers[row[ID]] = answer
    if problems:
        raise ManifestError(f"{path}: {len(problems)} problem(s):\n{listed(problems)}")
    return answers


def _paired(
    first: Mapping[str, int], second: Mapping[str, int], names: tuple[Path, Path]
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return the classes of two files by the ids of the first.

    Raises:
        ManifestError: they have different ids.
    """
    in_order(Listing(list(first), []), list(second), f"{names[1]}, against {names[0]}")
    return np.array(list(first.values())), np.array([second[name] for name in first])


def score_submission(truth: Path, submission: Path) -> dict[str, Any]:
    """Return accuracy and macro-F1 over the 18 classes, and of each task.

    Raises:
        ManifestError: a file is wrong, or they have different ids.
    """
    known, answered = _paired(read_answers(truth), read_answers(submission), (truth, submission))
    classes = confusion_matrix(known, answered, NUM_CLASSES)
    true, said = decode_class(known), decode_class(answered)
    tasks = {
        task: confusion_matrix(true[task], said[task], len(words)) for task, words in TASKS.items()
    }
    f1 = f1_scores(classes)
    return {
        "photos": len(known),
        "accuracy": accuracy(classes),
        "macro_f1": macro_f1(classes),
        "tasks": {
            task: {"accuracy": accuracy(counts), "macro_f1": macro_f1(counts)}
            for task, counts in tasks.items()
        },
        "f1": {
            name: (float(value) if np.isfinite(value) else None)
            for name, value in zip(class_names(), f1, strict=True)
        },
    }


def compare_submissions(first: Path, second: Path) -> dict[str, Any]:
    """Return where two submissions part: how often, in which task, which classes become which.

    Raises:
        ManifestError: a file is wrong, or they have different ids.
    """
    answers = read_answers(first)
    one, other = _paired(answers, read_answers(second), (first, second))
    differ = np.flatnonzero(one != other)
    split, split_other = decode_class(one), decode_class(other)
    moves = Counter(zip(one[differ].tolist(), other[differ].tolist(), strict=True))
    names, ids = class_names(), list(answers)
    return {
        "photos": len(one),
        "different": len(differ),
        "tasks": {task: int((split[task] != split_other[task]).sum()) for task in TASKS},
        "moves": [
            {"first": names[a], "second": names[b], "photos": count}
            for (a, b), count in moves.most_common()
        ],
        "rows": [
            {ID: ids[row], "first": int(one[row]), "second": int(other[row])} for row in differ
        ],
    }


@dataclass(frozen=True)
class LabelledTwin:
    """A photo that nearly equals a labelled one."""

    id: str
    photo: str
    """The labelled one."""
    distance: float
    answer: int


def labelled_twins(
    listing: Listing, frame: pl.DataFrame, boundaries: tuple[int, int], workers: int
) -> list[LabelledTwin]:
    """Return the photos of a listing that nearly equal a labelled one, with its class.

    Candidates are found by perceptual hash and confirmed by their pixels; of several labelled
    photos the nearest counts. Labelled photos in boxes are left out: a box is a part of a photo.
    """
    labels = LabelSettings(task_boundaries=boundaries, train_boundaries=boundaries)
    whole = frame.filter(pl.col("box").is_null())
    classes = class_codes(task_codes(whole, labels))
    known = whole["photo"].to_list()
    prints = fingerprint_photos([*map(str, listing.photos), *known], workers)
    count = len(listing.ids)
    nearest: dict[int, tuple[float, int]] = {}
    for twin in find_twins(prints):
        asked, other = twin.first, twin.second - count
        if asked >= count or other < 0 or classes[other] == UNKNOWN:
            continue
        nearest[asked] = min(nearest.get(asked, (np.inf, 0)), (twin.distance, other))
    return [
        LabelledTwin(listing.ids[asked], known[other], distance, int(classes[other]))
        for asked, (distance, other) in sorted(nearest.items())
    ]
