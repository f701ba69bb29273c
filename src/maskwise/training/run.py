"""One training run: from a manifest and settings to a run folder."""

import json
import os
from dataclasses import dataclass
from pathlib import Path

import torch
from accelerate import Accelerator
from accelerate.state import AcceleratorState
from accelerate.utils import DistributedDataParallelKwargs
from torch.nn.modules.batchnorm import _BatchNorm

from maskwise.config import Settings
from maskwise.data.batches import epoch_steps
from maskwise.data.cache import CachedFrames
from maskwise.data.framing import resolve_detector
from maskwise.errors import SettingsError
from maskwise.labels import TASKS
from maskwise.models.backbone import (
    check_compiler,
    input_statistics,
    load_pretrained,
    recompute_activations,
)
from maskwise.models.batch_norm import synchronise_batch_norm
from maskwise.models.bundle import ModelInfo
from maskwise.models.network import FaceModel
from maskwise.storage import write_text
from maskwise.training.folder import check_folder, write_run
from maskwise.training.loop import Trainer
from maskwise.training.observer import Observer
from maskwise.training.prepare import RunRows, choose_rows, load_data, note_missed
from maskwise.training.tasks import join_tasks, task_settings
from maskwise.transforms.augment.policy import build_policy
from maskwise.transforms.network_input import input_channels
from maskwise.transforms.preprocess import Preprocess


@dataclass(frozen=True)
class RunSummary:
    """How a run ended."""

    folder: str
    epochs: int
    best_epoch: int
    best_score: float
    metrics: dict[str, float]
    """Figures of the best epoch."""


def train(
    manifest: Path,
    folder: Path,
    settings: Settings,
    observer: Observer,
    resume: bool = False,
) -> RunSummary:
    """Train a model, or go on with a run that was stopped.

    Raises:
        ManifestError: the manifest is wrong, has no folds, or photos cannot be decoded.
        DetectorError: the face detector cannot be had.
        LeakError: a person, or the same photo, is in training and in validation.
        SettingsError: settings that cannot work together, or differ from those of the run resumed.
        WeightsError: the pretrained weights cannot be had.
        RunError: the folder holds another run, or a damaged one.
        StorageError: the disk is full; what was saved before stays usable.
    """
    accelerator = _accelerator(settings)
    told = observer if accelerator.is_main_process else None
    settings = _with_detector(settings, told)
    build_policy(settings.augment)  # a file that cannot be used ends the run before it begins
    rows = choose_rows(manifest, settings)
    if settings.model.head == "tasks":
        begin_run(folder, resume, settings, manifest, accelerator)
        return _train_tasks(manifest, folder, settings, observer, rows, accelerator)
    model, preprocess, origin = _build_model(settings, accelerator)
    _check_batches(settings, accelerator, len(rows.train), model)
    begin_run(folder, resume, settings, manifest, accelerator)
    with accelerator.main_process_first():
        data = load_data(rows, settings, preprocess, told)
    info = ModelInfo(
        model=settings.model,
        task_boundaries=settings.labels.task_boundaries,
        preprocess=preprocess,
        mean_ages=rows.mean_ages(settings),
        pretrained=origin,
        data=rows.summary(),
        val_fold=settings.train.val_fold,
    )
    trainer = Trainer(settings, model, preprocess, data, info, folder, accelerator, observer)
    done = trainer.run()
    accelerator.wait_for_everyone()
    if not isinstance(data.frames, CachedFrames):
        note_missed(data.frames, told)  # photos that stream are looked at as training reads them
    return RunSummary(
        str(folder),
        done.epoch,
        done.best_epoch,
        done.best_score or 0.0,
        done.history[done.best_epoch - 1],
    )


def _train_tasks(
    manifest: Path,
    folder: Path,
    settings: Settings,
    observer: Observer,
    rows: RunRows,
    accelerator: Accelerator,
) -> RunSummary:
    """Train a network for each task in a folder of its own, and join the best of each."""
    parts = []
    for task in TASKS:
        if accelerator.is_main_process:
            observer.noted(f"the network of {task}")
        begun = (folder / task / "run.json").is_file()
        parts.append(
            train(manifest, folder / task, task_settings(settings, task), observer, resume=begun)
        )
    best = max(part.best_epoch for part in parts)
    figures: dict[str, float] = {}
    if accelerator.is_main_process:
        figures = {"epoch": float(best)} | join_tasks(folder, settings, rows, accelerator.device)
        write_text(folder / "metrics.jsonl", json.dumps(figures) + "\n")
    accelerator.wait_for_everyone()
    epochs = max(part.epochs for part in parts)
    return RunSummary(str(folder), epochs, best, figures.get("score", 0.0), figures)


def begin_run(
    folder: Path, resume: bool, settings: Settings, manifest: Path, accelerator: Accelerator
) -> None:
    """Check that a run may begin or go on in a folder, and write what it is.

    Raises:
        RunError, SettingsError: it may not; see `check_folder`.
    """
    check_folder(folder, resume, settings, manifest)
    accelerator.wait_for_everyone()  # nobody may find what the main process writes next
    if accelerator.is_main_process:
        write_run(folder, settings, manifest, accelerator)
    accelerator.wait_for_everyone()


def _with_detector(settings: Settings, observer: Observer | None) -> Settings:
    """Return the settings with the face detector that is used; say which `auto` has become."""
    preprocess = resolve_detector(settings.preprocess, settings.faces.folder)
    if observer and settings.preprocess.detector == "auto":
        hint = (
            " is at hand, so photos without a box are taken whole; to get one, set "
            "preprocess.detector=yunet, or pip install 'maskwise[faces]'"
        )
        observer.noted(
            f"face detector: {preprocess.detector}{hint if preprocess.detector == 'none' else ''}"
        )
    return settings.model_copy(update={"preprocess": preprocess})


def _accelerator(settings: Settings) -> Accelerator:
    wanted = settings.train
    found = torch.accelerator.current_accelerator(check_available=True)
    kinds = ["auto", "cpu", *([found.type] if found else [])]
    if wanted.device not in kinds:
        raise SettingsError(
            f"train.device: {wanted.device!r} is not to be had here; take {', '.join(kinds)}"
        )
    on_cpu = wanted.device == "cpu" or found is None
    if wanted.amp == "fp16" and on_cpu:
        raise SettingsError("train.amp: fp16 needs an accelerator; take bf16 or no on a CPU")
    if int(os.environ.get("WORLD_SIZE", "1")) == 1:
        # the library keeps device and precision of a process's first run for all later ones
        AcceleratorState._reset_state(reset_partial_state=True)
    # while the backbone is frozen its weights take no part in a step
    unused = DistributedDataParallelKwargs(find_unused_parameters=settings.optim.freeze_epochs > 0)
    return Accelerator(cpu=on_cpu, mixed_precision=wanted.amp, kwargs_handlers=[unused])


def _check_batches(
    settings: Settings, accelerator: Accelerator, photos: int, model: FaceModel
) -> None:
    parts = accelerator.num_processes * settings.train.accumulate
    smallest = photos // epoch_steps(photos, settings.train.batch_size) // parts
    needed = 2 if any(isinstance(module, _BatchNorm) for module in model.modules()) else 1
    if smallest < needed:
        raise SettingsError(
            f"train.batch_size {settings.train.batch_size} over {photos} training photos, "
            f"{accelerator.num_processes} process(es) and {settings.train.accumulate} part(s) "
            f"(train.accumulate) leaves {smallest} photo(s) in a part; this model needs {needed}"
        )


def _build_model(settings: Settings, accelerator: Accelerator) -> tuple[FaceModel, Preprocess, str]:
    torch.manual_seed(settings.train.seed)
    size = (settings.preprocess.height, settings.preprocess.width)
    model = FaceModel(
        settings.model,
        size,
        settings.labels.task_boundaries,
        uncertainty=settings.loss.task_weighting == "uncertainty",
        channels=input_channels(settings.preprocess),
    )
    with accelerator.main_process_first():
        origin = load_pretrained(model.backbone, settings.model, size)
    mean, std = input_statistics(model.backbone)
    preprocess = Preprocess.from_settings(settings.preprocess, mean, std)
    if settings.train.compile:
        check_compiler()
    if settings.train.recompute:
        recompute_activations(model.backbone)
    if accelerator.num_processes > 1:
        synchronise_batch_norm(model)
    return model, preprocess, origin
