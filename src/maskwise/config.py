"""All settings, as frozen models with their meaning, range and default."""

import os
from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, model_validator

from maskwise.labels import TASK_BOUNDARIES

Positive = Annotated[float, Field(gt=0)]
Share = Annotated[float, Field(ge=0, le=1)]
UserPath = Annotated[Path, AfterValidator(Path.expanduser)]
"""A path that may begin with ~."""
Boundaries = tuple[Annotated[int, Field(ge=1)], Annotated[int, Field(le=120)]]
AgeSpan = tuple[Annotated[int, Field(ge=0)], Annotated[int, Field(le=120)]]


def _number_as_text(value: object) -> object:
    return str(value) if isinstance(value, int) and not isinstance(value, bool) else value


class _Section(BaseModel):
    model_config = ConfigDict(
        frozen=True, extra="forbid", use_attribute_docstrings=True, allow_inf_nan=False
    )


class LabelSettings(_Section):
    """Where age groups begin, for the score and for training."""

    task_boundaries: Boundaries = TASK_BOUNDARIES
    """First age of the middle and of the old group; every score is computed with these."""
    train_boundaries: Boundaries = TASK_BOUNDARIES
    """The boundaries that training labels are made with, such as [30, 58] or [29, 58]."""
    drop_ages: tuple[AgeSpan, ...] = ()
    """Spans of ages, both ends included, whose age label is not trained on, such as [[57, 59]]."""

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        for name in ("task_boundaries", "train_boundaries"):
            low, high = getattr(self, name)
            if low >= high:
                raise ValueError(f"{name} must rise, such as [30, 60], not [{low}, {high}]")
        for first, last in self.drop_ages:
            if first > last:
                raise ValueError(
                    f"drop_ages: [{first}, {last}] holds no age; write [{last}, {first}]"
                )
        low, high = self.train_boundaries
        groups = {"under": (0, low - 1), "middle": (low, high - 1), "old": (high, 120)}
        for name, (first, last) in groups.items():
            if all(self.drops(age) for age in range(first, last + 1)):
                raise ValueError(f"drop_ages leaves no age of the {name} group to train on")
        return self

    def drops(self, age: int) -> bool:
        """Return whether training leaves this age out."""
        return any(first <= age <= last for first, last in self.drop_ages)


class PreprocessSettings(_Section):
    """From a decoded photo to the array that the model sees; saved with the model."""

    height: Annotated[int, Field(ge=16, le=2048)] = 128
    """Pixels."""
    width: Annotated[int, Field(ge=16, le=2048)] = 128
    """Pixels."""
    detector: Literal["auto", "yunet", "centerface", "none"] = "auto"
    """What finds the face where no box is given; auto: the best at hand; none: nothing does."""
    align: bool = False
    """Turn the photo so that the eyes are level, where the detector's points make sense."""
    fit: Literal["cover", "contain"] = "cover"
    """cover: scale until the frame is full, cut what stands over; contain: pad. Never squash."""
    centre: Annotated[float, Field(gt=0.1, le=1)] = 1.0
    """Share of a photo's shorter fit kept about its centre, where no box says where the face is."""
    margin: Annotated[float, Field(ge=0, le=3)] = 0.3
    """Added around a face box on each side, in shares of its longer side; .3: hair, ears, neck."""
    mean: tuple[float, float, float] | None = None
    """Per channel, of values 0..1; none takes what the backbone was pretrained with."""
    std: tuple[Positive, Positive, Positive] | None = None
    """Likewise; the pixels are divided by it."""

    @model_validator(mode="after")
    def _eyes_found(self) -> Self:
        if self.align and self.detector == "none":
            raise ValueError("align turns the eyes level, and detector=none finds no eyes")
        return self


class FaceSettings(_Section):
    """Where face detectors are."""

    folder: UserPath | None = None
    """Folder of YuNet's file; none: $MASKWISE_DETECTORS, else the user's cache, else fetched."""


class CacheSettings(_Section):
    """The decoded photos on disk."""

    folder: UserPath | None = None
    """none: $XDG_CACHE_HOME/maskwise, or ~/.cache/maskwise."""
    limit_gb: Annotated[float, Field(ge=0)] = 20.0
    """A set that would take more is streamed through workers instead, with the same pixels."""
    workers: Annotated[int, Field(ge=0, le=256)] = Field(
        default_factory=lambda: os.cpu_count() or 1
    )
    """Processes that decode; 0 decodes in this one."""
    device_limit_gb: Annotated[float, Field(ge=0)] = 4.0
    """Photos of a run that take up to this are copied to the accelerator once and stay there."""


class ModelSettings(_Section):
    """Backbone, head and first weights."""

    backbone: str = "tf_efficientnet_lite0"
    """Any model name of timm."""
    head: Literal["multi", "single"] = "multi"
    """multi: one head for each of mask, gender, age group; single: one head of 18 classes."""
    hidden: Annotated[int, Field(ge=0, le=8192)] = 0
    """Width of the hidden layer of an MLP head; 0 is a linear head."""
    dropout: Annotated[float, Field(ge=0, lt=1)] = 0.0
    """Share of the hidden layer of an MLP head that is dropped in training."""
    pretrained: str = "auto"
    """auto: an installed weight package, else timm's hub; hub; none: random; a file; or a run."""
    drop_path: Annotated[float, Field(ge=0, lt=1)] = 0.0
    """Stochastic depth of the backbone: share of its blocks that are skipped, in training."""

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if self.dropout and not self.hidden:
            raise ValueError("dropout acts in an MLP head only: set hidden, such as 256, too")
        return self


class TaskWeights(_Section):
    """Weight of each task's loss in the sum."""

    mask: Annotated[float, Field(ge=0)] = 1.0
    gender: Annotated[float, Field(ge=0)] = 1.0
    age_group: Annotated[float, Field(ge=0)] = 1.0

    @model_validator(mode="after")
    def _some_weight(self) -> Self:
        if not (self.mask + self.gender + self.age_group):
            raise ValueError("at least one task must weigh more than 0")
        return self


class LossSettings(_Section):
    """Cross-entropy over known labels."""

    task_weights: TaskWeights = TaskWeights()
    label_smoothing: Annotated[float, Field(ge=0, lt=1)] = 0.0
    """Share of a label's weight that is spread over all classes."""
    class_weights: Literal["none", "sqrt", "balanced"] = "none"
    """Weight of a class: 1; 1 / sqrt(its count); 1 / its count; scaled to a mean of 1 per photo."""


class OptimSettings(_Section):
    """AdamW with a one-cycle schedule."""

    lr: Annotated[float, Field(gt=0, le=10)] = 2e-3
    """Peak learning rate of the head."""
    backbone_lr_factor: Annotated[float, Field(ge=0, le=10)] = 0.3
    """The backbone's rate as a share of the head's; 0 freezes the backbone's weights."""
    weight_decay: Annotated[float, Field(ge=0)] = 0.02
    """Applied to matrices and kernels, not to biases and norms."""
    warmup_share: Share = 0.2
    """Share of all steps in which the rate rises."""
    final_factor: Share = 0.001
    """Last rate as a share of the peak."""
    clip_norm: Annotated[float, Field(ge=0)] = 5.0
    """Largest norm of the gradient; 0 does not clip."""


class AugmentSettings(_Section):
    """Random changes to training photos. A strength of 0 or a probability of 0 is off."""

    enabled: bool = True
    """false: photos are trained on as they are."""
    flip: Share = 0.5
    """Probability of a mirror image."""
    rotate: Annotated[float, Field(ge=0, le=180)] = 12.0
    """Largest rotation in degrees, either way."""
    zoom: Annotated[float, Field(ge=0, lt=1)] = 0.15
    """Scale drawn from 1 - zoom to 1 + zoom; above 1 crops."""
    shift: Annotated[float, Field(ge=0, le=1)] = 0.06
    """Largest shift, in shares of the side."""
    shear: Annotated[float, Field(ge=0, le=45)] = 4.0
    """Largest shear in degrees."""
    brightness: Annotated[float, Field(ge=0, lt=1)] = 0.25
    """Values are multiplied by 1 - brightness to 1 + brightness."""
    contrast: Annotated[float, Field(ge=0, lt=1)] = 0.25
    """The distance to the photo's mean is multiplied by 1 - contrast to 1 + contrast."""
    saturation: Annotated[float, Field(ge=0, le=1)] = 0.3
    """The distance to grey is multiplied by 1 - saturation to 1 + saturation."""
    hue: Annotated[float, Field(ge=0, le=180)] = 8.0
    """Largest turn of the colours around the grey axis, in degrees."""
    grey: Share = 0.05
    """Probability of a grey photo."""
    blur: Share = 0.1
    """Probability of a Gaussian blur."""
    blur_sigma: Annotated[float, Field(gt=0, le=10)] = 1.2
    """Largest sigma, in pixels."""
    noise: Share = 0.15
    """Probability of Gaussian noise."""
    noise_sigma: Annotated[float, Field(gt=0, le=1)] = 0.06
    """Largest sigma, for values 0..1."""
    erase: Share = 0.1
    """Probability of a grey rectangle."""
    erase_share: Annotated[float, Field(gt=0, le=0.5)] = 0.15
    """Largest share of the photo that the rectangle takes."""
    background: Share = 0.0
    """Probability of another background, for photos that have a matte."""
    mattes: UserPath | None = None
    """Folder of the mattes that `maskwise data background` saved."""

    @model_validator(mode="after")
    def _has_mattes(self) -> Self:
        if self.background and self.mattes is None:
            raise ValueError("background needs mattes: the folder that data background wrote")
        return self

    @property
    def used_mattes(self) -> Path | None:
        """The folder of mattes, where training puts them to use."""
        return self.mattes if self.enabled and self.background else None


class TrainSettings(_Section):
    """The training loop."""

    epochs: Annotated[int, Field(ge=1, le=10_000)] = 5
    """Passes over the training photos."""
    batch_size: Annotated[int, Field(ge=1)] = 64
    """Photos in one optimizer step, over all processes and accumulated parts."""
    accumulate: Annotated[int, Field(ge=1)] = 1
    """Parts that one process's share of a batch is computed in, to save memory."""
    seed: Annotated[int, Field(ge=0, lt=2**32)] = 0
    """Of first weights, order, augmentation and dropout."""
    device: str = "auto"
    """auto: an accelerator where there is one; or cpu."""
    amp: Literal["no", "bf16", "fp16"] = "no"
    """Mixed precision."""
    channels_last: bool = True
    """Memory layout that convolutions are faster in."""
    ema: Annotated[float, Field(ge=0, lt=1)] = 0.99
    """Decay of the running mean of the weights, warmed up; 0 is off."""
    patience: Annotated[int, Field(ge=0)] = 0
    """Epochs without a better score before training stops; 0 never stops early."""
    checkpoint_steps: Annotated[int, Field(ge=0)] = 200
    """Steps between checkpoints inside an epoch; 0 writes at the end of epochs only."""
    val_fold: Annotated[str, BeforeValidator(_number_as_text)] = "val"
    """The fold that validates, such as val or 2; every other fold but `test` trains."""
    max_photos: Annotated[int, Field(ge=0)] = 0
    """Train and validate on a sample of so many photos each, for a quick look; 0 is all."""

    @model_validator(mode="after")
    def _divides(self) -> Self:
        if self.patience >= self.epochs:
            raise ValueError(
                f"patience {self.patience} never ends a run of {self.epochs} epochs: lower it"
            )
        if self.batch_size % self.accumulate:
            raise ValueError(
                f"batch_size {self.batch_size} cannot be cut into {self.accumulate} equal parts"
            )
        return self


class Settings(_Section):
    """All settings of one run."""

    labels: LabelSettings = LabelSettings()
    preprocess: PreprocessSettings = PreprocessSettings()
    faces: FaceSettings = FaceSettings()
    cache: CacheSettings = Field(default_factory=CacheSettings)
    model: ModelSettings = ModelSettings()
    loss: LossSettings = LossSettings()
    optim: OptimSettings = OptimSettings()
    augment: AugmentSettings = AugmentSettings()
    train: TrainSettings = TrainSettings()

    @model_validator(mode="after")
    def _one_loss(self) -> Self:
        weights = self.loss.task_weights
        if self.model.head == "single" and weights != TaskWeights():
            raise ValueError("the single head has one loss: loss.task_weights acts on multi only")
        return self
