"""One training run: from a manifest and settings to a run folder."""

import json
from dataclasses import dataclass, replace
from pathlib import Path

from accelerate import Accelerator

from maskwise.config import Settings
from maskwise.data.cache import CachedFrames
from maskwise.labels import TASKS
from maskwise.models.bundle import ModelInfo
from maskwise.models.classifier import Sources
from maskwise.models.network import FaceModel
from maskwise.models.views import movable_changes
from maskwise.storage import write_text
from maskwise.training.averaging import Photos, average_epochs
from maskwise.training.folder import run_folder
from maskwise.training.lineage import seen_sources
from maskwise.training.loop import Trainer
from maskwise.training.memory import peak_memory_gb
from maskwise.training.observer import Observer
from maskwise.training.prepare import RunRows, check_labels, choose_rows, load_data, note_missed
from maskwise.training.setup import build_model, check_batches, check_named, make_accelerator
from maskwise.training.tasks import join_tasks, task_settings
from maskwise.training.teacher import check_teacher, taught_labels
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
    memory_gb: float
    """Most memory that it took: of the accelerator, else of this process."""


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
        StorageError: the disk is full; what was saved before stays usable; or another process
            trains there.
    """
    accelerator = make_accelerator(settings)
    check_named(settings)
    rows = choose_rows(manifest, settings)
    check_teacher(settings, folder)
    if settings.model.head == "tasks":
        # what one of them lacks is found before any is trained; their networks are alike
        parts = [task_settings(settings, task) for task in TASKS]
        for part in parts:
            check_labels(rows, part)
        check_batches(parts[0], accelerator, rows, build_model(parts[0], accelerator)[0])
        with run_folder(folder, resume, settings, manifest, accelerator):
            return _train_tasks(manifest, folder, settings, observer, rows, accelerator)
    built = build_model(settings, accelerator)
    check_batches(settings, accelerator, rows, built[0])
    with run_folder(folder, resume, settings, manifest, accelerator):
        return _train_network(folder, settings, observer, rows, accelerator, built)


def _train_network(
    folder: Path,
    settings: Settings,
    observer: Observer,
    rows: RunRows,
    accelerator: Accelerator,
    built: tuple[FaceModel, Preprocess, str],
) -> RunSummary:
    """Train a network from its first weights, or go on with it."""
    told = observer if accelerator.is_main_process else None
    model, preprocess, origin = built
    with accelerator.main_process_first():
        data = load_data(rows, settings, preprocess, told)
        data = replace(data, taught=taught_labels(rows, settings, folder, told))
    seen = seen_sources(rows.sources, settings, folder)
    info = ModelInfo(
        model=settings.model,
        task_boundaries=settings.labels.task_boundaries,
        preprocess=preprocess,
        mean_ages=rows.mean_ages(settings),
        pretrained=origin,
        data={**rows.summary(), "seen_sources": _listed(seen)},
        val_fold=settings.train.val_fold,
        augment=movable_changes(settings.augment),
    )
    trainer = Trainer(settings, model, preprocess, data, info, folder, accelerator, observer)
    done = trainer.run()
    accelerator.wait_for_everyone()
    if settings.train.swa and accelerator.is_main_process:
        codes = {task: values[rows.val] for task, values in data.task_codes.items()}
        photos = Photos(data.frames, rows.train, rows.val, codes, info, accelerator.device)
        average_epochs(folder, photos)
    accelerator.wait_for_everyone()
    if not isinstance(data.frames, CachedFrames):
        note_missed(data.frames, told)  # photos that stream are looked at as training reads them
    return RunSummary(
        str(folder),
        done.epoch,
        done.best_epoch,
        done.best_score or 0.0,
        done.history[done.best_epoch - 1],
        round(peak_memory_gb(accelerator.device), 2),
    )


def _listed(sources: Sources) -> list[str] | None:
    return None if sources is None else sorted(sources)


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
        parts.append(
            train(manifest, folder / task, task_settings(settings, task), observer, resume=True)
        )
    best = max(part.best_epoch for part in parts)
    figures: dict[str, float] = {}
    if accelerator.is_main_process:
        figures = {"epoch": float(best)} | join_tasks(folder, settings, rows, accelerator.device)
        write_text(folder / "metrics.jsonl", json.dumps(figures) + "\n")
    accelerator.wait_for_everyone()
    epochs = max(part.epochs for part in parts)
    memory = max(part.memory_gb for part in parts)
    return RunSummary(str(folder), epochs, best, figures.get("score", 0.0), figures, memory)
