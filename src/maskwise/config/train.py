"""Settings of the training loop."""

from typing import Annotated, Literal, Self

from pydantic import BeforeValidator, Field, model_validator

from maskwise.config.base import Section


def _number_as_text(value: object) -> object:
    return str(value) if isinstance(value, int) and not isinstance(value, bool) else value


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
