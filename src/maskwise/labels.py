"""The three labels of a face and the 18 classes that they make.

A class is ``mask * 6 + gender * 3 + age_group``, from 0 (worn, male, under 30) to
17 (not worn, female, 60 and over). In files labels are words; in arrays they are codes,
with `UNKNOWN` (-1) for a label that nobody knows.
"""

from collections.abc import Sequence
from enum import StrEnum
from typing import Final

import numpy as np
from numpy.typing import NDArray

UNKNOWN: Final = -1
NUM_CLASSES: Final = 18


class MaskState(StrEnum):
    """How the mask is worn; the position in the enumeration is the code."""

    WEAR = "wear"
    INCORRECT = "incorrect"
    NOT_WEAR = "not_wear"


class Gender(StrEnum):
    """Gender as labelled in the data; the position is the code."""

    MALE = "male"
    FEMALE = "female"


class AgeGroup(StrEnum):
    """Age group between the task's boundaries; the position is the code."""

    YOUNG = "young"
    MIDDLE = "middle"
    OLD = "old"


TASKS: Final[dict[str, tuple[str, ...]]] = {
    "mask": tuple(MaskState),
    "gender": tuple(Gender),
    "age_group": tuple(AgeGroup),
}
"""Task name -> its words, in the order of their codes."""

TASK_BOUNDARIES: Final = (30, 60)
"""First age of the middle group and first age of the old group, as the task scores them."""


def code_of(task: str, word: str | None) -> int:
    """Return the code of a word, or `UNKNOWN` for None.

    Raises:
        ValueError: the word is none of the task's.
    """
    if word is None:
        return UNKNOWN
    if word not in TASKS[task]:
        raise ValueError(f"{word!r} is none of {', '.join(TASKS[task])}")
    return TASKS[task].index(word)


def age_group_of(age: float, boundaries: Sequence[int] = TASK_BOUNDARIES) -> AgeGroup:
    """Return the group of an age in years; an age on a boundary belongs to the older group."""
    return tuple(AgeGroup)[sum(age >= boundary for boundary in boundaries)]


def age_group_text(group: str, boundaries: Sequence[int] = TASK_BOUNDARIES) -> str:
    """Return a group as people say it: 'under 30', '30 to 59', '60 and over'."""
    low, high = boundaries
    texts = (f"under {low}", f"{low} to {high - 1}", f"{high} and over")
    return texts[TASKS["age_group"].index(group)]


def encode_class(
    mask: NDArray[np.int64], gender: NDArray[np.int64], age_group: NDArray[np.int64]
) -> NDArray[np.int64]:
    """Combine codes into classes 0..17; `UNKNOWN` where any of the three is unknown."""
    known = (mask >= 0) & (gender >= 0) & (age_group >= 0)
    return np.where(known, mask * 6 + gender * 3 + age_group, UNKNOWN)


def decode_class(classes: NDArray[np.int64]) -> dict[str, NDArray[np.int64]]:
    """Split classes 0..17 into the codes of the three tasks (inverse of `encode_class`)."""
    return {"mask": classes // 6, "gender": classes // 3 % 2, "age_group": classes % 3}


def class_names(boundaries: Sequence[int] = TASK_BOUNDARIES) -> list[str]:
    """Return the 18 class names in order, such as 'wear, male, under 30'."""
    return [
        f"{mask.replace('_', ' ')}, {gender}, {age_group_text(group, boundaries)}"
        for mask in TASKS["mask"]
        for gender in TASKS["gender"]
        for group in TASKS["age_group"]
    ]
