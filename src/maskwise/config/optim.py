"""Settings of the optimizer and of its rate."""

from collections.abc import Iterator
from typing import Annotated, Literal

from pydantic import Field

from maskwise.config.base import NotNegative, Positive, Section, Share

OptimizerName = Literal[
    "sgd", "nesterov", "adam", "adamw", "nadamw", "sgdp", "adamp", "madgrad", "lion", "muon"
]


class OptimSettings(Section):
    """The optimizer; its implementations are those of timm and of pytorch-optimizer (SAM)."""

    name: OptimizerName = "adamw"
    """sgd, nesterov, adam, adamw, nadamw, sgdp, adamp, madgrad, lion or muon."""
    sam: NotNegative = 0.0
    """Sharpness-aware minimisation about the optimizer: radius in weight space, .05; 0 is off."""
    lr: Annotated[float, Field(gt=0, le=10)] = 2e-3
    """Peak learning rate of the head."""
    momentum: Annotated[float, Field(ge=0, lt=1)] = 0.9
    """Of sgd, nesterov, sgdp, madgrad and muon."""
    backbone_lr_factor: Annotated[float, Field(ge=0, le=10)] = 0.3
    """The backbone's rate as a share of the head's; 0 freezes the backbone's weights."""
    layer_decay: Annotated[float, Field(gt=0, le=1)] = 1.0
    """Rate of each of the backbone's layers as a share of the next one's; 1 is the same for all."""
    frozen_stages: Annotated[int, Field(ge=0, le=64)] = 0
    """Stages of the backbone, from the photo on, whose weights and statistics stay as they are."""
    freeze_epochs: Annotated[int, Field(ge=0)] = 0
    """Epochs at the start in which the whole backbone stays as it is."""
    weight_decay: NotNegative = 0.02
    """Applied to matrices and kernels, not to biases and norms."""
    clip_norm: NotNegative = 5.0
    """Largest norm of the gradient; 0 does not clip."""

    def problems(self) -> Iterator[str]:
        """Yield what cannot stand together."""
        if self.name == "nesterov" and not self.momentum:
            yield "nesterov looks ahead along its momentum: set momentum above 0, or take sgd"


class ScheduleSettings(Section):
    """How the rate moves over the run, from step to step, as a share of its peak."""

    name: Literal[
        "one_cycle", "cosine", "restarts", "triangular", "step", "plateau", "constant"
    ] = "one_cycle"
    """one_cycle, cosine, restarts, triangular, step, plateau or constant."""
    warmup_share: Share = 0.2
    """Share of the run in which the rate rises; of each period for restarts."""
    start_factor: Annotated[float, Field(gt=0, le=1)] = 0.04
    """Rate that a rise begins with, as a share of the peak."""
    final_factor: Share = 0.001
    """Lowest rate, as a share of the peak."""
    periods: Annotated[int, Field(ge=1)] = 3
    """Equal parts of the run: cycles of restarts, triangles of triangular, levels of step."""
    gamma: Positive = 0.5
    """Factor from one period's peak to the next, of restarts and step; of a drop, of plateau."""
    patience: Annotated[int, Field(ge=0)] = 2
    """Of plateau: epochs without a better score before the rate drops."""

    def problems(self) -> Iterator[str]:
        """Yield what cannot stand together."""
        if self.gamma > 1:
            yield f"gamma {self.gamma:g} would let the rate grow; take 1 or less"
