"""Settings of labels, of the way from a photo to the model's frame, and of the frames kept."""

from collections.abc import Iterator
from typing import Annotated, Literal

from pydantic import Field

from maskwise.config.base import Positive, Section, UserPath
from maskwise.cores import core_count
from maskwise.labels import TASK_BOUNDARIES

Boundaries = tuple[Annotated[int, Field(ge=1)], Annotated[int, Field(le=120)]]
AgeSpan = tuple[Annotated[int, Field(ge=0)], Annotated[int, Field(le=120)]]


class LabelSettings(Section):
    """Where age groups begin, for the score and for training."""

    task_boundaries: Boundaries = TASK_BOUNDARIES
    """First age of the middle and of the old group; every score is computed with these."""
    train_boundaries: Boundaries = TASK_BOUNDARIES
    """The boundaries that training labels are made with, such as [30, 58] or [29, 58]."""
    drop_ages: tuple[AgeSpan, ...] = ()
    """Spans of ages, both ends included, whose age label is not trained on, such as [[57, 59]]."""

    def problems(self) -> Iterator[str]:
        """Yield what cannot stand together."""
        for name in ("task_boundaries", "train_boundaries"):
            low, high = getattr(self, name)
            if low >= high:
                yield f"{name} must rise, such as [30, 60], not [{low}, {high}]"
        for first, last in self.drop_ages:
            if first > last:
                yield f"drop_ages: [{first}, {last}] holds no age; write [{last}, {first}]"
        low, high = self.train_boundaries
        groups = {"young": range(low), "middle": range(low, high), "old": range(high, 121)}
        for name, ages in groups.items():
            if ages and all(self.drops(age) for age in ages):
                yield f"drop_ages leaves no age of the {name} group to train on"

    def drops(self, age: int) -> bool:
        """Return whether training leaves this age out."""
        return any(first <= age <= last for first, last in self.drop_ages)

    def drops_all(self, first: int, last: int) -> bool:
        """Return whether training leaves out every age of a range."""
        return bool(self.drop_ages) and all(map(self.drops, range(first, last + 1)))


class PreprocessSettings(Section):
    """From a decoded photo to the array that the model sees; saved with the model."""

    height: Annotated[int, Field(ge=16, le=2048)] = 128
    """Pixels."""
    width: Annotated[int, Field(ge=16, le=2048)] = 128
    """Pixels."""
    detector: Literal["yunet", "centerface", "none"] = "yunet"
    """What finds the face where no box is given: yunet, centerface, or none."""
    align: bool = False
    """Turn the photo so that the eyes are level, where the detector's points make sense."""
    fit: Literal["cover", "contain", "native"] = "cover"
    """cover: fill the frame, cut the rest; contain: pad; native: no scaling. Never squash."""
    centre: Annotated[float, Field(gt=0.1, le=1)] = 1.0
    """Share of a photo's shorter fit kept about its centre, where no box says where the face is."""
    margin: Annotated[float, Field(ge=0, le=3)] = 0.3
    """Added around a face box on each side, in shares of its longer side; .3: hair, ears, neck."""
    edge: Literal["pad", "slide"] = "pad"
    """Of a crop over the edge of the photo: pad it; or slide it inside, smaller where need be."""
    spare: Annotated[int, Field(ge=0, le=512)] = 0
    """Pixels about the frame that training crops from at random; answers take the middle."""
    scale: Literal["set", "photo"] = "set"
    """What values are scaled by: `mean` and `std`, or each photo's own mean and deviation."""
    extra: Literal["none", "luma", "edges"] = "none"
    """A fourth channel beside the colours: lightness, or edges (Sobel) of it."""
    mean: tuple[float, float, float] | None = None
    """Per channel, of values 0..1; none takes what the backbone was pretrained with."""
    std: tuple[Positive, Positive, Positive] | None = None
    """Likewise; the pixels are divided by it."""

    def problems(self) -> Iterator[str]:
        """Yield what cannot stand together."""
        if self.align and self.detector == "none":
            yield "align turns the eyes level, and detector=none finds no eyes"


class CacheSettings(Section):
    """The decoded photos on disk."""

    folder: UserPath | None = None
    """none: $XDG_CACHE_HOME/maskwise, or ~/.cache/maskwise."""
    limit_gb: Annotated[float, Field(ge=0)] = 20.0
    """A set that would take more is streamed through workers instead, with the same pixels."""
    workers: Annotated[int, Field(ge=0, le=256)] = Field(default_factory=core_count)
    """Processes that decode; 0 decodes in this one."""
    device_limit_gb: Annotated[float, Field(ge=0)] = 4.0
    """Photos of a run that take up to this are copied to the accelerator once and stay there."""
