"""Settings of random changes to training photos."""

from pathlib import Path
from typing import Annotated, Self

from pydantic import Field, model_validator

from maskwise.config.base import Section, Share, UserPath


class AugmentSettings(Section):
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
