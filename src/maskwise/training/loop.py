"""The training loop: steps, epochs, validation, checkpoints, early stopping."""

import json
import time
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Protocol

import numpy as np
import torch
from accelerate import Accelerator
from accelerate.utils import gather_object
from timm.utils import ModelEmaV3

from maskwise.config import Settings
from maskwise.data.batches import DeviceFrames, Part, Rows, epoch_batches, epoch_parts, epoch_steps
from maskwise.data.frames import FrameSource
from maskwise.data.targets import Codes
from maskwise.errors import TrainingError
from maskwise.evaluation.scores import validation_scores
from maskwise.models.bundle import ModelInfo, save_bundle
from maskwise.models.heads import FaceModel
from maskwise.models.inference import Probabilities, empty_probabilities, model_probabilities
from maskwise.storage import write_text
from maskwise.training.checkpoint import Progress, load_checkpoint, save_checkpoint
from maskwise.training.losses import Loss
from maskwise.training.optim import build_optimizer, build_schedule
from maskwise.transforms.augment import Augment, draw, normalise
from maskwise.transforms.preprocess import Preprocess

_EVAL_BATCH: Final = 128


class Observer(Protocol):
    """Is told how training goes; runs in the main process only."""

    def noted(self, text: str) -> None:
        """Something that a person should know."""

    def decoded(self, photos: int, total: int) -> None:
        """So many more photos of `total` are in the cache."""

    def epoch_started(self, epoch: int, epochs: int, photos: int, done: int) -> None:
        """Epochs count from 1; `done` photos of it were trained on before a resume."""

    def step_done(self, photos: int, loss: float, rate: float, step: int) -> None:
        """One optimizer step over `photos` photos was taken."""

    def epoch_done(self, epoch: int, figures: dict[str, float], best: bool) -> None:
        """An epoch was finished and validated."""


@dataclass(frozen=True)
class TrainingData:
    """The photos of a run: frames and labels by row number, and which rows do what."""

    frames: FrameSource
    train_codes: Codes
    task_codes: Codes
    train_rows: Rows
    val_rows: Rows


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
        self._preprocess = preprocess
        self._data = data
        self._info = info
        self._folder = folder
        self._accelerator = accelerator
        self._observer = observer
        self._device = accelerator.device
        self._bare = model
        if settings.train.channels_last:
            model.to(memory_format=torch.channels_last)
        optimizer = build_optimizer(model, settings.optim)
        self._steps = epoch_steps(len(data.train_rows), settings.train.batch_size)
        self._model, self._optimizer = accelerator.prepare(model, optimizer)
        self._average = (
            ModelEmaV3(model, decay=settings.train.ema, use_warmup=True)
            if settings.train.ema
            else None
        )
        self._loss = Loss(settings.loss, data.train_codes, data.train_rows, self._device)
        self._augment = Augment(settings.augment)
        limit = settings.cache.device_limit_gb * 1e9
        rows = np.concatenate([data.train_rows, data.val_rows])
        self._reader = DeviceFrames(data.frames, rows, self._device, limit)
        self._progress = self._resume()
        self._schedule = build_schedule(
            self._optimizer.optimizer,
            settings.optim,
            self._steps * settings.train.epochs,
            self._progress.step,
        )

    def _resume(self) -> Progress:
        average = self._average.module if self._average else None
        last = self._folder / "last"
        progress = load_checkpoint(last, self._bare, average, self._optimizer.optimizer)
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
        """
        while not self._progress.finished:
            self._train_epoch()
            self._finish_epoch()
        return self._progress

    def _train_epoch(self) -> None:
        train, progress = self._settings.train, self._progress
        batches = epoch_batches(self._data.train_rows, train.batch_size, train.seed, progress.epoch)
        parts = epoch_parts(
            batches,
            self._accelerator.process_index,
            self._accelerator.num_processes,
            train.accumulate,
            progress.epoch_step,
        )
        done = sum(len(batch) for batch in batches[: progress.epoch_step])
        self._observe(
            lambda observer: observer.epoch_started(
                progress.epoch + 1, train.epochs, len(self._data.train_rows), done
            )
        )
        self._model.train()
        frames = self._reader.batches(rows for part in parts for rows in part.rows)
        for part in parts:
            loss = self._step(part, [next(frames) for _ in part.rows])
            progress.loss_sum += loss
            progress.epoch_step += 1
            progress.step += 1
            rate = float(self._optimizer.param_groups[-1]["lr"])
            self._observe(
                lambda observer, p=part, at=loss, lr=rate: observer.step_done(  # type: ignore[misc]
                    len(p.batch), at, lr, progress.step
                )
            )
            every = train.checkpoint_steps
            if every and progress.epoch_step % every == 0 and progress.epoch_step < self._steps:
                self._save_last()

    def _step(self, part: Part, frames: list[torch.Tensor]) -> float:
        """Take one optimizer step; return the loss of the whole batch, over all processes."""
        train = self._settings.train
        # dropout follows from seed, step and process, so a resumed run draws the same
        torch.manual_seed(
            int(
                np.random.SeedSequence(
                    [train.seed, self._progress.step, self._accelerator.process_index]
                ).generate_state(1)[0]
            )
        )
        total = torch.zeros((), device=self._device)
        for number, (rows, photos) in enumerate(zip(part.rows, frames, strict=True)):
            last = number == len(part.rows) - 1
            with nullcontext() if last else self._accelerator.no_sync(self._model):
                loss = self._forward(rows, photos, part.batch)
                # gradients are averaged over processes, but the parts must be summed
                self._accelerator.backward(loss * self._accelerator.num_processes)
                total += loss.detach()
        if self._settings.optim.clip_norm:
            self._accelerator.clip_grad_norm_(
                self._model.parameters(), self._settings.optim.clip_norm
            )
        self._optimizer.step()
        self._optimizer.zero_grad()
        self._schedule.step()
        if self._average:
            self._average.update(self._bare, step=self._progress.step + 1)
        return float(self._accelerator.reduce(total, "sum"))

    def _forward(self, rows: Rows, frames: torch.Tensor, batch: Rows) -> torch.Tensor:
        train = self._settings.train
        photos = self._augment(frames, draw(rows, train.seed, self._progress.epoch))
        photos = normalise(photos, self._preprocess.mean, self._preprocess.std)
        if train.channels_last:
            photos = photos.contiguous(memory_format=torch.channels_last)
        loss = self._loss(self._model(photos), rows, batch)
        if not torch.isfinite(loss):
            raise TrainingError(
                f"the loss is {loss.item()} at step {self._progress.step + 1}; lower optim.lr, or "
                "train.amp=no; the last checkpoint is whole, but a resume would end here again"
            )
        return loss

    def _finish_epoch(self) -> None:
        train, progress = self._settings.train, self._progress
        progress.epoch += 1
        figures = {"epoch": float(progress.epoch), "loss": progress.loss_sum / self._steps}
        figures |= self._validate()
        best = progress.best_score is None or figures["score"] > progress.best_score
        if best:
            progress.best_score, progress.best_epoch = figures["score"], progress.epoch
        progress.history.append(figures)
        progress.epoch_step, progress.loss_sum = 0, 0.0
        stale = progress.epoch - progress.best_epoch
        progress.finished = progress.epoch == train.epochs or bool(
            train.patience and stale >= train.patience
        )
        if best:
            self._save_model("best", figures)
        self._save_last(figures)
        self._observe(lambda observer: observer.epoch_done(progress.epoch, figures, best))

    def _validate(self) -> dict[str, float]:
        """Return the figures over all validation photos; each is answered by one process."""
        start = time.perf_counter()
        rows = self._data.val_rows
        place, count = self._accelerator.process_index, self._accelerator.num_processes
        mine = np.arange(len(rows))[place::count]
        chunks = np.array_split(mine, max(1, -(-len(mine) // _EVAL_BATCH)))
        chunks = [chunk for chunk in chunks if len(chunk)]
        model = self._average.module if self._average else self._bare
        answers = model_probabilities(
            model,
            self._reader.batches([rows[chunk] for chunk in chunks]),
            self._preprocess,
            self._settings.train.amp,
        )
        pieces = gather_object(list(zip(chunks, answers, strict=True)))
        whole = _assembled(len(rows), pieces)
        if not np.isfinite(whole.joint).all():
            raise TrainingError(
                f"the weights gave no numbers after epoch {self._progress.epoch}; lower optim.lr"
            )
        codes = {task: values[rows] for task, values in self._data.task_codes.items()}
        weights = self._settings.loss.task_weights.model_dump()
        trained = [task for task, weight in weights.items() if weight]
        figures = validation_scores(codes, whole.joint, whole.tasks, trained)
        return {**figures, "val_seconds": round(time.perf_counter() - start, 2)}

    def _weights(self) -> dict[str, torch.Tensor]:
        """Return the weights that are validated and used: the running mean, where there is one."""
        model = self._average.module if self._average else self._bare
        return model.state_dict()

    def _save_model(self, name: str, figures: dict[str, float]) -> None:
        if self._accelerator.is_main_process:
            info = self._info.model_copy(update={"metrics": figures})
            save_bundle(self._folder / name, self._weights(), info)

    def _save_last(self, figures: dict[str, float] | None = None) -> None:
        """Save the training state; at the end of an epoch the model and the history too."""
        progress = self._progress
        if self._accelerator.scaler:
            progress.scaler = self._accelerator.scaler.state_dict()
        if not self._accelerator.is_main_process:
            return
        if figures is not None:
            # before the checkpoint: a run killed in between does this epoch's end once more
            self._save_model("last", figures)
        average = self._average.module.state_dict() if self._average else None
        save_checkpoint(
            self._folder / "last",
            progress,
            self._bare.state_dict(),
            average,
            self._optimizer.optimizer,
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


def _assembled(count: int, pieces: list[tuple[Rows, Probabilities]]) -> Probabilities:
    """Put the pieces of all processes into one; each photo must come exactly once."""
    whole = empty_probabilities(count)
    times = np.zeros(count, dtype=np.int64)
    for rows, piece in pieces:
        whole.joint[rows] = piece.joint
        for task, values in piece.tasks.items():
            whole.tasks[task][rows] = values
        times[rows] += 1
    if not (times == 1).all():
        raise RuntimeError(f"{int((times != 1).sum())} photos were not answered exactly once")
    return whole
