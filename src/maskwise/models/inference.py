"""Probabilities of photos from a model, batch by batch."""

from collections.abc import Iterable, Iterator
from contextlib import nullcontext
from dataclasses import dataclass
from typing import Self

import numpy as np
import torch
from numpy.typing import NDArray

from maskwise.errors import SettingsError
from maskwise.labels import NUM_CLASSES, TASKS
from maskwise.models.network import Network
from maskwise.models.outputs import (
    answered_ages,
    joint_log_probabilities,
    task_log_probabilities,
)
from maskwise.transforms.network_input import middle, network_input, to_planes
from maskwise.transforms.preprocess import Preprocess

_AMP_TYPES = {"no": None, "bf16": torch.bfloat16, "fp16": torch.float16}


@dataclass(frozen=True)
class Probabilities:
    """Probabilities of N photos, float32."""

    joint: NDArray[np.float32]
    """(N, 18) of the classes."""
    tasks: dict[str, NDArray[np.float32]]
    """'mask' (N, 3), 'gender' (N, 2), 'age_group' (N, 3)."""
    ages: NDArray[np.float32]
    """(N,) years, NaN where the model tells age groups only."""

    @classmethod
    def concatenate(cls, parts: Iterable[Self]) -> Self:
        """Join batches, in order; there must be at least one."""
        parts = list(parts)
        return cls(
            np.concatenate([part.joint for part in parts]),
            {task: np.concatenate([part.tasks[task] for part in parts]) for task in TASKS},
            np.concatenate([part.ages for part in parts]),
        )


def choose_device(name: str) -> torch.device:
    """Return the device of this name; 'auto' takes an accelerator where there is one.

    Raises:
        SettingsError: the device is not to be had.
    """
    if name == "auto":
        found = torch.accelerator.current_accelerator(check_available=True)
        return found or torch.device("cpu")
    try:
        device = torch.device(name)
        torch.zeros(1, device=device).item()
    except (RuntimeError, AssertionError, NotImplementedError) as error:
        reason = str(error).splitlines()[0]
        raise SettingsError(f"device {name!r} is not to be had: {reason}") from error
    return device


def model_probabilities(
    model: Network, batches: Iterable[torch.Tensor], preprocess: Preprocess, amp: str = "no"
) -> Iterator[Probabilities]:
    """Yield the probabilities of each batch of uint8 frames (n, height, width, 3).

    The model is used as it stands, in evaluation mode; the mode it was in is restored.
    """
    was_training = model.training
    model.eval()
    try:
        with torch.inference_mode():
            for frames in batches:
                photos = network_input(to_planes(middle(frames, preprocess.spare)), preprocess)
                with _autocast(photos.device, amp):
                    outputs = model(photos.contiguous(memory_format=torch.channels_last))
                tasks = task_log_probabilities(outputs)
                ages = answered_ages(outputs)
                yield Probabilities(
                    joint_log_probabilities(outputs).exp().cpu().numpy(),
                    {task: tasks[task].exp().cpu().numpy() for task in TASKS},
                    _unknown_ages(len(photos)) if ages is None else ages.cpu().numpy(),
                )
    finally:
        model.train(was_training)


def _autocast(device: torch.device, amp: str) -> torch.autocast | nullcontext[None]:
    dtype = _AMP_TYPES[amp]
    return nullcontext() if dtype is None else torch.autocast(device.type, dtype=dtype)


def empty_probabilities(count: int) -> Probabilities:
    """Return probabilities of `count` photos, all NaN, to be filled row by row."""
    return Probabilities(
        np.full((count, NUM_CLASSES), np.nan, dtype=np.float32),
        {task: np.full((count, len(words)), np.nan, np.float32) for task, words in TASKS.items()},
        _unknown_ages(count),
    )


def _unknown_ages(count: int) -> NDArray[np.float32]:
    return np.full(count, np.nan, dtype=np.float32)


def expected_ages(answers: Probabilities, mean_ages: tuple[float, ...]) -> NDArray[np.float64]:
    """Return ages in years (N,): those that the model tells, else from its age groups.

    The latter are as coarse as the groups: the mean training ages of the groups, `mean_ages` (3,),
    weighed by probability.
    """
    coarse = answers.tasks["age_group"].astype(np.float64) @ np.array(mean_ages)
    ages: NDArray[np.float64] = np.where(np.isnan(answers.ages), coarse, answers.ages)
    return ages
