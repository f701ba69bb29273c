"""From probabilities to answers: calibration, other shares of classes, thresholds, and doubt."""

from collections.abc import Iterator
from dataclasses import replace
from typing import Final, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from maskwise.config.base import Positive, Section, Share
from maskwise.labels import NUM_CLASSES, TASKS, encode_class
from maskwise.models.probabilities import Probabilities, task_sums

_LEAST: Final = 1e-12

Rule = Literal["joint", "tasks"]


class Decision(Section):
    """How a model's probabilities become answers; it is kept with the model."""

    temperatures: dict[str, Positive] = Field(default_factory=lambda: dict.fromkeys(TASKS, 1.0))
    """Task -> temperature: above 1 makes probabilities less sure (Guo et al., 2017)."""
    prior: tuple[Positive, ...] = ()
    """(18,) or none: how much more often a class comes where the model is used than in training."""
    rule: Rule = "joint"
    """joint: the likeliest class; tasks: the likeliest word of each task."""
    factors: tuple[Positive, ...] = ()
    """(18,) or none: what classes are multiplied with before the likeliest is taken."""
    unsure_below: Share = 0.0
    """An answer whose class has a smaller probability is called unsure."""

    def problems(self) -> Iterator[str]:
        """Yield what cannot stand together."""
        if set(self.temperatures) != set(TASKS):
            yield f"temperatures: expected {', '.join(TASKS)}"
        for name in ("prior", "factors"):
            count = len(getattr(self, name))
            if count not in (0, NUM_CLASSES):
                yield f"{name}: expected {NUM_CLASSES} numbers, found {count}"
        if self.factors and self.rule == "tasks":
            yield "factors are of the 18 classes: rule=joint"

    def calibrated(self, raw: Probabilities) -> Probabilities:
        """Return probabilities at the temperatures and for the shares of classes that are set.

        Each task's p becomes p^(1/T), scaled to sum to 1; classes follow their tasks. With a prior
        each class is multiplied by its factor (Saerens, Latinne & Decaestecker, 2002, equation 4).
        """
        found = raw
        if any(self.temperatures[task] != 1 for task in TASKS):
            tasks = {
                task: _tempered(values, self.temperatures[task])
                for task, values in raw.tasks.items()
            }
            found = replace(raw, tasks=tasks, joint=_followed(raw, tasks))
        if self.prior:
            joint = _scaled(found.joint * np.array(self.prior, dtype=np.float32))
            found = replace(found, joint=joint, tasks=task_sums(joint))
        return found

    def classes(self, calibrated: Probabilities) -> NDArray[np.int64]:
        """Return the answered classes 0..17 (N,) of calibrated probabilities."""
        if self.rule == "tasks":
            codes = {task: calibrated.tasks[task].argmax(axis=1) for task in TASKS}
            return encode_class(codes["mask"], codes["gender"], codes["age_group"])
        joint = calibrated.joint
        if self.factors:
            joint = joint * np.array(self.factors, dtype=np.float32)
        answers: NDArray[np.int64] = joint.argmax(axis=1)
        return answers

    def unsure(self, calibrated: Probabilities) -> NDArray[np.bool_]:
        """Return (N,) whether the answered class has a probability below the one set."""
        rows = np.arange(len(calibrated))
        doubt: NDArray[np.bool_] = (
            calibrated.joint[rows, self.classes(calibrated)] < self.unsure_below
        )
        return doubt


def _tempered(values: NDArray[np.float32], temperature: float) -> NDArray[np.float32]:
    return _scaled(values.clip(min=_LEAST) ** np.float32(1 / temperature))


def _followed(raw: Probabilities, tasks: dict[str, NDArray[np.float32]]) -> NDArray[np.float32]:
    """Return classes (N, 18) multiplied by how their tasks' probabilities have changed."""
    cube = raw.joint.reshape(-1, *[len(words) for words in TASKS.values()]).copy()
    for axis, task in enumerate(TASKS):
        change = tasks[task] / raw.tasks[task].clip(min=_LEAST)
        shape = [len(change), 1, 1, 1]
        shape[axis + 1] = change.shape[1]
        cube *= change.reshape(shape)
    return _scaled(cube.reshape(-1, NUM_CLASSES))


def _scaled(values: NDArray[np.float32]) -> NDArray[np.float32]:
    scaled: NDArray[np.float32] = values / values.sum(axis=1, keepdims=True)
    return scaled
