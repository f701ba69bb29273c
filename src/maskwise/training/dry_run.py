"""A look at a run before it begins: its size, its speed, its schedule and a batch of its photos."""

import statistics
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
import torch
from accelerate import Accelerator

from maskwise.config import Settings
from maskwise.data.batches import DeviceFrames, Part, epoch_batches, epoch_steps
from maskwise.data.sampling import Sampler
from maskwise.data.sheets import write_sheet
from maskwise.evaluation.charts import write_rates
from maskwise.labels import TASKS
from maskwise.training.checkpoint import Progress
from maskwise.training.memory import peak_memory_gb
from maskwise.training.pictures import batch_tiles
from maskwise.training.prepare import RunRows, choose_rows, load_data
from maskwise.training.schedule import rate_curve
from maskwise.training.setup import build_model, check_batches, check_named, make_accelerator
from maskwise.training.step import Stepper
from maskwise.training.tasks import task_settings
from maskwise.transforms.augment.numbers import photo_rows

_WARM_UP: Final = 2
_TIMED: Final = 6
_SECONDS: Final = 30.0
_PICTURES: Final = 32


@dataclass(frozen=True)
class DryRun:
    """What a run would be."""

    parameters: int
    trained_parameters: int
    memory_gb: float
    """Most memory that a step took: of the accelerator, else of this process."""
    photos_per_second: float
    train_photos: int
    val_photos: int
    steps: int
    hours: float
    """Of training, at the speed measured, without validation."""
    schedule: str
    """A picture of the rate."""
    batch: str
    """A picture of photos as the network would be given them."""


def dry_run(manifest: Path, folder: Path, settings: Settings) -> DryRun:
    """Take a few steps on a few photos, and write pictures to a folder; no model is kept.

    Raises: what `train` raises before it begins.
    """
    accelerator = make_accelerator(settings)
    check_named(settings)
    rows = choose_rows(manifest, settings)
    networks = 1
    if settings.model.head == "tasks":
        networks, settings = len(TASKS), task_settings(settings, "age_group")
    sampler = rows.sampler(settings)
    steps = epoch_steps(len(sampler), settings.train.batch_size) * settings.train.epochs
    stepper, parts, frames = _few_steps(rows, sampler, settings, accelerator)
    speed = _speed(stepper, parts, frames, settings.optim.freeze_epochs)
    schedule, batch = folder / "schedule.png", folder / "batch.png"
    rates = rate_curve(settings.schedule, steps) * settings.optim.lr
    write_rates(schedule, rates.tolist())
    _write_batch(batch, stepper, parts[0], frames[0])
    parameters = list(stepper.model.parameters())
    return DryRun(
        parameters=networks * sum(value.numel() for value in parameters),
        trained_parameters=networks * sum(v.numel() for v in parameters if v.requires_grad),
        memory_gb=round(peak_memory_gb(accelerator.device), 2),
        photos_per_second=round(speed, 1),
        train_photos=len(rows.train),
        val_photos=len(rows.val),
        steps=networks * steps,
        hours=round(networks * settings.train.epochs * len(sampler) / speed / 3600, 3),
        schedule=str(schedule),
        batch=str(batch),
    )


def _few_steps(
    rows: RunRows, sampler: Sampler, settings: Settings, accelerator: Accelerator
) -> tuple[Stepper, list[Part], list[torch.Tensor]]:
    """Return what takes steps, a few batches of the first epoch, and the photos of each."""
    model, preprocess, _ = build_model(settings, accelerator)
    check_batches(settings, accelerator, rows, model)
    train = settings.train
    batches = epoch_batches(sampler.epoch_rows(0), train.batch_size, train.seed, 0)
    used = np.unique(photo_rows(np.concatenate(batches[: _WARM_UP + _TIMED])))
    few = RunRows(rows.frame[used], np.arange(len(used)), np.arange(0))
    data = load_data(few, settings, preprocess, None)
    stepper = Stepper(settings, model, preprocess, data, accelerator)
    parts = [
        Part(step, np.array_split(batch, train.accumulate), batch)
        for step, batch in enumerate(epoch_batches(few.train, train.batch_size, train.seed, 0))
    ]
    reader = DeviceFrames(data.frames, few.train, accelerator.device, 0)
    wanted = (
        np.concatenate([stepper.needed(part_rows, 0) for part_rows in part.rows]) for part in parts
    )
    return stepper, parts, list(reader.batches(wanted))


def _speed(stepper: Stepper, parts: list[Part], frames: list[torch.Tensor], thawed: int) -> float:
    """Return photos a second: the median over steps, the first ones left out.

    They are steps of an epoch in which all is trained that ever is, `thawed`.
    """
    progress, seconds = Progress(), []
    begun = 0.0
    stepper.begin_epoch(thawed)
    for number in range(_WARM_UP + _TIMED):
        place = number % len(parts)
        start = time.perf_counter()
        stepper.take(parts[place], _cut(stepper, parts[place], frames[place]), progress)
        now = time.perf_counter()
        progress.step += 1
        if not number:  # the first step may compile, which tells nothing of the others
            begun = now
            continue
        late = now - begun > _SECONDS
        if number >= _WARM_UP or late:
            seconds.append((now - start) / len(parts[place].batch))
        if late:
            break
    return 1 / statistics.median(seconds)


def _cut(stepper: Stepper, part: Part, frames: torch.Tensor) -> list[torch.Tensor]:
    """Return the frames of each accumulated part."""
    sizes = [len(stepper.needed(rows, 0)) for rows in part.rows]
    return list(torch.split(frames, sizes))


def _write_batch(path: Path, stepper: Stepper, part: Part, frames: torch.Tensor) -> None:
    rows = part.rows[0]
    photos = stepper.photos(rows, _cut(stepper, part, frames)[0], 0)
    write_sheet(path, batch_tiles(photos, stepper.labels(rows, 0))[:_PICTURES], side=160)
