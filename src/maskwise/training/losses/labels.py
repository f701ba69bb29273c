"""What is known of the photos of a batch, photo by photo or for parts of a mixed photo."""

from dataclasses import dataclass, replace
from typing import Self

import numpy as np
from numpy.typing import NDArray

from maskwise.data.targets import Codes
from maskwise.labels import TASKS, UNKNOWN


@dataclass(frozen=True)
class Labels:
    """m entries for n photos: an entry says what is known of a share of a photo.

    A plain photo has one entry of weight 1. A photo mixed of two has two, of their shares; so each
    loss sees whole labels, and a label that one part lacks is simply not there.
    """

    photo: NDArray[np.int64]
    """(m,) positions of the photos, 0..n-1."""
    weight: NDArray[np.float32]
    """(m,) shares of the photos; those of one photo sum to 1."""
    codes: Codes
    """Task -> (m,) codes, `UNKNOWN` where unknown."""
    ages: NDArray[np.float32]
    """(m,) years, NaN where unknown."""
    age_ranges: NDArray[np.float32]
    """(m, 2) first and last age in years, NaN where the age is known or no range is."""
    taught: NDArray[np.float32] | None = None
    """(m, 18) probabilities of a teacher, NaN where it says nothing; None: there is none."""

    @classmethod
    def of(
        cls,
        codes: Codes,
        ages: NDArray[np.float32],
        rows: NDArray[np.int64],
        taught: NDArray[np.float32] | None = None,
        age_ranges: NDArray[np.float32] | None = None,
    ) -> Self:
        """Return the labels of plain photos; all else is of all rows of a manifest."""
        return cls(
            np.arange(len(rows)),
            np.ones(len(rows), dtype=np.float32),
            {task: codes[task][rows] for task in TASKS},
            ages[rows],
            np.full((len(rows), 2), np.nan, np.float32) if age_ranges is None else age_ranges[rows],
            None if taught is None else taught[rows],
        )

    def mixed(self, others: Self, photo: NDArray[np.int64], kept: NDArray[np.float32]) -> Self:
        """Return the labels of photos of which some, `photo` (m,), keep a share `kept` (m,).

        The rest of those is of the photos that `others` (m,) are the labels of.
        """
        weight = self.weight.copy()
        weight[photo] = kept
        return replace(
            self,
            photo=np.concatenate([self.photo, photo]),
            weight=np.concatenate([weight, 1 - kept]),
            codes={task: np.concatenate([self.codes[task], others.codes[task]]) for task in TASKS},
            ages=np.concatenate([self.ages, others.ages]),
            age_ranges=np.concatenate([self.age_ranges, others.age_ranges]),
            taught=None
            if self.taught is None or others.taught is None
            else np.concatenate([self.taught, others.taught]),
        )

    def repeated(self, times: int, photos: int) -> Self:
        """Return the labels of `photos` photos that stand `times` times one after another.

        Each copy weighs its share of the photo.
        """
        if times == 1:
            return self
        copies = np.arange(times).repeat(len(self.photo)) * photos
        return replace(
            self,
            photo=np.tile(self.photo, times) + copies,
            weight=np.tile(self.weight, times) / np.float32(times),
            codes={task: np.tile(codes, times) for task, codes in self.codes.items()},
            ages=np.tile(self.ages, times),
            age_ranges=np.tile(self.age_ranges, (times, 1)),
            taught=None if self.taught is None else np.tile(self.taught, (times, 1)),
        )

    @property
    def has_age(self) -> NDArray[np.bool_]:
        """(m,): whether the age in years is known."""
        known: NDArray[np.bool_] = ~np.isnan(self.ages)
        return known

    @property
    def has_age_range(self) -> NDArray[np.bool_]:
        """(m,): whether a range of ages is known instead."""
        known: NDArray[np.bool_] = ~np.isnan(self.age_ranges[:, 0])
        return known

    @property
    def is_taught(self) -> NDArray[np.bool_]:
        """(m,): whether a teacher says something."""
        if self.taught is None:
            return np.zeros(len(self.photo), dtype=bool)
        taught: NDArray[np.bool_] = ~np.isnan(self.taught[:, 0])
        return taught

    def known(self, output: str) -> NDArray[np.bool_]:
        """Return (m,) whether a task's label is known; of 'joint', whether any is."""
        tasks = [output] if output in TASKS else list(TASKS)
        known: NDArray[np.bool_] = np.any([self.codes[t] != UNKNOWN for t in tasks], axis=0)
        return known

    def allowed(self, output: str) -> NDArray[np.bool_]:
        """Return (m, classes): whether a class of an output agrees with what is known."""
        if output in TASKS:
            return _agrees(self.codes[output], np.arange(len(TASKS[output])))
        grids = np.meshgrid(*[np.arange(len(words)) for words in TASKS.values()], indexing="ij")
        agrees = [
            _agrees(self.codes[task], grid.ravel()) for task, grid in zip(TASKS, grids, strict=True)
        ]
        allowed: NDArray[np.bool_] = np.logical_and.reduce(agrees)
        return allowed


def _agrees(codes: NDArray[np.int64], classes: NDArray[np.int64]) -> NDArray[np.bool_]:
    agrees: NDArray[np.bool_] = np.equal.outer(codes, classes) | (codes == UNKNOWN)[:, None]
    return agrees
