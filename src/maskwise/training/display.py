"""Shows how training goes: a progress bar and a line per epoch; and tells those who keep it."""

import time
from collections.abc import Sequence
from pathlib import Path
from typing import Final, Self

from rich.console import Console
from rich.progress import TaskID

from maskwise.config import Settings
from maskwise.data.sheets import Tile, contact_sheet
from maskwise.progress import photo_progress
from maskwise.training.observer import Observer
from maskwise.training.tracking.trackers import Tracker, open_trackers

_SHOWN: Final = (
    "macro_f1",
    "mask_balanced_accuracy",
    "gender_accuracy",
    "age_group_balanced_accuracy",
)
_LOG_SECONDS: Final = 60.0
_PICTURE_SIDE: Final = 160


class TrainingDisplay(Observer):
    """Observer of a run; use it as a context manager."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._progress = photo_progress(console)
        self._task: TaskID | None = None
        self._decoding = False
        self._trackers: list[Tracker] = []
        self._logged = time.monotonic()
        self._step = 0

    def __enter__(self) -> Self:
        self._progress.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._progress.stop()
        self._close()

    def run_started(self, folder: Path, settings: Settings, step: int) -> None:
        """See `Observer`."""
        self._close()
        self._step = step
        self._trackers = open_trackers(folder, settings, step)

    def noted(self, text: str) -> None:
        """See `Observer`."""
        self._say(text)

    def decoded(self, photos: int, total: int) -> None:
        """See `Observer`."""
        if not self._decoding:  # nor is it where a bar of an earlier run still stands
            self._begin("decoding", total)
            self._decoding = True
        self._advance(photos)

    def epoch_started(self, epoch: int, epochs: int, photos: int, done: int) -> None:
        """See `Observer`."""
        self._begin(f"epoch {epoch}/{epochs}", photos, done)
        self._decoding = False

    def step_done(self, photos: int, loss: float, rate: float, step: int) -> None:
        """See `Observer`."""
        self._advance(photos)
        self._step = step
        for tracker in self._trackers:
            tracker.figures({"train/loss": loss, "train/lr": rate}, step)

    def epoch_done(self, epoch: int, figures: dict[str, float], best: bool) -> None:
        """See `Observer`."""
        kept = {"epoch": float(epoch)}
        kept |= {f"val/{name}": value for name, value in figures.items() if name != "epoch"}
        for tracker in self._trackers:
            tracker.figures(kept, self._step)
        shown = [f"{name} {figures[name]:.4f}" for name in _SHOWN if name in figures]
        mark = "  best" if best else ""
        self._say(f"epoch {epoch}  loss {figures['loss']:.4f}  {'  '.join(shown)}{mark}")

    def pictured(self, name: str, tiles: Sequence[Tile]) -> None:
        """See `Observer`."""
        sheet = contact_sheet(tiles, side=_PICTURE_SIDE)
        for tracker in self._trackers:
            tracker.picture(name, sheet, self._step)

    def _begin(self, what: str, total: int, done: int = 0) -> None:
        """Put a new bar in the place of the last one."""
        if self._task is not None:
            self._progress.remove_task(self._task)
        self._task = self._progress.add_task(what, total=total, completed=done)

    def _advance(self, photos: int) -> None:
        """Move the bar; where there is no screen for one, log a line now and then."""
        if self._task is None:
            return
        self._progress.advance(self._task, photos)
        if self._console.is_terminal or time.monotonic() - self._logged < _LOG_SECONDS:
            return
        self._logged = time.monotonic()
        task = self._progress.tasks[-1]
        speed = f"{task.speed:.0f} photos/s" if task.speed else ""
        left = f"{task.time_remaining:.0f} s left" if task.time_remaining else ""
        self._say(f"{task.description}  {task.completed:.0f}/{task.total:.0f}  {speed}  {left}")

    def _say(self, text: str) -> None:
        self._console.print(text, highlight=False, soft_wrap=True)

    def _close(self) -> None:
        for tracker in self._trackers:
            tracker.close()
        self._trackers = []
