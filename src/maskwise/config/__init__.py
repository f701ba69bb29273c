"""All settings, as frozen models with their meaning, range and default."""

from collections.abc import Iterator
from typing import Self

from pydantic import Field, model_validator

from maskwise.config.augment import AugmentSettings, MixSettings
from maskwise.config.base import Positive, Section
from maskwise.config.data import (
    Boundaries,
    CacheSettings,
    FaceSettings,
    LabelSettings,
    PreprocessSettings,
)
from maskwise.config.loss import LossSettings, TaskWeights, Terms
from maskwise.config.model import ModelSettings
from maskwise.config.optim import OptimSettings, ScheduleSettings
from maskwise.config.track import TrackSettings
from maskwise.config.train import TrainSettings
from maskwise.labels import TASKS

__all__ = [
    "AugmentSettings",
    "Boundaries",
    "CacheSettings",
    "FaceSettings",
    "LabelSettings",
    "LossSettings",
    "MixSettings",
    "ModelSettings",
    "OptimSettings",
    "Positive",
    "PreprocessSettings",
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
    faces: FaceSettings = FaceSettings()
    cache: CacheSettings = Field(default_factory=CacheSettings)
    model: ModelSettings = ModelSettings()
    loss: LossSettings = LossSettings()
    optim: OptimSettings = OptimSettings()
    schedule: ScheduleSettings = ScheduleSettings()
    augment: AugmentSettings = AugmentSettings()
    mix: MixSettings = MixSettings()
    train: TrainSettings = TrainSettings()
    track: TrackSettings = TrackSettings()

    @model_validator(mode="after")
    def _fit_together(self) -> Self:
        problems = [*self._head_problems(), *self._term_problems(), *self._other_problems()]
        if problems:
            raise ValueError("\n".join(problems))
        return self

    @property
    def trained_tasks(self) -> list[str]:
        """The tasks that a run learns."""
        weights = self.loss.task_weights.model_dump()
        return [task for task in self.model.tasks if weights[task]]

    def _head_problems(self) -> Iterator[str]:
        loss = self.loss
        if not self.trained_tasks:
            yield f"model.tasks: none of {', '.join(self.model.tasks)} weighs anything in the loss"
        if loss.joint and len(self.model.tasks) < len(TASKS):
            yield "loss.joint needs all three tasks in model.tasks"
        if self.model.head != "single":
            return
        if loss.task_weights != TaskWeights():
            yield "the single head has one loss: loss.task_weights acts on multi only"
        if loss.task_weighting != "fixed":
            yield "the single head has one loss: loss.task_weighting acts on multi only"
        for task in TASKS:
            if getattr(loss, task) is not None:
                yield f"the single head has one output: set loss.terms, not loss.{task}"
        if loss.joint:
            yield "the single head's output is joint already: set loss.terms, not loss.joint"

    def _term_problems(self) -> Iterator[str]:
        """Yield what is asked of outputs that have no scores of classes of their own."""
        single = self.model.head == "single"
        used = {"terms": self.loss.terms} if single else {t: self.loss.terms_of(t) for t in TASKS}
        for place, terms in used.items():
            if "arcface" in terms and not self.model.cosine_scale:
                yield f"loss.{place}: arcface acts on angles; set model.cosine_scale, such as 64"
            if place == "age_group" and self.model.age != "classes":
                for term in {"arcface", "bce"} & set(terms):
                    yield (
                        f"loss.age_group: {term} needs model.age=classes, not {self.model.age}; "
                        "name other losses in loss.age_group"
                    )
        for term in sorted({"arcface", "bce"} & set(self.loss.joint)):
            yield f"loss.joint: {term} needs an output of 18 classes: model.head=single"

    def _other_problems(self) -> Iterator[str]:
        labels = self.labels
        if self.mix.enabled and self.train.batch_size < 2:
            yield "mix needs train.batch_size of 2 or more: one photo has no other to be mixed with"
        if self.mix.enabled:
            every = [self.loss.terms, self.loss.joint, *map(self.loss.terms_of, TASKS)]
            if any("arcface" in terms for terms in every):
                yield "loss: arcface has one angle for each photo; mix (cutmix, mixup) gives it two"
        if self.model.age == "distribution" and labels.train_boundaries != labels.task_boundaries:
            yield (
                "model.age=distribution learns years, which labels.train_boundaries does not move; "
                "leave those at the task's"
            )
        if self.optim.sam and self.train.amp == "fp16":
            yield "optim.sam computes a step twice, which fp16's loss scaling cannot: take bf16"
        if self.optim.freeze_epochs and self.optim.freeze_epochs >= self.train.epochs:
            yield (
                f"optim.freeze_epochs {self.optim.freeze_epochs} never ends in "
                f"{self.train.epochs} epochs; to freeze for good, set optim.backbone_lr_factor=0"
            )
