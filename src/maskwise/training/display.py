"""Shows how training goes: a progress bar, a line per epoch, TensorBoard."""

from pathlib import Path
from typing import Self

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    ProgressColumn,
    Task,
    TaskID,
    TextColumn,
    TimeRemainingColumn,
)
from rich.text import Text
from torch.utils.tensorboard import SummaryWriter

_SHOWN = ("macro_f1", "mask_balanced_accuracy", "gender_accuracy", "age_group_balanced_accuracy")


class _Speed(ProgressColumn):
    def render(self, task: Task) -> Text:
        speed = task.finished_speed or task.speed
        return Text(f"{speed:.0f} photos/s" if speed else "", style="progress.data.speed")


def photo_progress(console: Console) -> Progress:
    """Return a progress bar over photos with throughput and time left."""
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        _Speed(),
        TimeRemainingColumn(),
        console=console,
        transient=True,
    )


class TrainingDisplay:
    """Observer of a run; use it as a context manager."""

    def __init__(self, folder: Path, console: Console) -> None:
        self._folder = folder
        self._console = console
        self._progress = photo_progress(console)
        self._task: TaskID | None = None
        self._writer: SummaryWriter | None = None

    def __enter__(self) -> Self:
        self._progress.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._progress.stop()
        if self._writer:
            self._writer.close()

    def decoded(self, photos: int, total: int) -> None:
        """Show that `photos` more of `total` are in the cache."""
        if self._task is None:
            self._task = self._progress.add_task("decoding", total=total)
        self._progress.advance(self._task, photos)

    def epoch_started(self, epoch: int, epochs: int, photos: int, done: int) -> None:
        """See `Observer`."""
        if self._task is not None:
            self._progress.remove_task(self._task)
        self._task = self._progress.add_task(f"epoch {epoch}/{epochs}", total=photos, completed=done)

    def step_done(self, photos: int, loss: float, rate: float, step: int) -> None:
        """See `Observer`."""
        assert self._task is not None
        self._progress.advance(self._task, photos)
        self._board(step).add_scalar("train/loss", loss, step)
        self._board(step).add_scalar("train/lr", rate, step)

    def epoch_done(self, epoch: int, figures: dict[str, float], best: bool) -> None:
        """See `Observer`."""
        for name, value in figures.items():
            if name != "epoch":
                self._board(epoch).add_scalar(f"val/{name}", value, epoch)
        self._board(epoch).flush()
        shown = [f"{name} {figures[name]:.4f}" for name in _SHOWN if name in figures]
        mark = "  best" if best else ""
        self._console.print(
            f"epoch {epoch}  loss {figures['loss']:.4f}  {'  '.join(shown)}{mark}",
            highlight=False,
            soft_wrap=True,
        )

    def _board(self, step: int) -> SummaryWriter:
        if self._writer is None:
            # what a killed run wrote past its last checkpoint is written again
            self._writer = SummaryWriter(str(self._folder / "tensorboard"), purge_step=step)
        return self._writer
