"""Settings of the training loop."""

from collections.abc import Iterator
from typing import Annotated, Literal

from pydantic import BeforeValidator, Field

from maskwise.config.base import Section

SampleBy = Literal[
    "joint", "mask", "gender", "age_group",
    "source", "source_mask", "source_gender", "source_age_group", "source_gender_age_group",
]  # fmt: skip
Word = Literal["wear", "incorrect", "not_wear", "male", "female", "young", "middle", "old"]


def _number_as_text(value: object) -> object:
    return str(value) if isinstance(value, int) and not isinstance(value, bool) else value


def _names(value: object) -> object:
    """One name stands for a list of it; YAML reads some names as numbers."""
    values = value if isinstance(value, (list, tuple)) else [value]
    return [_number_as_text(one) for one in values]


def _no_as_text(value: object) -> object:
    """YAML reads a bare no as false."""
    return "no" if value is False else value


class TrainSettings(Section):
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
    amp: Annotated[Literal["no", "bf16", "fp16"], BeforeValidator(_no_as_text)] = "no"
    """Mixed precision."""
    channels_last: bool = True
    """Memory layout that convolutions are faster in."""
    epoch_photos: Annotated[int, Field(ge=0)] = 0
    """Photos after which an epoch ends and is validated, whatever the size of the set; 0: all."""
    compile: bool = False
    """Compile the backbone (torch.compile): slower to begin, then faster; needs a C++ compiler."""
    recompute: bool = False
    """Compute the backbone's activations again in the backward pass: less memory, more time."""
    sampling: Literal["all", "even", "sqrt"] = "all"
    """Each photo once an epoch, or drawn: classes evenly, or by the square root of their counts."""
    sample_by: SampleBy = "joint"
    """What sampling counts: the 18 classes, one task's, sources, or some tasks' in each source."""
    repeat: dict[Word, Annotated[int, Field(ge=1, le=100)]] = Field(default_factory=dict)
    """Times that photos of a label come: {old: 3}; of several labels, the most; also when drawn."""
    repeat_sources: dict[str, Annotated[int, Field(ge=1, le=100)]] = Field(default_factory=dict)
    """Likewise of photos of a set, by the manifest's source: {mask_photos: 4}."""
    leave_out_sources: Annotated[tuple[str, ...], BeforeValidator(_names)] = ()
    """Sources of the manifest whose photos neither train nor validate, such as [fairface]."""
    ema: Annotated[float, Field(ge=0, lt=1)] = 0.99
    """Decay of the running mean of the weights, warmed up; 0 is off."""
    swa: Annotated[int, Field(ge=0, le=100)] = 0
    """Last epochs whose models' mean is written to swa/, with statistics of its own; 0 is off."""
    keep_epochs: tuple[Annotated[int, Field(ge=1)], ...] = ()
    """Epochs whose models are kept beside best and last, in epoch-4/ and so on, for averages."""
    patience: Annotated[int, Field(ge=0)] = 0
    """Epochs without a better score before training stops; 0 never stops early."""
    checkpoint_steps: Annotated[int, Field(ge=0)] = 200
    """Steps between checkpoints inside an epoch; 0 writes at the end of epochs only."""
    val_fold: Annotated[str, BeforeValidator(_number_as_text)] = "val"
    """The fold that validates, such as val or 2; all others but `test` train. none: nobody does."""
    max_photos: Annotated[int, Field(ge=0)] = 0
    """Train and validate on a sample of so many photos each, for a quick look; 0 is all."""

    def problems(self) -> Iterator[str]:
        """Yield what cannot stand together."""
        if self.batch_size % self.accumulate:
            yield f"batch_size {self.batch_size} cannot be cut into {self.accumulate} equal parts"
        if self.swa == 1 or self.swa > self.epochs:
            yield f"swa {self.swa}: a mean is of 2 epochs or more, and of epochs that are trained"
        late = [str(epoch) for epoch in self.keep_epochs if epoch > self.epochs]
        if late:
            yield f"keep_epochs {', '.join(late)}: the run ends after {self.epochs}"
