"""A network for each task: three runs, one after another, and the model that they make together."""

from pathlib import Path

import torch

from maskwise.config import Settings
from maskwise.data.cache import open_frames
from maskwise.data.frames import photo_refs
from maskwise.data.framing import Framer
from maskwise.data.targets import task_codes
from maskwise.evaluation.scores import validation_scores
from maskwise.labels import TASKS
from maskwise.models.bundle import ModelInfo, load_bundle, save_bundle
from maskwise.models.inference import answer_frames
from maskwise.models.network import TaskModels, part_settings
from maskwise.training.folder import kept_epoch
from maskwise.training.prepare import RunRows
from maskwise.transforms.network_input import input_channels


def task_settings(settings: Settings, task: str) -> Settings:
    """Return the settings of the run that trains the network of one task."""
    lists = {name: w for name, w in settings.loss.class_weight_lists.items() if name == task}
    return settings.model_copy(
        update={
            "model": part_settings(settings.model, task),
            "loss": settings.loss.model_copy(update={"class_weight_lists": lists}),
        }
    )


def join_tasks(
    folder: Path, settings: Settings, rows: RunRows, device: torch.device
) -> dict[str, float]:
    """Write the models that networks of a folder's task runs make: the best, last and kept ones.

    Returns the figures of the best.

    Raises:
        RunError: one of the networks is missing or damaged.
    """
    figures: dict[str, float] = {}
    kept = map(kept_epoch, settings.train.keep_epochs)
    for epoch in (*kept, "last", *(["swa"] if settings.train.swa else []), "best"):
        figures = _joined(folder, epoch, settings, rows, device)
    return figures


def _joined(
    folder: Path, epoch: str, settings: Settings, rows: RunRows, device: torch.device
) -> dict[str, float]:
    parts = {task: load_bundle(folder / task / epoch, partly=True) for task in TASKS}
    info: ModelInfo = parts["age_group"][1]
    model = TaskModels(
        settings.model,
        (info.preprocess.height, info.preprocess.width),
        info.task_boundaries,
        input_channels(info.preprocess),
    )
    for task, (part, _) in parts.items():
        model.tasks[task].load_state_dict(part.state_dict())
    validated = len(rows.val) > 0
    figures = _score(model.to(device).eval(), settings, info, rows) if validated else {}
    save_bundle(
        folder / epoch,
        model.state_dict(),
        info.model_copy(update={"model": settings.model, "metrics": figures}),
    )
    return figures


def _score(
    model: TaskModels, settings: Settings, info: ModelInfo, rows: RunRows
) -> dict[str, float]:
    frame = rows.frame[rows.val]
    device = next(model.parameters()).device
    frames = open_frames(photo_refs(frame), Framer(info.preprocess), settings.cache)
    answers = answer_frames(model, frames, info.preprocess, device, settings.train.amp)
    codes = task_codes(frame, settings.labels)
    return validation_scores(codes, answers.joint, answers.tasks)
