"""Probabilities of photos: of the 18 classes, and of each task."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.typing import NDArray

from maskwise.labels import NUM_CLASSES, TASKS

Tasks = dict[str, NDArray[np.float32]]


@dataclass(frozen=True)
class Probabilities:
    """Probabilities of N photos, float32."""

    joint: NDArray[np.float32]
    """(N, 18) of the classes."""
    tasks: Tasks
    """'mask' (N, 3), 'gender' (N, 2), 'age_group' (N, 3)."""
    ages: NDArray[np.float32]
    """(N,) years, NaN where the model tells age groups only."""

    def __len__(self) -> int:
        """Return N."""
        return len(self.joint)

    def take(self, rows: NDArray[np.int64]) -> Self:
        """Return the probabilities of some photos, by position."""
        tasks = {task: values[rows] for task, values in self.tasks.items()}
        return type(self)(self.joint[rows], tasks, self.ages[rows])

    @classmethod
    def concatenate(cls, parts: Iterable[Self]) -> Self:
        """Join batches, in order; there must be at least one."""
        parts = list(parts)
        return cls(
            np.concatenate([part.joint for part in parts]),
            {task: np.concatenate([part.tasks[task] for part in parts]) for task in TASKS},
            np.concatenate([part.ages for part in parts]),
        )

    @classmethod
    def of_joint(cls, joint: NDArray[np.floating]) -> Self:
        """Return the probabilities whose classes have `joint` (N, 18); ages are unknown."""
        joint = joint.astype(np.float32)
        return cls(joint, task_sums(joint), unknown_ages(len(joint)))

    @classmethod
    def of_tasks(cls, tasks: Tasks) -> Self:
        """Return the probabilities whose tasks have these, as if independent; ages are unknown."""
        joint = task_product(tasks)
        return cls(joint, tasks, unknown_ages(len(joint)))


def task_sums(joint: NDArray[np.float32]) -> Tasks:
    """Return the tasks' probabilities in those of the classes (N, 18)."""
    cube = joint.reshape(-1, *[len(words) for words in TASKS.values()])
    axes = (1, 2, 3)
    return {
        task: cube.sum(axis=tuple(axis for axis in axes if axis != place + 1))
        for place, task in enumerate(TASKS)
    }


def task_product(tasks: Tasks) -> NDArray[np.float32]:
    """Return probabilities of the classes (N, 18) as if the tasks were independent."""
    mask, gender, age = (tasks[task] for task in TASKS)
    joint: NDArray[np.float32] = np.einsum("na,nb,nc->nabc", mask, gender, age)
    return joint.reshape(-1, NUM_CLASSES)


def empty_probabilities(count: int) -> Probabilities:
    """Return probabilities of `count` photos, all NaN, to be filled row by row."""
    return Probabilities(
        np.full((count, NUM_CLASSES), np.nan, dtype=np.float32),
        {task: np.full((count, len(words)), np.nan, np.float32) for task, words in TASKS.items()},
        unknown_ages(count),
    )


def unknown_ages(count: int) -> NDArray[np.float32]:
    """Return (count,) NaN."""
    return np.full(count, np.nan, dtype=np.float32)


def expected_ages(answers: Probabilities, mean_ages: Sequence[float]) -> NDArray[np.float64]:
    """Return ages in years (N,): those that the model tells, else from its age groups.

    The latter are as coarse as the groups: the mean training ages of the groups, `mean_ages` (3,),
    weighed by probability.
    """
    coarse = answers.tasks["age_group"].astype(np.float64) @ np.array(mean_ages)
    ages: NDArray[np.float64] = np.where(np.isnan(answers.ages), coarse, answers.ages)
    return ages
