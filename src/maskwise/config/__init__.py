"""All settings, as frozen models with their meaning, range and default."""

from collections.abc import Iterator

from pydantic import Field

from maskwise.config.augment import AugmentSettings, MixSettings
from maskwise.config.base import Positive, Section
from maskwise.config.data import (
    Boundaries,
    CacheSettings,
    LabelSettings,
    PreprocessSettings,
)
from maskwise.config.distill import DistillSettings
from maskwise.config.loss import LossSettings, TaskWeights, Terms
from maskwise.config.model import BUNDLED, ModelSettings
from maskwise.config.optim import OptimSettings, ScheduleSettings
from maskwise.config.together import contradictions
from maskwise.config.track import TrackSettings
from maskwise.config.train import SampleBy, TrainSettings

__all__ = [
    "BUNDLED",
    "AugmentSettings",
    "Boundaries",
    "CacheSettings",
    "DistillSettings",
    "LabelSettings",
    "LossSettings",
    "MixSettings",
    "ModelSettings",
    "OptimSettings",
    "Positive",
    "PreprocessSettings",
    "SampleBy",
    "ScheduleSettings",
    "Settings",
    "TaskWeights",
    "Terms",
    "TrackSettings",
    "TrainSettings",
]


class Settings(Section):
    """All settings of one run."""

    labels: LabelSettings = LabelSettings()
    preprocess: PreprocessSettings = PreprocessSettings()
    cache: CacheSettings = Field(default_factory=CacheSettings)
    model: ModelSettings = ModelSettings()
    loss: LossSettings = LossSettings()
    distill: DistillSettings = DistillSettings()
    optim: OptimSettings = OptimSettings()
    schedule: ScheduleSettings = ScheduleSettings()
    augment: AugmentSettings = AugmentSettings()
    mix: MixSettings = MixSettings()
    train: TrainSettings = TrainSettings()
    track: TrackSettings = TrackSettings()

    @property
    def trained_tasks(self) -> list[str]:
        """The tasks that a run learns."""
        weights = self.loss.task_weights.model_dump()
        return [task for task in self.model.tasks if weights[task]]

    def problems(self) -> Iterator[str]:
        """Yield what cannot stand together, within a section or between two."""
        yield from contradictions(self)
