"""One training run: from a manifest and settings to a run folder."""

import os
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import torch
from accelerate import Accelerator
from accelerate.state import AcceleratorState
from accelerate.utils import DistributedDataParallelKwargs
from torch.nn.modules.batchnorm import _BatchNorm

from maskwise.config import Settings
from maskwise.data.batches import Rows, epoch_steps
from maskwise.data.cache import CachedFrames, open_frames
from maskwise.data.frames import FrameSource, photo_refs
from maskwise.data.framing import Framer, resolve_detector
from maskwise.data.manifest import read_manifest
from maskwise.data.mattes import matte_path
from maskwise.data.split import TEST, check_leaks
from maskwise.data.targets import (
    group_mean_ages,
    known_ages,
    task_codes,
    training_ages,
    training_codes,
)
from maskwise.errors import ManifestError, SettingsError
from maskwise.labels import UNKNOWN
from maskwise.models.backbone import input_statistics, load_pretrained
from maskwise.models.batch_norm import synchronise_batch_norm
from maskwise.models.bundle import ModelInfo
from maskwise.models.network import FaceModel
from maskwise.training.data import TrainingData
from maskwise.training.folder import check_folder, write_run
from maskwise.training.loop import Observer, Trainer
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
    frame = read_manifest(manifest, settings.labels.task_boundaries)
    frame, train_rows, val_rows = _rows_by_fold(frame, settings, manifest)
    model, preprocess, origin = _build_model(settings, accelerator)
    _check_batches(settings, accelerator, len(train_rows), model)
    check_folder(folder, resume, settings, manifest)
    accelerator.wait_for_everyone()  # nobody may find what the main process writes next
    if accelerator.is_main_process:
        write_run(folder, settings, manifest, accelerator)
    accelerator.wait_for_everyone()
    with accelerator.main_process_first():
        frames = open_frames(
            photo_refs(frame),
            Framer(preprocess, settings.faces.folder, settings.augment.used_mattes),
            settings.cache,
            partial(told.decoded, total=len(frame)) if told else None,
        )
    _check_leaks(frame, frames, train_rows, val_rows)
    if told:
        _note_missed(frames, told)
    _check_mattes(settings, frames, told)
    data = TrainingData(
        frames,
        training_codes(frame, settings.labels),
        training_ages(frame, settings.labels),
        task_codes(frame, settings.labels),
        known_ages(frame),
        train_rows,
        val_rows,
        settings.train.batch_size,
    )
    info = ModelInfo(
        model=settings.model,
        task_boundaries=settings.labels.task_boundaries,
        preprocess=preprocess,
        mean_ages=_mean_ages(frame[train_rows], settings),
        pretrained=origin,
        data=_data_summary(frame, train_rows, val_rows),
        val_fold=settings.train.val_fold,
    )
    trainer = Trainer(settings, model, preprocess, data, info, folder, accelerator, observer)
    done = trainer.run()
    accelerator.wait_for_everyone()
    if told and not isinstance(frames, CachedFrames):
        _note_missed(frames, told)  # photos that stream are looked at as training reads them
    return RunSummary(
        str(folder),
        done.epoch,
        done.best_epoch,
        done.best_score or 0.0,
        done.history[done.best_epoch - 1],
    )


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


def _rows_by_fold(
    frame: pl.DataFrame, settings: Settings, manifest: Path
) -> tuple[pl.DataFrame, Rows, Rows]:
    """Return the rows that are used, and the positions among them that train and validate."""
    val_fold = settings.train.val_fold
    folds = set(frame["fold"].drop_nulls().unique())
    if frame["fold"].null_count():
        raise ManifestError(
            f"{manifest}: {frame['fold'].null_count()} of {len(frame)} rows have no fold; "
            "assign them with: maskwise data split"
        )
    if val_fold not in folds or not folds - {val_fold, TEST}:
        raise ManifestError(
            f"{manifest} has the folds {', '.join(sorted(folds)) or 'of no rows'}; training needs "
            f"train.val_fold={val_fold} and at least one other"
        )
    validates = (frame["fold"] == val_fold).to_numpy()
    trains = ~validates & (frame["fold"] != TEST).to_numpy()
    rows = [np.flatnonzero(part) for part in (trains, validates)]
    if settings.train.max_photos:
        generator = np.random.default_rng(settings.train.seed)
        rows = [generator.permutation(part)[: settings.train.max_photos] for part in rows]
    used = np.sort(np.concatenate(rows))
    train_rows, val_rows = (np.flatnonzero(np.isin(used, part)) for part in rows)
    frame = frame[used]
    _check_labels(frame, settings, train_rows, val_rows)
    return frame, train_rows, val_rows


def _check_labels(
    frame: pl.DataFrame, settings: Settings, train_rows: Rows, val_rows: Rows
) -> None:
    weights = settings.loss.task_weights.model_dump()
    trained = training_codes(frame[train_rows], settings.labels)
    if all((trained[task] == UNKNOWN).all() for task in trained if weights[task]):
        raise ManifestError("no training photo has a label of a task that weighs more than 0")
    scored = task_codes(frame[val_rows], settings.labels)
    if all((codes == UNKNOWN).all() for codes in scored.values()):
        raise ManifestError("no validation photo has a label, so no epoch could be called better")


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
    )
    with accelerator.main_process_first():
        origin = load_pretrained(model.backbone, settings.model, size)
    mean, std = input_statistics(model.backbone)
    preprocess = Preprocess.from_settings(settings.preprocess, mean, std)
    if accelerator.num_processes > 1:
        synchronise_batch_norm(model)
    return model, preprocess, origin


def _check_leaks(
    frame: pl.DataFrame, frames: FrameSource, train_rows: Rows, val_rows: Rows
) -> None:
    used = np.sort(np.concatenate([train_rows, val_rows]))
    validates = set(val_rows.tolist())
    folds = ["val" if row in validates else "train" for row in used.tolist()]
    # photos that stream are not read before training, so their bytes are not compared here
    digests: Sequence[str] = (
        [frames.digests[row] for row in used.tolist()]
        if isinstance(frames, CachedFrames)
        else [""] * len(used)
    )
    check_leaks(frame[used].with_columns(fold=pl.Series(folds)), digests)


def _note_missed(frames: FrameSource, told: Observer) -> None:
    missed = int(frames.missed.sum())
    if missed:
        told.noted(f"no face in {missed} of {len(frames)} photos: centre taken")


def _check_mattes(settings: Settings, frames: FrameSource, told: Observer | None) -> None:
    """Say how many photos have a matte; none at all is a mistake."""
    folder = settings.augment.used_mattes
    if folder is None or not isinstance(frames, CachedFrames):
        return
    found = sum(matte_path(folder, digest).is_file() for digest in frames.digests)
    if not found:
        raise SettingsError(f"augment.mattes: {folder} has no matte of any photo of the manifest")
    if told:
        told.noted(f"mattes for {found} of {len(frames)} photos")


def _mean_ages(frame: pl.DataFrame, settings: Settings) -> tuple[float, float, float]:
    young, middle, old = group_mean_ages(frame, settings.labels)
    return young, middle, old


def _data_summary(frame: pl.DataFrame, train_rows: Rows, val_rows: Rows) -> dict[str, Any]:
    return {
        "train_photos": len(train_rows),
        "train_people": frame[train_rows]["person"].n_unique(),
        "val_photos": len(val_rows),
        "val_people": frame[val_rows]["person"].n_unique(),
        "sources": sorted(frame[train_rows]["source"].unique()),
    }
