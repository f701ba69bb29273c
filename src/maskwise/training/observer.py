"""Who is told how training goes."""

from pathlib import Path
from typing import Protocol


class Observer(Protocol):
    """Is told how training goes; runs in the main process only."""

    def run_started(self, folder: Path) -> None:
        """The training of a model in a run folder begins."""

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
