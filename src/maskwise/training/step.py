"""One optimizer step: from the photos of a batch to new weights."""

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext

import numpy as np
import torch
from accelerate import Accelerator
from timm.utils import ModelEmaV3

from maskwise.config import Settings
from maskwise.data.batches import Part, Rows
from maskwise.errors import TrainingError
from maskwise.models.network import FaceModel
from maskwise.training.checkpoint import Progress
from maskwise.training.data import TrainingData
from maskwise.training.losses.labels import Labels
from maskwise.training.losses.loss import Loss
from maskwise.training.optim import build_optimizer, set_rates
from maskwise.training.schedule import Schedule
from maskwise.transforms.augment.augment import Augment
from maskwise.transforms.augment.draws import draw
from maskwise.transforms.augment.mix import Mixer, kept_shares, mix_photos
from maskwise.transforms.augment.numbers import photo_rows
from maskwise.transforms.network_input import network_input
from maskwise.transforms.preprocess import Preprocess


class Stepper:
    """Holds the model, its optimizer and the running mean of its weights, and moves them."""

    def __init__(
        self,
        settings: Settings,
        model: FaceModel,
        preprocess: Preprocess,
        data: TrainingData,
        accelerator: Accelerator,
    ) -> None:
        self._settings = settings
        self._preprocess = preprocess
        self._data = data
        self._accelerator = accelerator
        if settings.train.channels_last:
            model.to(memory_format=torch.channels_last)
        self.model = model
        self._wrapped, self._optimizer = accelerator.prepare(
            model, build_optimizer(model, settings.optim)
        )
        self.average = (
            ModelEmaV3(model, decay=settings.train.ema, use_warmup=True)
            if settings.train.ema
            else None
        )
        if settings.train.compile:
            model.backbone.compile()
        self._schedule = Schedule(settings.schedule, data.steps * settings.train.epochs)
        self._loss = Loss(settings, data.train_codes, data.train_rows, accelerator.device)
        self._augment = Augment(settings.augment, settings.preprocess.spare)
        self._mixer = Mixer(
            settings.mix, data.train_codes, data.train_ages, data.train_rows, settings.train.seed
        )

    @property
    def optimizer(self) -> torch.optim.Optimizer:
        """The optimizer itself, whose state is saved."""
        optimizer: torch.optim.Optimizer = self._optimizer.optimizer
        return optimizer

    @property
    def rate(self) -> float:
        """The rate of the heads."""
        return float(self.optimizer.param_groups[-1]["lr"])

    @property
    def used(self) -> FaceModel:
        """The model that is validated and kept: the running mean, where there is one."""
        used: FaceModel = self.average.module if self.average else self.model
        return used

    def begin_epoch(self, epoch: int) -> None:
        """Set training mode; `epoch` counts from 0."""
        self.model.backbone_frozen = epoch < self._settings.optim.freeze_epochs
        self._wrapped.train()

    def take(self, part: Part, frames: list[torch.Tensor], progress: Progress) -> float:
        """Take one optimizer step; return the loss of the whole batch, over all processes.

        `part` and `frames` are the photos that this process computes.

        Raises:
            TrainingError: the loss is no number.
        """
        scores = [figures.get("score", 0.0) for figures in progress.history]
        set_rates(self.optimizer, self._schedule.factor(progress.step, scores))
        loss = self._gradients(part, frames, progress)
        if self._settings.optim.sam:
            self._sharpness_aware_step(part, frames, progress)
        else:
            self._optimizer.step()
        self._optimizer.zero_grad()
        if self.average:
            self.average.update(self.model, step=progress.step + 1)
        return float(self._accelerator.reduce(loss, "sum"))

    def _sharpness_aware_step(
        self, part: Part, frames: list[torch.Tensor], progress: Progress
    ) -> None:
        def again() -> None:
            with _kept_statistics(self.model):
                self._gradients(part, frames, progress)

        self._optimizer.step(again)

    def _gradients(
        self, part: Part, frames: list[torch.Tensor], progress: Progress
    ) -> torch.Tensor:
        """Add up the gradients of the part; return its loss."""
        settings = self._settings
        _seed_dropout(settings.train.seed, progress.step, self._accelerator.process_index)
        batch = self.labels(part.batch, progress.epoch)
        total = torch.zeros((), device=self._accelerator.device)
        for number, (rows, photos) in enumerate(zip(part.rows, frames, strict=True)):
            with self._no_sync_before(number == len(part.rows) - 1):
                loss = self._forward(rows, photos, batch, progress)
                # gradients are averaged over processes, but the parts must be summed
                self._accelerator.backward(loss * self._accelerator.num_processes)
                total += loss.detach()
        if settings.optim.clip_norm:
            self._accelerator.clip_grad_norm_(self._wrapped.parameters(), settings.optim.clip_norm)
        return total

    def _no_sync_before(self, last: bool) -> AbstractContextManager[None]:
        return nullcontext() if last else self._accelerator.no_sync(self._wrapped)

    def needed(self, rows: Rows, epoch: int) -> Rows:
        """Return the photos to read for a part of a batch: its own, then those mixed into them.

        `rows` are numbers of `Sampler.epoch_rows`, here and below.
        """
        return np.concatenate([photo_rows(rows), self._mixer.plan(rows, epoch).partner])

    def photos(self, rows: Rows, frames: torch.Tensor, epoch: int) -> torch.Tensor:
        """Return photos (n, 3, height, width) of values 0..1, changed and mixed as in an epoch.

        `frames` are those of `needed`.
        """
        seed = self._settings.train.seed
        mix = self._mixer.plan(rows, epoch)
        photos = self._augment(frames[: len(rows)], draw(rows, seed, epoch))
        if len(mix.photo):
            others = self._augment(frames[len(rows) :], draw(mix.partner, seed, epoch, stream=1))
            mix_photos(photos, others, mix)
        return photos

    def labels(self, rows: Rows, epoch: int) -> Labels:
        """Return what is known of photos as they are mixed in an epoch."""
        data, mix = self._data, self._mixer.plan(rows, epoch)
        known = (data.train_codes, data.train_ages)
        more = (data.taught, data.train_age_ranges)
        plain = Labels.of(*known, photo_rows(rows), *more)
        if not len(mix.photo):
            return plain
        others = Labels.of(*known, mix.partner, *more)
        size = self._settings.preprocess
        return plain.mixed(others, mix.photo, kept_shares(mix, size.height, size.width))

    def _forward(
        self, rows: Rows, frames: torch.Tensor, batch: Labels, progress: Progress
    ) -> torch.Tensor:
        epoch = progress.epoch
        photos = network_input(self.photos(rows, frames, epoch), self._preprocess)
        if self._settings.train.channels_last:
            photos = photos.contiguous(memory_format=torch.channels_last)
        loss = self._loss(self._wrapped(photos), self.labels(rows, epoch), batch)
        if not torch.isfinite(loss):
            raise TrainingError(
                f"the loss is {loss.item()} at step {progress.step + 1}; lower optim.lr, or "
                "train.amp=no; the last checkpoint is whole, but a resume would end here again"
            )
        return loss


def _seed_dropout(seed: int, step: int, process: int) -> None:
    """Seed dropout by seed, step and process, so that a resumed run draws the same."""
    torch.manual_seed(int(np.random.SeedSequence([seed, step, process]).generate_state(1)[0]))


@contextmanager
def _kept_statistics(model: torch.nn.Module) -> Iterator[None]:
    """Keep batch norm's running statistics, as weights that are tried out are not the model's."""
    from pytorch_optimizer.optimizer.utils import disable_running_stats, enable_running_stats

    disable_running_stats(model)
    try:
        yield
    finally:
        enable_running_stats(model)
