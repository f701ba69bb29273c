"""Who is told how training goes."""

from collections.abc import Sequence
from pathlib import Path

from maskwise.config import Settings
from maskwise.data.sheets import Tile


class Observer:
    """Is told how training goes, in the main process only; what a kind leaves out does nothing."""

    def run_started(self, folder: Path, settings: Settings, step: int) -> None:
        """The training of a model in a run folder begins, or goes on after a step."""

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

    def pictured(self, name: str, tiles: Sequence[Tile]) -> None:
        """Photos that were trained on, or wrongly answered."""
