"""Finds how probabilities become answers, on photos of people that the model was not trained on."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize_scalar

from maskwise.data.targets import Codes, class_codes
from maskwise.errors import SettingsError
from maskwise.evaluation.metrics import (
    accuracy,
    confusion_matrix,
    expected_calibration_error,
    macro_f1,
    reliability_bins,
)
from maskwise.labels import NUM_CLASSES, TASKS, UNKNOWN
from maskwise.models.decision import Decision, Rule
from maskwise.models.probabilities import Probabilities
from maskwise.prediction.blending import group_people

_LEAST: Final = 1e-12
_WIDEST: Final = 10.0
"""Temperatures are looked for between this and its inverse."""
_STEPS: Final = np.exp(np.linspace(-1.2, 1.2, 25))
"""What a class's factor is tried as."""
_PASSES: Final = 3


@dataclass(frozen=True)
class Wanted:
    """What shall be found."""

    temperatures: bool = False
    thresholds: bool = False
    """Factors of the classes, for macro-F1."""
    rule: Rule = "joint"
    shares: tuple[float, ...] = ()
    """(18,) shares of the classes where the model is used, or none."""
    unsure_below: float = 0.0


@dataclass(frozen=True)
class Labelled:
    """Probabilities of photos whose labels are known."""

    found: Probabilities
    codes: Codes
    people: NDArray[np.int64]

    def take(self, rows: NDArray[np.int64]) -> "Labelled":
        """Return the part that is about some photos."""
        codes = {task: values[rows] for task, values in self.codes.items()}
        return Labelled(self.found.take(rows), codes, self.people[rows])


def check_wanted(rule: Rule, thresholds: bool) -> None:
    """Check that what shall be found goes together, before photos are answered.

    Raises:
        SettingsError: it does not.
    """
    if thresholds and rule == "tasks":
        raise SettingsError("--thresholds weigh the 18 classes: leave --rule at joint")


def find_decision(data: Labelled, wanted: Wanted) -> Decision:
    """Return the decision that suits these photos best.

    Temperatures have the least cross-entropy of each task (Guo et al., 2017, section 4.2). A prior
    is the wanted share of each class over its share here. Factors are found class after class, each
    the one with the best macro-F1 (Fan & Lin, 2007, cyclic optimization, for F-measures).
    """
    temperatures = dict.fromkeys(TASKS, 1.0)
    if wanted.temperatures:
        temperatures = {task: _temperature(data, task) for task in TASKS}
    decision = Decision(
        temperatures=temperatures,
        prior=_prior(data, wanted.shares) if wanted.shares else (),
        rule=wanted.rule,
        unsure_below=wanted.unsure_below,
    )
    if not wanted.thresholds:
        return decision
    factors = _factors(decision.calibrated(data.found), class_codes(data.codes))
    return decision.model_copy(update={"factors": factors})


def _temperature(data: Labelled, task: str) -> float:
    truth = data.codes[task]
    rows = np.flatnonzero(truth != UNKNOWN)
    if not len(rows):
        return 1.0
    logs = np.log(data.found.tasks[task][rows].astype(np.float64).clip(min=_LEAST))

    def loss(log_temperature: float) -> float:
        scores = logs / np.exp(log_temperature)
        scores -= np.log(np.exp(scores).sum(axis=1, keepdims=True))
        return float(-scores[np.arange(len(rows)), truth[rows]].mean())

    limit = float(np.log(_WIDEST))
    return float(np.exp(minimize_scalar(loss, bounds=(-limit, limit), method="bounded").x))


def _prior(data: Labelled, shares: tuple[float, ...]) -> tuple[float, ...]:
    truth = class_codes(data.codes)
    # one photo more of each class, as some may be rare
    here = np.bincount(truth[truth != UNKNOWN], minlength=NUM_CLASSES) + 1
    factors = np.array(shares) / (here / here.sum())
    return tuple((factors / factors.mean()).tolist())


def _factors(found: Probabilities, truth: NDArray[np.int64]) -> tuple[float, ...]:
    rows = np.flatnonzero(truth != UNKNOWN)
    joint, known = found.joint[rows].astype(np.float64), truth[rows]
    factors = np.ones(NUM_CLASSES)
    best = _macro_f1(joint * factors, known)
    for _ in range(_PASSES):
        before = best
        for number in range(NUM_CLASSES):
            tried = np.repeat(factors[None], len(_STEPS), axis=0)
            tried[:, number] *= _STEPS
            scores = [_macro_f1(joint * row, known) for row in tried]
            place = int(np.argmax(scores))
            if scores[place] > best:
                best, factors = scores[place], tried[place]
        if best == before:
            break
    return tuple((factors / factors.mean()).tolist())


def _macro_f1(scores: NDArray[np.float64], truth: NDArray[np.int64]) -> float:
    return macro_f1(confusion_matrix(truth, scores.argmax(axis=1), NUM_CLASSES))


def decision_figures(data: Labelled, decision: Decision) -> dict[str, Any]:
    """Return what a decision is worth: macro-F1, and the calibration error of each task."""
    found = decision.calibrated(data.found)
    return _figures(found, decision.classes(found), data.codes)


def crossed_figures(data: Labelled, find: Callable[[Labelled], Decision]) -> dict[str, Any]:
    """Return these figures of decisions that were found on other people than they answer."""
    groups = group_people(data.people)
    order, parts, classes = [], [], []
    for group in np.unique(groups):
        inside = np.flatnonzero(groups == group)
        decision = find(data.take(np.flatnonzero(groups != group)))
        found = decision.calibrated(data.found.take(inside))
        order.append(inside)
        parts.append(found)
        classes.append(decision.classes(found))
    rows = np.concatenate(order)
    codes = {task: values[rows] for task, values in data.codes.items()}
    return _figures(Probabilities.concatenate(parts), np.concatenate(classes), codes)


def _figures(found: Probabilities, classes: NDArray[np.int64], codes: Codes) -> dict[str, Any]:
    confusion = confusion_matrix(class_codes(codes), classes, NUM_CLASSES)
    return {
        "macro_f1": macro_f1(confusion),
        "accuracy": accuracy(confusion),
        "calibration_error": {
            task: expected_calibration_error(reliability_bins(codes[task], found.tasks[task]))
            for task in TASKS
        },
    }
