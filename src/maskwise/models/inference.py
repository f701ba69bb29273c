"""Probabilities of photos from a model, batch by batch."""

from collections.abc import Iterable, Iterator
from contextlib import nullcontext

import numpy as np
import torch

from maskwise.data.frames import FrameSource
from maskwise.errors import SettingsError
from maskwise.labels import TASKS
from maskwise.models.network import Network
from maskwise.models.outputs import (
    answered_ages,
    joint_log_probabilities,
    task_log_probabilities,
)
from maskwise.models.probabilities import Probabilities, unknown_ages
from maskwise.transforms.network_input import middle, network_input, to_planes
from maskwise.transforms.preprocess import Preprocess

_BATCH = 128
_AMP_TYPES = {"no": None, "bf16": torch.bfloat16, "fp16": torch.float16}


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
                photos = to_planes(middle(frames, preprocess.spare))
                yield photo_probabilities(model, photos, preprocess, amp)
    finally:
        model.train(was_training)


def answer_frames(
    model: Network,
    frames: FrameSource,
    preprocess: Preprocess,
    device: torch.device,
    amp: str = "no",
) -> Probabilities:
    """Return a network's probabilities for all frames, in order; there must be at least one."""
    rows = np.array_split(np.arange(len(frames)), -(-len(frames) // _BATCH))
    batches = (torch.from_numpy(batch).to(device) for batch in frames.batches(rows))
    return Probabilities.concatenate(model_probabilities(model, batches, preprocess, amp))


def photo_probabilities(
    model: Network, photos: torch.Tensor, preprocess: Preprocess, amp: str = "no"
) -> Probabilities:
    """Return the probabilities of photos (n, 3, height, width) in 0..1, which are used up.

    The model must be in evaluation mode.
    """
    photos = network_input(photos, preprocess)
    with _autocast(photos.device, amp):
        outputs = model(photos.contiguous(memory_format=torch.channels_last))
    tasks = task_log_probabilities(outputs)
    ages = answered_ages(outputs)
    return Probabilities(
        joint_log_probabilities(outputs).exp().cpu().numpy(),
        {task: tasks[task].exp().cpu().numpy() for task in TASKS},
        unknown_ages(len(photos)) if ages is None else ages.cpu().numpy(),
    )


def _autocast(device: torch.device, amp: str) -> torch.autocast | nullcontext[None]:
    dtype = _AMP_TYPES[amp]
    return nullcontext() if dtype is None else torch.autocast(device.type, dtype=dtype)
