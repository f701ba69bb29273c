"""Labels that a model does not believe: confident learning, and swaps within a person.

Confident learning (Northcutt, Jiang, Chuang, Confident Learning: Estimating Uncertainty in Dataset
Labels, JAIR 70, 2021) is cleanlab's: how sure a model is of a label is compared with how sure it
is of that label on average, so that a model that is too sure, or shy of a rare class, accuses no
more than there are faults.
"""

from collections.abc import Callable, Iterator, Sequence
from itertools import combinations
from typing import Final

import numpy as np
import polars as pl
from numpy.typing import NDArray

from maskwise.audit.findings import Finding, Fix
from maskwise.config import LabelSettings
from maskwise.data.targets import task_codes
from maskwise.errors import SettingsError
from maskwise.labels import TASK_BOUNDARIES, TASKS, UNKNOWN
from maskwise.models.probabilities import Tasks

PERSONAL: Final = ("gender", "age_group")
"""Tasks whose labels belong to a person, not to a photo."""
BESIDE: Final = 2
"""Years: an age is beside a boundary if so much more or less would bring it over."""
_LEAST: Final = 1e-6
Rows = NDArray[np.int64]
Values = NDArray[np.floating]


def label_findings(frame: pl.DataFrame, tasks: Tasks) -> Iterator[Finding]:
    """Yield labels that the tasks' probabilities (N, words) speak against; NaN says nothing.

    Raises:
        SettingsError: cleanlab is not installed.
    """
    codes = task_codes(frame, LabelSettings())
    people = [np.array(rows) for rows in frame.with_row_index().group_by(
        "person", maintain_order=True).agg("index")["index"].to_list()]  # fmt: skip
    swapped: set[int] = set()
    for found in swaps(frame, people, codes["mask"], tasks["mask"]):
        swapped.update(found.rows)
        yield found
    yield from _photo_labels(codes["mask"], tasks["mask"], swapped)
    for task in PERSONAL:
        yield from _inconsistent(frame, people, codes[task], task)
        yield from _people_labels(frame, people, codes[task], tasks[task], task)


def swaps(
    frame: pl.DataFrame, people: Sequence[Rows], codes: Rows, found: Values
) -> Iterator[Finding]:
    """Yield pairs of a person's photos each of which is likelier with the other's mask label.

    One wrong label makes no swap, though together with it a right one may look like one. The score
    is the share of 'the other way round' in the likelihood of the two; each photo is in one pair at
    most, the surest.
    """
    known = (codes != UNKNOWN) & ~np.isnan(found).any(axis=1)
    for rows in people:
        pairs = []
        for first, second in combinations(rows[known[rows]].tolist(), 2):
            here, there = codes[first], codes[second]
            if here == there:
                continue
            first_given, first_other = map(float, found[first, [here, there]])
            second_given, second_other = map(float, found[second, [there, here]])
            if first_other > first_given and second_other > second_given:
                other, given = first_other * second_other, first_given * second_given
                pairs.append((other / (other + given), first, second))
        used: set[int] = set()
        for share, first, second in sorted(pairs, reverse=True):
            if not used & {first, second}:
                used |= {first, second}
                yield _swap(frame, first, second, share)


def _swap(frame: pl.DataFrame, first: int, second: int, share: float) -> Finding:
    here, there = frame["mask"][first], frame["mask"][second]
    reason = f"labelled {here} and {there}, and looks like {there} and {here}"
    fixes = (Fix(first, "mask", there), Fix(second, "mask", here))
    return Finding("swap", (first, second), share, reason, fixes)


def _photo_labels(codes: Rows, found: Values, apart: set[int]) -> Iterator[Finding]:
    """Yield mask labels that single photos speak against, but those of the rows `apart`."""
    words = TASKS["mask"]
    rows = np.flatnonzero((codes != UNKNOWN) & ~np.isnan(found).any(axis=1))
    for place in doubted(codes[rows], found[rows]):
        row = int(rows[place])
        if row not in apart:
            told, seen = words[codes[row]], words[int(found[row].argmax())]
            doubt = 1 - float(found[row, codes[row]])
            reason = f"labelled {told}, to the model {seen} by {found[row].max():.2f}"
            yield Finding("mask", (row,), doubt, reason, (Fix(row, "mask", seen),))


def _people_labels(
    frame: pl.DataFrame, people: Sequence[Rows], codes: Rows, found: Values, task: str
) -> Iterator[Finding]:
    """Yield people whose label all their photos together speak against.

    A person's probabilities are the geometric mean of those of the photos.
    """
    known = (codes != UNKNOWN) & ~np.isnan(found).any(axis=1)
    groups = [rows[known[rows]] for rows in people]
    groups = [rows for rows in groups if len(rows)]
    if not groups:
        return
    labels = np.array([np.bincount(codes[rows]).argmax() for rows in groups])
    means = np.array([_geometric_mean(found[rows]) for rows in groups])
    for place in doubted(labels, means):
        told, seen = int(labels[place]), int(means[place].argmax())
        rows = groups[place][codes[groups[place]] != seen].tolist()
        yield _person(frame, rows, task, (told, seen), means[place])


def _person(
    frame: pl.DataFrame, rows: Sequence[int], task: str, codes: tuple[int, int], found: Values
) -> Finding:
    """Return what to say of a person whose label and likeliest word are `codes`."""
    told, seen = (TASKS[task][code] for code in codes)
    kind, doubt, age = task, 1 - float(found[codes[0]]), frame["age"][rows[0]]
    if task == "age_group" and _beside(age, seen):
        kind, doubt = "boundary", doubt / 2
    at = f" at {age}" if task == "age_group" and age is not None else ""
    photos = f"{len(rows)} photos" if len(rows) > 1 else "the photo"
    reason = f"labelled {told}{at}, to the model {seen} by {found.max():.2f}, over {photos}"
    fixes = tuple(_personal_fixes(frame, rows, task, seen))
    return Finding(kind, tuple(rows), doubt, reason, fixes)


def _personal_fixes(
    frame: pl.DataFrame, rows: Sequence[int], task: str, word: str
) -> Iterator[Fix]:
    """Yield the fixes of a person's rows; an age in years that says otherwise goes."""
    for row in rows:
        if task == "age_group" and frame["age"][row] is not None:
            yield Fix(row, "age", "")
        yield Fix(row, task, word)


def _inconsistent(
    frame: pl.DataFrame, people: Sequence[Rows], codes: Rows, task: str
) -> Iterator[Finding]:
    """Yield the rows of people whose labels say several things; the commonest is suggested."""
    words = TASKS[task]
    for rows in people:
        told = rows[codes[rows] != UNKNOWN]
        counts = np.bincount(codes[told], minlength=len(words)) if len(told) else np.zeros(1, int)
        if np.count_nonzero(counts) < 2:
            continue
        most = int(counts.argmax())
        odd = [int(row) for row in told if codes[row] != most]
        clear = np.count_nonzero(counts == counts[most]) == 1
        said = [f"{word} {count} times" for word, count in zip(words, counts, strict=True) if count]
        reason = f"{task} of one person: {', '.join(said)}"
        fixes = tuple(_personal_fixes(frame, odd, task, words[most])) if clear else ()
        rest = [int(row) for row in told if codes[row] == most]
        yield Finding("inconsistent", (*odd, *rest), 1.0, reason, fixes)


def label_issues() -> Callable[..., NDArray[np.bool_]]:
    """Return cleanlab's function that finds label errors.

    Raises:
        SettingsError: cleanlab is not installed.
    """
    try:
        from cleanlab.filter import find_label_issues
    except ModuleNotFoundError as error:
        raise SettingsError(
            f"finding wrong labels needs {error.name}: pip install 'maskwise[audit]'; --model none "
            "looks at photos only"
        ) from error
    found: Callable[..., NDArray[np.bool_]] = find_label_issues
    return found


def doubted(labels: Rows, found: Values) -> Rows:
    """Return the positions of labels (N,) that confident learning takes for errors.

    `found` are probabilities (N, words). A label that is also the likeliest word is none.

    Raises:
        SettingsError: cleanlab is not installed.
    """
    present = np.unique(labels)
    if len(present) < 2:
        return np.array([], dtype=np.int64)
    inside = np.maximum(found[:, present].astype(np.float64), _LEAST)
    inside /= inside.sum(axis=1, keepdims=True)
    issues = label_issues()(
        np.searchsorted(present, labels), inside, min_examples_per_class=0, n_jobs=1
    )
    positions: Rows = np.flatnonzero(issues & (found.argmax(axis=1) != labels))
    return positions


def _geometric_mean(found: Values) -> Values:
    logs = np.log(np.maximum(found.astype(np.float64), _LEAST)).mean(axis=0)
    mean: Values = np.exp(logs) / np.exp(logs).sum()
    return mean


def _beside(age: int | None, seen: str) -> bool:
    """Return whether an age would be in the group seen if it were a little more or less."""
    if age is None:
        return False
    low, high = TASK_BOUNDARIES
    young, _, old = TASKS["age_group"]
    if seen == young:
        return low <= age < low + BESIDE
    if seen == old:
        return high - BESIDE <= age < high
    return low - BESIDE <= age < low or high <= age < high + BESIDE
