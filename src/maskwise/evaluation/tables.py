"""CSV files of probabilities: of the 18 classes in p0 to p17, or of each task's words."""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
import polars as pl
from numpy.typing import NDArray

from maskwise.data.csv_files import read_rows
from maskwise.data.manifest import photo_id
from maskwise.errors import ManifestError, listed
from maskwise.labels import NUM_CLASSES, TASKS, UNKNOWN
from maskwise.models.probabilities import Probabilities
from maskwise.storage import replacing

OUT_OF_FOLD: Final = "oof.csv"
"""File of a cross-validation: what each photo was answered by a model that never saw its person."""
CLASS_COLUMNS: Final = [f"p{number}" for number in range(NUM_CLASSES)]
_WORD_COLUMNS: Final = {task: [f"p_{word}" for word in words] for task, words in TASKS.items()}
_ID_COLUMNS: Final = ("ImageID", "photo")
_ANSWER: Final = "ans"
_CLASSES: Final = {str(number): number for number in range(NUM_CLASSES)}
_SLACK: Final = 1e-3
"""How far from 1 the probabilities of a row may sum: they are rounded in files."""


@dataclass(frozen=True)
class ProbabilityTable:
    """Probabilities of photos by id."""

    ids: list[str]
    """Of a manifest's photos: path, and box where there is one."""
    probabilities: Probabilities
    answers: NDArray[np.int64] | None = None
    """(N,) classes, where the file has them: a decision may have made them."""


def class_columns(joint: NDArray[np.floating]) -> dict[str, NDArray[np.floating]]:
    """Return the columns p0 to p17 of probabilities (N, 18)."""
    return {name: joint[:, number] for number, name in enumerate(CLASS_COLUMNS)}


def read_probabilities(path: Path) -> ProbabilityTable:
    """Read a file that `evaluate`, `predict` or `submit` wrote, or one like it.

    It has a column ImageID or photo (and box), and either p0 to p17, or p_wear to p_old, which
    count as independent. A column `ans` holds the answers.

    Raises:
        ManifestError: it has other columns, or rows that are no probabilities; all at once.
    """
    words = [column for names in _WORD_COLUMNS.values() for column in names]
    rows = read_rows(path, (*_ID_COLUMNS, "box", _ANSWER, *CLASS_COLUMNS, *words))
    columns = set(rows[0][1]) if rows else set()
    name = next((name for name in _ID_COLUMNS if name in columns), None)
    wanted = next((names for names in (CLASS_COLUMNS, words) if columns.issuperset(names)), None)
    if name is None or wanted is None:
        raise ManifestError(
            f"{path}: expected a column ImageID or photo, and probabilities in p0 to p17 or "
            f"{words[0]} to {words[-1]}; found {', '.join(sorted(columns)) or 'no rows'}"
        )
    ids = [photo_id(row[name], row.get("box")) for _, row in rows]
    values = np.array([[_number(row[column]) for column in wanted] for _, row in rows])
    groups = [CLASS_COLUMNS] if wanted is CLASS_COLUMNS else list(_WORD_COLUMNS.values())
    problems = list(_problems(ids, values, [len(group) for group in groups], rows))
    answers = _answers(rows) if _ANSWER in columns else None
    if answers is not None:
        problems += [
            f"row {line}: {_ANSWER} is no class from 0 to {NUM_CLASSES - 1}"
            for (line, _), answer in zip(rows, answers, strict=True)
            if answer == UNKNOWN
        ]
    if problems:
        raise ManifestError(f"{path}: {len(problems)} problem(s):\n{listed(problems)}")
    if wanted is CLASS_COLUMNS:
        return ProbabilityTable(ids, Probabilities.of_joint(_scaled(values)), answers)
    parts = np.split(values, np.cumsum([len(names) for names in TASKS.values()])[:-1], axis=1)
    tasks = {task: _scaled(part) for task, part in zip(TASKS, parts, strict=True)}
    return ProbabilityTable(ids, Probabilities.of_tasks(tasks), answers)


def _answers(rows: Sequence[tuple[int, dict[str, str]]]) -> NDArray[np.int64]:
    """Return the class of each row, `UNKNOWN` where it is none."""
    return np.array([parse_class(row[_ANSWER]) for _, row in rows])


def parse_class(text: str | None) -> int:
    """Return the class 0..17 that a cell holds, `UNKNOWN` where it holds none."""
    return _CLASSES.get((text or "").strip(), UNKNOWN)


def _number(text: str) -> float:
    try:
        return float(text)
    except (TypeError, ValueError):
        return float("nan")


def _problems(
    ids: Sequence[str],
    values: NDArray[np.float64],
    sizes: Sequence[int],
    rows: Sequence[tuple[int, dict[str, str]]],
) -> Iterator[str]:
    twice = [name for name, count in Counter(ids).items() if count > 1]
    if twice:
        yield f"{len(twice)} id(s) stand in several rows, such as {twice[0]}"
    for (line, _), row in zip(rows, values, strict=True):
        parts = np.split(row, np.cumsum(sizes)[:-1])
        if not np.isfinite(row).all() or (row < 0).any():
            yield f"row {line}: expected numbers from 0 to 1"
            continue
        for part in parts:
            if abs(part.sum() - 1) > _SLACK:
                yield f"row {line}: the probabilities sum to {part.sum():.4g}, expected 1"


def _scaled(values: NDArray[np.float64]) -> NDArray[np.float32]:
    scaled: NDArray[np.float32] = (values / values.sum(axis=1, keepdims=True)).astype(np.float32)
    return scaled


def write_probabilities(
    path: Path, ids: Sequence[str], found: Probabilities, answers: Sequence[int] | None = None
) -> None:
    """Write a file that `read_probabilities` reads: ImageID, ans, and p0 to p17.

    Without `answers` the likeliest class is.

    Raises:
        StorageError: the disk is full or the folder cannot be written.
    """
    columns = {
        "ImageID": ids,
        _ANSWER: found.joint.argmax(axis=1) if answers is None else answers,
        **class_columns(found.joint.round(7)),
    }
    with replacing(path) as temporary:
        pl.DataFrame(columns).write_csv(temporary)
