"""The training loop: epochs, validation, checkpoints, early stopping."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from accelerate import Accelerator

from maskwise.config import Settings
from maskwise.data.batches import DeviceFrames, Part, epoch_batches, epoch_parts
from maskwise.errors import TrainingError
from maskwise.models.bundle import ModelInfo, save_bundle
from maskwise.models.network import FaceModel
from maskwise.storage import write_text
from maskwise.training.averaging import EPOCHS
from maskwise.training.checkpoint import Progress, load_checkpoint, save_checkpoint
from maskwise.training.data import TrainingData
from maskwise.training.folder import kept_epoch
from maskwise.training.observer import Observer
from maskwise.training.pictures import batch_tiles
from maskwise.training.step import Stepper
from maskwise.training.validate import Validator
from maskwise.transforms.preprocess import Preprocess


class Trainer:
    """Trains one model in one run folder; every process of a run makes its own."""

    def __init__(
        self,
        settings: Settings,
        model: FaceModel,
        preprocess: Preprocess,
        data: TrainingData,
        info: ModelInfo,
        folder: Path,
        accelerator: Accelerator,
        observer: Observer,
    ) -> None:
        self._settings = settings
        self._data = data
        self._info = info
        self._folder = folder
        self._accelerator = accelerator
        self._observer = observer
        self._stepper = Stepper(settings, model, preprocess, data, accelerator)
        limit = settings.cache.device_limit_gb * 1e9
        rows = np.concatenate([data.train_rows, data.val_rows])
        self._reader = DeviceFrames(data.frames, rows, accelerator.device, limit)
        self._validator = Validator(settings, preprocess, data, self._reader, accelerator)
        self._progress = self._resume()

    def _resume(self) -> Progress:
        stepper = self._stepper
        average = stepper.average.module if stepper.average else None
        progress = load_checkpoint(self._folder / "last", stepper.model, average, stepper.optimizer)
        if progress is None:
            return Progress()
        if self._accelerator.scaler and progress.scaler:
            self._accelerator.scaler.load_state_dict(progress.scaler)
        self._write_history(progress)
        return progress

    def run(self) -> Progress:
        """Train until the last epoch, or until patience ends; return the final counters.

        Raises:
            StorageError: the disk is full; what was saved before stays usable.
            TrainingError: the loss, or the model's answers, are no numbers.
        """
        step = self._progress.step
        self._observe(lambda observer: observer.run_started(self._folder, self._settings, step))
        while not self._progress.finished:
            self._train_epoch()
            self._finish_epoch()
        return self._progress

    def _train_epoch(self) -> None:
        progress, steps = self._progress, self._data.steps
        every = self._settings.train.checkpoint_steps
        parts = self._parts()
        self._stepper.begin_epoch(progress.epoch)
        needed = (self._stepper.needed(r, progress.epoch) for part in parts for r in part.rows)
        frames = self._reader.batches(needed)
        for part in parts:
            photos = [next(frames) for _ in part.rows]
            if not progress.epoch_step:
                self._picture_batch(part, photos)
            loss = self._stepper.take(part, photos, progress)
            progress.loss_sum += loss
            progress.epoch_step += 1
            progress.step += 1
            count = len(part.batch)
            self._observe(
                lambda observer, count=count, loss=loss: observer.step_done(  # type: ignore[misc]
                    count, loss, self._stepper.rate, progress.step
                )
            )
            if every and progress.epoch_step % every == 0 and progress.epoch_step < steps:
                self._save_last()

    def _parts(self) -> list[Part]:
        """Return what this process computes of the steps left in the epoch."""
        train, progress = self._settings.train, self._progress
        rows = self._data.sampler.epoch_rows(progress.epoch)
        batches = epoch_batches(rows, train.batch_size, train.seed, progress.epoch)
        done = sum(len(batch) for batch in batches[: progress.epoch_step])
        self._observe(
            lambda observer: observer.epoch_started(
                progress.epoch + 1, train.epochs, len(rows), done
            )
        )
        return epoch_parts(
            batches,
            self._accelerator.process_index,
            self._accelerator.num_processes,
            train.accumulate,
            progress.epoch_step,
        )

    def _finish_epoch(self) -> None:
        train, progress = self._settings.train, self._progress
        progress.epoch += 1
        figures = {"epoch": float(progress.epoch), "loss": progress.loss_sum / self._data.steps}
        best = True  # where nobody validates, the last epoch is
        if len(self._data.val_rows):
            figures |= self._validate()
            best = progress.best_score is None or figures["score"] > progress.best_score
        if best:
            progress.best_score, progress.best_epoch = figures.get("score"), progress.epoch
        progress.history.append(figures)
        progress.epoch_step, progress.loss_sum = 0, 0.0
        stale = progress.epoch - progress.best_epoch
        progress.finished = progress.epoch >= train.epochs or bool(
            train.patience and stale >= train.patience
        )
        if best:
            self._save_model("best", self._stepper.used, figures)
        if progress.epoch in train.keep_epochs:
            self._save_model(kept_epoch(progress.epoch), self._stepper.used, figures)
        if train.swa:
            self._save_for_average(figures)
        self._save_last(figures)
        self._observe(lambda observer: observer.epoch_done(progress.epoch, figures, best))
        self._picture_mistakes()

    def _validate(self) -> dict[str, float]:
        try:
            return self._validator.score(self._stepper.used)
        except FloatingPointError as error:
            raise TrainingError(
                f"the weights gave no numbers after epoch {self._progress.epoch}; lower optim.lr"
            ) from error

    def _picture_batch(self, part: Part, frames: list[torch.Tensor]) -> None:
        count, rows = self._settings.track.pictures, part.rows[0]
        if not count or not self._accelerator.is_main_process:
            return
        epoch = self._progress.epoch
        photos = self._stepper.photos(rows, frames[0], epoch)[:count]
        tiles = batch_tiles(photos, self._stepper.labels(rows, epoch))
        self._observer.pictured("train/photos", tiles)

    def _picture_mistakes(self) -> None:
        count = self._settings.track.mistakes if len(self._data.val_rows) else 0
        tiles = self._validator.worst_mistakes(count) if count else []
        if tiles:
            self._observe(lambda observer: observer.pictured("val/mistakes", tiles))

    def _save_model(self, name: str, model: FaceModel, figures: dict[str, float]) -> None:
        if self._accelerator.is_main_process:
            info = self._info.model_copy(update={"metrics": figures})
            save_bundle(self._folder / name, model.state_dict(), info)

    def _save_for_average(self, figures: dict[str, float]) -> None:
        """Keep the weights themselves, not their running mean, of the last epochs."""
        epoch, folder = self._progress.epoch, self._folder / EPOCHS
        self._save_model(f"{EPOCHS}/{epoch}", self._stepper.model, figures)
        if self._accelerator.is_main_process:
            shutil.rmtree(folder / str(epoch - self._settings.train.swa), ignore_errors=True)

    def _save_last(self, figures: dict[str, float] | None = None) -> None:
        """Save the training state; at the end of an epoch the model and the history too."""
        progress = self._progress
        if self._accelerator.scaler:
            progress.scaler = self._accelerator.scaler.state_dict()
        if not self._accelerator.is_main_process:
            return
        if figures is not None:
            # before the checkpoint: a run killed in between does this epoch's end once more
            self._save_model("last", self._stepper.used, figures)
        stepper = self._stepper
        average = stepper.average.module.state_dict() if stepper.average else None
        save_checkpoint(
            self._folder / "last", progress, stepper.model.state_dict(), average, stepper.optimizer
        )
        if figures is not None:
            self._write_history(progress)

    def _write_history(self, progress: Progress) -> None:
        if self._accelerator.is_main_process:
            lines = "".join(json.dumps(figures) + "\n" for figures in progress.history)
            write_text(self._folder / "metrics.jsonl", lines)

    def _observe(self, tell: Callable[[Observer], None]) -> None:
        if self._accelerator.is_main_process:
            tell(self._observer)
