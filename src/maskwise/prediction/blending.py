"""Finds how members should vote, on photos of people that none of them was trained on."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize
from scipy.special import softmax

from maskwise.data.targets import Codes, class_codes
from maskwise.errors import SettingsError
from maskwise.evaluation.metrics import confusion_matrix, macro_f1
from maskwise.labels import NUM_CLASSES, TASKS, UNKNOWN
from maskwise.models.probabilities import Probabilities
from maskwise.models.votes import How, StackedTask, Vote, count_votes, equal_vote, stack_features

Find = Literal["equal", "greedy", "loss", "tasks"]
_ROUNDS: Final = 30
"""Of greedy selection."""
_LEAST: Final = 1e-6
_FOLDS: Final = 5
_STACK_STRENGTH: Final = 0.1
"""Inverse of the penalty on a stack's weights: its features are few, and alike."""


@dataclass(frozen=True)
class Known:
    """What members say of photos whose labels are known, and that they were not trained on."""

    members: Sequence[Probabilities]
    answered: Sequence[Sequence[str]]
    """Tasks that each member answers."""
    codes: Codes
    people: NDArray[np.int64]
    """(N,) number of each photo's person."""

    def take(self, rows: NDArray[np.int64]) -> "Known":
        """Return the part that is about some photos."""
        return Known(
            [member.take(rows) for member in self.members],
            self.answered,
            {task: codes[rows] for task, codes in self.codes.items()},
            self.people[rows],
        )

    @property
    def truth(self) -> NDArray[np.int64]:
        """Classes 0..17 (N,), `UNKNOWN` where a label is."""
        return class_codes(self.codes)


def find_vote(known: Known, how: How, find: Find) -> Vote:
    """Return the vote of a kind whose weights suit these photos best.

    equal: alike; greedy: members are taken one after another, again where that helps, each time
    the one that lifts macro-F1 most (Caruana et al., 2004, 'Ensemble Selection', section 2.1);
    loss: the weights of least cross-entropy; tasks: likewise for each task apart.

    Raises:
        SettingsError: greedy selection or one set of weights is asked of members that do not all
            answer all tasks.
    """
    if how == "stack":
        stack = {task: _stacked_task(known, task) for task in TASKS}
        equal = equal_vote(known.answered)
        return Vote(how="stack", weights=equal.weights, stack=stack)
    if find in ("greedy", "loss") and any(len(tasks) < len(TASKS) for tasks in known.answered):
        raise SettingsError(
            f"--weights {find} needs members that answer all tasks; take equal or tasks"
        )
    if find == "equal":
        return equal_vote(known.answered, how)
    if find == "greedy":
        chosen = _greedy(known, how)
        return Vote(how=how, weights={task: tuple(chosen) for task in TASKS})
    if find == "loss":
        joint = [member.joint for member in known.members]
        weights = _least_loss(joint, known.truth)
        return Vote(how=how, weights={task: tuple(weights) for task in TASKS})
    return Vote(how=how, weights={task: _task_weights(known, task) for task in TASKS})


def score(found: Probabilities, truth: NDArray[np.int64]) -> float:
    """Return macro-F1 over the 18 classes, of photos whose class is known."""
    return macro_f1(confusion_matrix(truth, found.joint.argmax(axis=1), NUM_CLASSES))


def crossed_answers(known: Known, find: Callable[[Known], Vote], seed: int = 0) -> Probabilities:
    """Return what a way to find a vote answers: found on some people, counted for others.

    Each of five groups of people is answered by the vote that was found on the other four.
    """
    groups = group_people(known.people, seed)
    rows, parts = [], []
    for group in np.unique(groups):
        inside = np.flatnonzero(groups == group)
        vote = find(known.take(np.flatnonzero(groups != group)))
        rows.append(inside)
        parts.append(count_votes([member.take(inside) for member in known.members], vote))
    return Probabilities.concatenate(parts).take(np.argsort(np.concatenate(rows)))


def group_people(people: NDArray[np.int64], seed: int = 0) -> NDArray[np.int64]:
    """Return (N,) one of five groups of each photo's person, at random."""
    generator = np.random.default_rng(seed)
    groups: NDArray[np.int64] = generator.integers(_FOLDS, size=int(people.max()) + 1)[people]
    return groups


def _greedy(known: Known, how: Literal["soft", "hard"]) -> list[float]:
    """Return how often each member was taken by the round with the best score."""
    members = list(known.members)
    if how == "hard":
        members = [_hardened(member) for member in members]
    truth = known.truth
    total = np.zeros_like(members[0].joint, dtype=np.float64)
    taken: list[int] = []
    best: tuple[float, int] = (-1.0, 0)
    for _ in range(_ROUNDS):
        scores = [
            macro_f1(confusion_matrix(truth, (total + m.joint).argmax(axis=1), NUM_CLASSES))
            for m in members
        ]
        chosen = int(np.argmax(scores))
        taken.append(chosen)
        total += members[chosen].joint
        if scores[chosen] > best[0]:
            best = (scores[chosen], len(taken))
    counts = np.bincount(taken[: best[1]], minlength=len(members))
    return [float(count) for count in counts]


def _hardened(member: Probabilities) -> Probabilities:
    return count_votes([member], equal_vote([tuple(TASKS)], "hard"))


def _task_weights(known: Known, task: str) -> tuple[float, ...]:
    answering = [number for number, tasks in enumerate(known.answered) if task in tasks]
    values = [known.members[number].tasks[task] for number in answering]
    weights = np.zeros(len(known.members))
    weights[answering] = _least_loss(values, known.codes[task])
    return tuple(weights.tolist())


def _least_loss(members: Sequence[NDArray[np.float32]], truth: NDArray[np.int64]) -> list[float]:
    """Return weights (members,), summing to 1, whose mean has the least cross-entropy.

    The loss is convex in the weights, which are the softmax of what is searched.
    """
    rows = np.flatnonzero(truth != UNKNOWN)
    right = np.stack([values[rows, truth[rows]] for values in members]).astype(np.float64)

    def loss(scores: NDArray[np.float64]) -> tuple[float, NDArray[np.float64]]:
        weights = softmax(scores)
        mean = (weights @ right).clip(min=_LEAST)
        slope = -(right / mean).mean(axis=1)
        return float(-np.log(mean).mean()), weights * (slope - weights @ slope)

    found = minimize(loss, np.zeros(len(members)), jac=True, method="L-BFGS-B")
    return [float(weight) for weight in softmax(found.x)]


def _stacked_task(known: Known, task: str) -> StackedTask:
    """Return a multinomial logistic regression over what members say (Wolpert, 1992)."""
    from sklearn.linear_model import LogisticRegression

    truth = known.codes[task]
    rows = np.flatnonzero(truth != UNKNOWN)
    absent = sorted(set(range(len(TASKS[task]))) - set(truth[rows].tolist()))
    if absent:
        words = ", ".join(TASKS[task][code] for code in absent)
        raise SettingsError(
            f"a stack needs photos of every {task}, whichever fifth of the people is left out to "
            f"score it; there are none of {words}"
        )
    model = LogisticRegression(C=_STACK_STRENGTH, max_iter=2000)
    model.fit(stack_features(known.members)[rows], truth[rows])
    weights, bias = model.coef_, model.intercept_
    if len(weights) == 1:  # of two classes it tells the second one's scores only
        weights, bias = np.vstack([-weights, weights]) / 2, np.concatenate([-bias, bias]) / 2
    return StackedTask(weights=tuple(map(tuple, weights.tolist())), bias=tuple(bias.tolist()))


def diversity(known: Known, names: Sequence[str]) -> list[dict[str, Any]]:
    """Return for each pair of members how often they differ, and how alike their errors are.

    `disagreement` is the share of photos with different answers, `both_wrong` that of photos that
    both answer wrongly, `correlation` that of being right (Kuncheva & Whitaker, 2003, rho).
    """
    truth = known.truth
    rows = np.flatnonzero(truth != UNKNOWN)
    answers = [member.joint[rows].argmax(axis=1) for member in known.members]
    right = [answer == truth[rows] for answer in answers]
    pairs = []
    for first in range(len(names)):
        for second in range(first + 1, len(names)):
            a, b = right[first], right[second]
            spread = float(a.std() * b.std())
            both = float((a & b).mean() - a.mean() * b.mean())
            pairs.append(
                {
                    "first": names[first],
                    "second": names[second],
                    "disagreement": float((answers[first] != answers[second]).mean()),
                    "both_wrong": float((~a & ~b).mean()),
                    "correlation": both / spread if spread else None,
                }
            )
    return pairs
