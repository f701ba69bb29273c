"""Label shortcuts: classes that a recognisable source never has.

A model trained on several sources can learn to recognise the source instead of the label. If one
source has no face of 60 and over, and its photos differ from the others in sharpness or colour,
then recognising the source predicts "not 60 and over" perfectly, also on new photos that merely
resemble it. The score on people of the training sources cannot show this; a source left out can.

Two things make a shortcut, and both are measured here: a class that a source, or the source within
a class of another task, lacks although it should be there; and how well the source is recognised
from image statistics that have nothing to do with faces.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import polars as pl
from numpy.typing import NDArray
from scipy.stats import rankdata

from maskwise.data.source_names import base_sources
from maskwise.labels import TASKS

Pixels = NDArray[np.uint8]
Crops = tuple[Pixels, NDArray[np.bool_]]
"""Face crops (n, height, width, 3), and which of them could be read (n,)."""
RECOGNISABLE: Final = 0.8
"""Area under the ROC curve from which a source counts as recognisable; .5 is chance."""
_MISSING: Final = 0.05
"""A class is missing where it has at most this share of the photos that it should have."""
_EXPECTED: Final = 10.0
"""Photos of a class that a source should have before their absence says anything."""
_PER_SOURCE: Final = 150
"""Photos of a source whose image statistics are compared."""
_LEAST: Final = 10
"""Sources with fewer photos are not compared."""
_FOLDS: Final = 5
_GRID: Final = 8
"""Cells a side whose colours describe a photo."""
_LARGEST: Final = 96
"""Pixels a side of crops whose statistics are computed; of larger ones, every second or third."""
_PART: Final = 64
_RIDGE: Final = 0.1
"""Penalty of the regression, for each photo; features have a deviation of 1."""


@dataclass(frozen=True)
class Gap:
    """A class that a source never has, or hardly ever, although other sources do."""

    source: str
    within: str
    """The class of another task to which this is confined, as 'gender female'; empty: none."""
    task: str
    class_name: str
    photos: int
    """Photos of the source with this class."""
    expected: float
    """Photos that it would have, had it the other sources' share of the class."""


@dataclass(frozen=True)
class Shortcut:
    """A gap of a source that a model can recognise."""

    gap: Gap
    recognised: float
    """Area under the ROC curve of a classifier of the source by image statistics: .5 to 1."""
    information: float
    """Share of the task's label that the source alone gives away, 0 to 1."""

    def __str__(self) -> str:
        gap = self.gap
        where = f"{gap.source}, within {gap.within}," if gap.within else gap.source
        had = f"has {gap.photos}" if gap.photos else "has no"
        return (
            f"{where} {had} photos of {gap.task} {gap.class_name}, where other sources' share "
            f"would be {gap.expected:.0f}; image statistics alone recognise the source (AUC "
            f"{self.recognised:.2f}), and sources give away {self.information:.0%} of the label"
        )


def find_gaps(frame: pl.DataFrame) -> list[Gap]:
    """Return the classes that sources lack.

    Args:
        frame: A manifest. Only the photos that carry a task's label count for the task.

    Returns:
        Gaps of whole sources, then those within a class of another task that are not part of one
        of these; none where a single source has labels of a task.
    """
    frame = frame.with_columns(source=base_sources(frame))
    whole = list(_gaps(frame, ""))
    known = {(gap.source, gap.task, gap.class_name) for gap in whole}
    parts = [
        gap
        for task, names in TASKS.items()
        for name in names
        for gap in _gaps(frame.filter(pl.col(task) == name), f"{task} {name}", leave_out=task)
        if (gap.source, gap.task, gap.class_name) not in known
    ]
    return whole + parts


def _gaps(frame: pl.DataFrame, within: str, leave_out: str = "") -> Iterator[Gap]:
    for task, names in TASKS.items():
        if task == leave_out:
            continue
        labelled = frame.filter(pl.col(task).is_not_null())
        counts = dict(labelled.group_by("source").len().sort("source").iter_rows())
        for source, count in counts.items():
            others = labelled.filter(pl.col("source") != source)[task]
            own = labelled.filter(pl.col("source") == source)[task]
            for name in names:
                expected = count * float((others == name).mean() or 0.0)  # type: ignore[arg-type]
                found = int((own == name).sum())
                if expected >= _EXPECTED and found <= _MISSING * expected:
                    yield Gap(source, within, task, str(name), found, expected)


def label_information(frame: pl.DataFrame, task: str) -> float:
    """Return the share of a task's label that the source gives away, 0 to 1.

    I(source; label) / H(label), over the photos that carry the label (Cover & Thomas, Elements of
    Information Theory, 2006, section 2.4): 0 where every source has the same shares of classes.
    """
    table = (
        frame.with_columns(source=base_sources(frame))
        .filter(pl.col(task).is_not_null())
        .group_by("source", task)
        .len()
        .pivot(on=task, index="source", values="len")
        .drop("source")
        .fill_null(0)
        .to_numpy()
        .astype(np.float64)
    )
    if not table.size:
        return 0.0
    joint = table / table.sum()
    of_label = _entropy(joint.sum(axis=0))
    of_source = _entropy(joint.sum(axis=1))
    return (of_label + of_source - _entropy(joint.ravel())) / of_label if of_label else 0.0


def _entropy(shares: NDArray[np.float64]) -> float:
    positive = shares[shares > 0]
    return float(-(positive * np.log2(positive)).sum())


def sample_rows(frame: pl.DataFrame, seed: int = 0) -> NDArray[np.int64]:
    """Return rows of at most 150 photos of each source, in order, of people drawn by the seed."""
    rng = np.random.default_rng(seed)
    sources = frame["source"].to_numpy()
    chosen = [
        rng.permutation(np.flatnonzero(sources == source))[:_PER_SOURCE]
        for source in sorted(set(sources))
    ]
    return np.sort(np.concatenate(chosen)) if chosen else np.empty(0, np.int64)


def image_statistics(frames: Pixels) -> NDArray[np.float64]:
    """Return statistics of photos that need no knowledge of faces.

    Args:
        frames: (n, height, width, 3) face crops.

    Returns:
        (n, k): colours of a coarse grid, means and deviations of colours, and how strong
        the finest details are, which resolution and compression change.
    """
    parts = np.array_split(frames, max(1, -(-len(frames) // _PART)))
    return np.concatenate([_statistics(part) for part in parts])


def _statistics(frames: Pixels) -> NDArray[np.float64]:
    step = -(-min(frames.shape[1:3]) // _LARGEST)
    values = frames[:, ::step, ::step].astype(np.float64) / 255
    n, height, width, _ = values.shape
    rows, columns = (np.arange(_GRID) * side // _GRID for side in (height, width))
    cells = np.add.reduceat(np.add.reduceat(values, rows, axis=1), columns, axis=2)
    grid = cells / (height * width / _GRID**2)
    grey = values.mean(axis=3)
    details = []
    for step in (1, 2, 4):
        for axis in (1, 2):
            change = np.abs(np.diff(grey, n=2, axis=axis)[:, ::step, ::step])
            details += [np.log(change.mean(axis=(1, 2)) + 1e-4), change.std(axis=(1, 2))]
    colours = [values.mean(axis=(1, 2)), values.std(axis=(1, 2))]
    return np.concatenate([grid.reshape(n, -1), *colours, np.stack(details, axis=1)], axis=1)


def recognised_sources(
    features: NDArray[np.float64], sources: Sequence[str], people: Sequence[str]
) -> dict[str, float]:
    """Return how well a linear classifier separates each source from the others.

    Ridge regression of each source's membership, cross-fitted over five folds of people.

    Args:
        features: (n, k) what `image_statistics` gives.
        sources: The source of each of n photos.
        people: The person of each of n photos.

    Returns:
        Source -> area under the ROC curve, .5 (chance) to 1; sources of fewer than 10 photos, and a
        single source, have none.
    """
    names = sorted(set(sources))
    labels = np.array(sources)
    large = [name for name in names if (labels == name).sum() >= _LEAST]
    if len(names) < 2:
        return {}
    groups = np.unique(np.array(people), return_inverse=True)[1]
    order = np.random.default_rng(0).permutation(groups.max() + 1)
    folds = order[groups] % _FOLDS
    truth = np.stack([labels == name for name in large], axis=1).astype(np.float64)
    scores = np.zeros_like(truth)
    for fold in range(_FOLDS):
        inside = folds == fold
        if inside.any() and not inside.all():
            scores[inside] = _ridge(features[~inside], truth[~inside], features[inside])
    return {
        name: max(0.5, _area(truth[:, place] > 0, scores[:, place]))
        for place, name in enumerate(large)
    }


def _ridge(
    known: NDArray[np.float64], truth: NDArray[np.float64], asked: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Return predictions of a ridge regression on standardised features."""
    mean, std = known.mean(axis=0), known.std(axis=0) + 1e-9
    features, new = (known - mean) / std, (asked - mean) / std
    gram = features.T @ features + _RIDGE * len(known) * np.eye(features.shape[1])
    weights = np.linalg.solve(gram, features.T @ (truth - truth.mean(axis=0)))
    predicted: NDArray[np.float64] = new @ weights
    return predicted


def _area(truth: NDArray[np.bool_], scores: NDArray[np.float64]) -> float:
    """Return the area under the ROC curve, from ranks (Mann-Whitney)."""
    positive = int(truth.sum())
    negative = len(truth) - positive
    if not positive or not negative:
        return 0.5
    ranks = rankdata(scores)[truth].sum()
    return float((ranks - positive * (positive + 1) / 2) / (positive * negative))


def find_shortcuts(
    frame: pl.DataFrame, face_crops: Callable[[NDArray[np.int64]], Crops]
) -> list[Shortcut]:
    """Return the gaps of sources that are recognisable, most easily recognised first.

    Args:
        frame: A manifest.
        face_crops: Returns the face crops of n of its rows; it is called only if a source lacks a
            class.
    """
    gaps = find_gaps(frame)
    if not gaps:
        return []
    frame = frame.with_columns(source=base_sources(frame))
    rows = sample_rows(frame)
    crops, readable = face_crops(rows)
    if not readable.any():
        return []
    sources, people = (frame[rows[readable]][name].to_list() for name in ("source", "person"))
    recognised = recognised_sources(image_statistics(crops[readable]), sources, people)
    information = {task: label_information(frame, task) for task in {gap.task for gap in gaps}}
    found = [
        Shortcut(gap, recognised[gap.source], information[gap.task])
        for gap in gaps
        if recognised.get(gap.source, 0.0) >= RECOGNISABLE
    ]
    return sorted(found, key=lambda one: (bool(one.gap.within), -one.recognised))


ADVICE: Final = (
    "A model can learn the source instead of the label. Add photos of the missing classes that "
    "look like the source, or other sources that have them; sample classes within sources evenly "
    "(train.sampling=even train.sample_by=source_age_group); crop faces in varying tightness "
    "(augment.zoom=0.35 augment.shift=0.1); and measure it: maskwise train MANIFEST "
    "--leave-source-out"
)
"""What helps against shortcuts."""
