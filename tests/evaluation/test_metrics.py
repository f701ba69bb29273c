"""Metrics against scikit-learn, and what happens at the edges."""

import numpy as np
import pytest
from sklearn import metrics as reference

from maskwise.evaluation.metrics import (
    accuracy,
    balanced_accuracy,
    bootstrap_interval,
    confusion_matrix,
    expected_calibration_error,
    f1_scores,
    macro_f1,
    macro_f1_of_true,
    recalls,
    reliability_bins,
)
from maskwise.labels import UNKNOWN


def draws(classes: int, count: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    generator = np.random.default_rng(seed)
    truth = generator.integers(0, classes, count)
    answers = np.where(generator.random(count) < 0.6, truth, generator.integers(0, classes, count))
    return truth, answers


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize(("classes", "count"), [(3, 200), (18, 300), (18, 25), (2, 7)])
@pytest.mark.filterwarnings("ignore:y_pred contains classes not in y_true")
def test_scores_equal_scikit_learn(classes: int, count: int, seed: int) -> None:
    truth, answers = draws(classes, count, seed)
    confusion = confusion_matrix(truth, answers, classes)
    assert (confusion == reference.confusion_matrix(truth, answers, labels=range(classes))).all()
    assert accuracy(confusion) == pytest.approx(reference.accuracy_score(truth, answers))
    assert macro_f1(confusion) == pytest.approx(reference.f1_score(truth, answers, average="macro"))
    assert balanced_accuracy(confusion) == pytest.approx(
        reference.balanced_accuracy_score(truth, answers)
    )


def test_absent_classes_are_left_out_and_unknown_truths_are_not_counted() -> None:
    truth = np.array([0, 0, 1, UNKNOWN])
    confusion = confusion_matrix(truth, np.array([0, 1, 1, 2]), 4)
    assert confusion.sum() == 3
    assert np.isnan(f1_scores(confusion)[2:]).all()
    assert np.isnan(recalls(confusion)[2:]).all()
    assert macro_f1(confusion) == pytest.approx(2 / 3)
    assert balanced_accuracy(confusion) == pytest.approx(0.75)


def test_no_known_truth_scores_zero() -> None:
    confusion = confusion_matrix(np.array([UNKNOWN]), np.array([1]), 3)
    assert (accuracy(confusion), macro_f1(confusion), balanced_accuracy(confusion)) == (0, 0, 0)


def test_calibration_error_of_a_worked_case() -> None:
    # two photos at .9, one right: gap .4; two at .6, both right: gap .4
    p = np.array([[0.9, 0.1], [0.9, 0.1], [0.6, 0.4], [0.6, 0.4]])
    bins = reliability_bins(np.array([0, 1, 0, 0]), p)
    assert sum(entry["photos"] for entry in bins) == 4
    assert expected_calibration_error(bins) == pytest.approx(0.4)


def test_confidence_of_one_falls_into_the_last_bin() -> None:
    bins = reliability_bins(np.array([0]), np.array([[1.0, 0.0]]))
    assert bins[-1]["photos"] == 1
    assert expected_calibration_error(bins) == 0


def test_interval_draws_people_not_photos() -> None:
    """Ten people of 50 equal photos are ten observations: the interval must be wide."""
    people = np.repeat(np.arange(10), 50)
    truth = np.zeros(500, dtype=np.int64)
    answers = np.where(people < 7, 0, 1)
    low, high = bootstrap_interval(truth, answers, people, 2, accuracy) or (0, 0)
    assert low < 0.5 < 0.7 < 0.9 <= high
    each = bootstrap_interval(truth, answers, np.arange(500), 2, accuracy) or (0, 0)
    assert each[1] - each[0] < 0.1
    assert bootstrap_interval(truth - 1, answers, people, 2, accuracy) is None


def test_group_scores_leave_out_classes_that_are_only_answered() -> None:
    confusion = confusion_matrix(np.array([0, 0, 0, 1]), np.array([0, 0, 2, 1]), 3)
    assert macro_f1(confusion) == pytest.approx((0.8 + 1 + 0) / 3)
    assert macro_f1_of_true(confusion) == pytest.approx((0.8 + 1) / 2)
