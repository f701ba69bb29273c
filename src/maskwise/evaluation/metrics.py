"""Scores from integer confusion matrices, each photo counted once.

A confusion matrix has the truth in its rows and the answers in its columns.
"""

from collections.abc import Callable
from typing import Final

import numpy as np
from numpy.typing import NDArray

from maskwise.labels import UNKNOWN

Confusion = NDArray[np.int64]
_BINS: Final = 15
_SHARES: Final = 20


def confusion_matrix(
    truth: NDArray[np.int64], answers: NDArray[np.int64], classes: int
) -> Confusion:
    """Count (truth, answer) pairs into (classes, classes); unknown truths are left out."""
    known = truth != UNKNOWN
    pairs = truth[known] * classes + answers[known]
    return np.bincount(pairs, minlength=classes * classes).reshape(classes, classes)


def accuracy(confusion: Confusion) -> float:
    """Return the share of right answers; 0 for no photos."""
    return float(np.trace(confusion) / max(confusion.sum(), 1))


def f1_scores(confusion: NDArray[np.number]) -> NDArray[np.float64]:
    """Return F1 per class, 2 tp / (2 tp + fp + fn); NaN for a class neither true nor answered."""
    right = np.diagonal(confusion).astype(np.float64)
    total = confusion.sum(-1) + confusion.sum(-2)
    return _ratio(2 * right, total)


def recalls(confusion: NDArray[np.number]) -> NDArray[np.float64]:
    """Return the recall per class; NaN for a class that is never true."""
    right = np.diagonal(confusion).astype(np.float64)
    return _ratio(right, confusion.sum(-1))


def _ratio(part: NDArray[np.float64], whole: NDArray[np.number]) -> NDArray[np.float64]:
    ratio = np.full(part.shape, np.nan)
    np.divide(part, whole, out=ratio, where=whole > 0)
    return ratio


def macro_f1(confusion: Confusion) -> float:
    """Return the mean F1 over the classes that are true or answered, as scikit-learn does."""
    return _mean(f1_scores(confusion))


def macro_f1_of_true(confusion: Confusion) -> float:
    """Return the mean F1 over the classes that are true.

    Within a group of people this is fairer than `macro_f1`: a single answer of another group's
    class would count there as a whole class of F1 0.
    """
    return _mean(np.where(confusion.sum(-1) > 0, f1_scores(confusion), np.nan))


def balanced_accuracy(confusion: Confusion) -> float:
    """Return the mean recall over the classes that are true."""
    return _mean(recalls(confusion))


def _mean(values: NDArray[np.float64]) -> float:
    return float(np.nanmean(values)) if np.isfinite(values).any() else 0.0


def reliability_bins(
    truth: NDArray[np.int64], probabilities: NDArray[np.floating]
) -> list[dict[str, float]]:
    """Return 15 equal bins of confidence: their edges, photos, mean confidence and accuracy."""
    known = truth != UNKNOWN
    confidence = probabilities[known].max(axis=1)
    right = probabilities[known].argmax(axis=1) == truth[known]
    place = np.minimum((confidence * _BINS).astype(int), _BINS - 1)
    bins = []
    for number in range(_BINS):
        inside = place == number
        bins.append(
            {
                "from": number / _BINS,
                "to": (number + 1) / _BINS,
                "photos": int(inside.sum()),
                "confidence": float(confidence[inside].mean()) if inside.any() else 0.0,
                "accuracy": float(right[inside].mean()) if inside.any() else 0.0,
            }
        )
    return bins


def expected_calibration_error(bins: list[dict[str, float]]) -> float:
    """Return the mean gap of confidence and accuracy, by photos (Guo et al., 2017, eq. 3)."""
    photos = sum(entry["photos"] for entry in bins)
    gaps = (entry["photos"] * abs(entry["confidence"] - entry["accuracy"]) for entry in bins)
    return float(sum(gaps) / max(photos, 1))


def risk_coverage(
    right: NDArray[np.bool_], confidence: NDArray[np.floating]
) -> list[dict[str, float]]:
    """Return what answering only the surest photos is worth, for 20 shares of them.

    Each entry has the share answered (coverage), the least confidence among these, and their
    accuracy (El-Yaniv & Wiener, 2010, 'Selective Classification', section 2). Empty for no photos.
    """
    order = np.argsort(-confidence, kind="stable")
    accuracy_so_far = np.cumsum(right[order]) / np.arange(1, len(order) + 1)
    last = [max(1, round(len(order) * step / _SHARES)) - 1 for step in range(1, _SHARES + 1)]
    return [
        {
            "coverage": (place + 1) / len(order),
            "confidence": float(confidence[order[place]]),
            "accuracy": float(accuracy_so_far[place]),
        }
        for place in last
        if len(order)
    ]


def bootstrap_interval(
    truth: NDArray[np.int64],
    answers: NDArray[np.int64],
    people: NDArray[np.int64],
    classes: int,
    score: Callable[[Confusion], float],
    samples: int = 1000,
    seed: int = 0,
) -> tuple[float, float] | None:
    """Return the 95 % percentile interval of a score, drawing people, not photos.

    `people` holds the number of each photo's person, from 0. None where no truth is known.
    """
    known = truth != UNKNOWN
    if not known.any():
        return None
    pairs = truth[known] * classes + answers[known]
    _, person = np.unique(people[known], return_inverse=True)
    count = int(person.max()) + 1
    generator = np.random.default_rng(seed)
    scores = []
    for _ in range(samples):
        times = np.bincount(generator.integers(count, size=count), minlength=count)
        drawn = np.bincount(pairs, weights=times[person], minlength=classes * classes)
        scores.append(score(drawn.astype(np.int64).reshape(classes, classes)))
    low, high = np.percentile(scores, [2.5, 97.5])
    return float(low), float(high)
