"""How several models' probabilities become one answer."""

from collections.abc import Iterator, Sequence
from typing import Annotated, Final, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from maskwise.config.base import NotNegative, Section
from maskwise.labels import TASKS
from maskwise.models.probabilities import Probabilities, Tasks, task_product

How = Literal["soft", "hard", "stack"]
TIES: Final = 1e-3
"""Share that the mean probabilities have in a hard vote: they part members that are even."""
_LEAST: Final = 1e-6
"""What probabilities are raised to before their logarithm is taken."""


class StackedTask(Section):
    """A linear model of a task's classes over what all members say."""

    weights: tuple[tuple[float, ...], ...]
    """(classes, 8 x members): over the members' log probabilities of all tasks."""
    bias: tuple[float, ...]
    """(classes,)"""


class Vote(Section):
    """How members are counted."""

    how: How = "soft"
    """soft: mean of probabilities; hard: of answers; stack: linear models over probabilities."""
    weights: dict[str, Annotated[tuple[NotNegative, ...], Field(min_length=1)]]
    """Task -> weight of each member; of any sum."""
    stack: dict[str, StackedTask] = Field(default_factory=dict)
    """Task -> its model, of a stack."""

    def problems(self) -> Iterator[str]:
        """Yield what cannot stand together."""
        if set(self.weights) != set(TASKS):
            yield f"weights: expected {', '.join(TASKS)}, found {', '.join(self.weights)}"
            return
        counts = {len(weights) for weights in self.weights.values()}
        if len(counts) > 1:
            yield f"weights of {' and '.join(map(str, sorted(counts)))} members"
        for task, weights in self.weights.items():
            if not any(weights):
                yield f"weights: nobody answers {task}"
        if (self.how == "stack") != bool(self.stack):
            yield "stack: its models belong to how=stack, and only there"
        if self.stack:
            yield from self._stack_problems()

    def _stack_problems(self) -> Iterator[str]:
        features = len(self.weights["mask"]) * sum(len(words) for words in TASKS.values())
        for task, words in TASKS.items():
            model = self.stack.get(task)
            if model is None:
                yield f"stack: there is no model of {task}"
                continue
            shape = (len(model.weights), *{len(row) for row in model.weights})
            if shape != (len(words), features) or len(model.bias) != len(words):
                yield f"stack: the model of {task} is {shape}, expected {(len(words), features)}"

    @property
    def alike(self) -> bool:
        """Whether each member counts the same for all tasks."""
        shares = [self.shares(task) for task in TASKS]
        return all(np.allclose(share, shares[0]) for share in shares)

    def shares(self, task: str) -> NDArray[np.float64]:
        """Return the weights (members,) of a task, summing to 1."""
        weights = np.array(self.weights[task], dtype=np.float64)
        shares: NDArray[np.float64] = weights / weights.sum()
        return shares


def equal_vote(members: Sequence[Sequence[str]], how: How = "soft") -> Vote:
    """Return the vote in which members that answer these tasks count alike.

    Raises:
        ValueError: nobody answers a task.
    """
    weights = {task: tuple(float(task in tasks) for tasks in members) for task in TASKS}
    return Vote(how=how, weights=weights)


def count_votes(members: Sequence[Probabilities], vote: Vote) -> Probabilities:
    """Return the probabilities that members, each of the same N photos, come to.

    Where members count alike for all tasks, the classes' probabilities are the mean of theirs;
    else the product of the tasks'. Those of a hard vote are the shares of the votes.
    """
    ages = _mean_ages(members, vote)
    if vote.how == "stack":
        tasks = {task: _stacked(members, vote.stack[task]) for task in TASKS}
        return Probabilities(task_product(tasks), tasks, ages)
    soft = _mean(members, vote, ages)
    if vote.how == "soft":
        return soft
    hard = _mean([_answers(member) for member in members], vote, ages)
    return Probabilities(
        _parted(hard.joint, soft.joint),
        {task: _parted(hard.tasks[task], soft.tasks[task]) for task in TASKS},
        ages,
    )


def _parted(votes: NDArray[np.float32], means: NDArray[np.float32]) -> NDArray[np.float32]:
    return ((1 - TIES) * votes + TIES * means).astype(np.float32)


def _mean(members: Sequence[Probabilities], vote: Vote, ages: NDArray[np.float32]) -> Probabilities:
    tasks: Tasks = {
        task: np.einsum(
            "m,mnc->nc", vote.shares(task), np.stack([member.tasks[task] for member in members])
        ).astype(np.float32)
        for task in TASKS
    }
    if not vote.alike:
        return Probabilities(task_product(tasks), tasks, ages)
    joint = np.einsum("m,mnc->nc", vote.shares("mask"), np.stack([m.joint for m in members]))
    return Probabilities(joint.astype(np.float32), tasks, ages)


def _answers(member: Probabilities) -> Probabilities:
    """Return a member's answers as probabilities of 0 and 1."""
    tasks = {task: _one_hot(values) for task, values in member.tasks.items()}
    return Probabilities(_one_hot(member.joint), tasks, member.ages)


def _one_hot(values: NDArray[np.float32]) -> NDArray[np.float32]:
    hot: NDArray[np.float32] = np.eye(values.shape[1], dtype=np.float32)[values.argmax(axis=1)]
    return hot


def _mean_ages(members: Sequence[Probabilities], vote: Vote) -> NDArray[np.float32]:
    """Return the mean age (N,) of the members that tell one; NaN where none does."""
    ages = np.stack([member.ages for member in members])
    weights = np.where(np.isnan(ages), 0.0, vote.shares("age_group")[:, None])
    total = weights.sum(axis=0)
    told = (np.nan_to_num(ages) * weights).sum(axis=0)
    return np.where(total > 0, told / np.where(total > 0, total, 1), np.nan).astype(np.float32)


def stack_features(members: Sequence[Probabilities]) -> NDArray[np.float64]:
    """Return what a stack sees: (N, 8 x members) log probabilities of all tasks."""
    columns = [member.tasks[task] for member in members for task in TASKS]
    values: NDArray[np.float64] = np.concatenate(columns, axis=1).astype(np.float64)
    logs: NDArray[np.float64] = np.log(values.clip(min=_LEAST))
    return logs


def _stacked(members: Sequence[Probabilities], model: StackedTask) -> NDArray[np.float32]:
    scores = stack_features(members) @ np.array(model.weights).T + np.array(model.bias)
    from scipy.special import softmax  # slow to import, and stacks alone need it

    shares: NDArray[np.float32] = softmax(scores, axis=1).astype(np.float32)
    return shares
