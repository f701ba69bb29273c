"""Settings of random changes to training photos."""

from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any, Final, Literal, get_args

from pydantic import Field, model_validator

from maskwise.config.base import NotNegative, PartialShare, Section, Share, UserPath

Change = Literal[
    "flip", "rotate", "zoom", "shift", "shear", "resized_crop", "brightness", "contrast",
    "saturation", "hue", "grey", "clahe", "blur", "noise", "jpeg", "erase", "background", "policy",
]  # fmt: skip


_CHANGES: Final = tuple(change for change in get_args(Change) if change != "policy")


class AugmentSettings(Section):
    """Random changes to training photos. A strength of 0 or a probability of 0 is off."""

    enabled: bool = True
    """false: photos are trained on as they are."""
    base: Literal["ours", "none"] = "ours"
    """What is not set is as it stands here, or none: off."""
    flip: Share = 0.5
    """Probability of a mirror image."""
    rotate: Annotated[float, Field(ge=0, le=180)] = 12.0
    """Largest rotation in degrees, either way."""
    zoom: PartialShare = 0.15
    """Scale drawn from 1 - zoom to 1 + zoom; above 1 crops."""
    shift: Share = 0.06
    """Largest shift, in shares of the side; what comes into view repeats the edge."""
    shear: Annotated[float, Field(ge=0, le=45)] = 4.0
    """Largest shear in degrees."""
    resized_crop: Share = 0.0
    """Probability that a random part is cropped and resized to the frame."""
    resized_crop_share: Annotated[float, Field(gt=0, le=1)] = 0.5
    """Smallest share of the photo's area that such a part has."""
    brightness: PartialShare = 0.25
    """Values are multiplied by 1 - brightness to 1 + brightness."""
    contrast: PartialShare = 0.25
    """The distance to the photo's mean is multiplied by 1 - contrast to 1 + contrast."""
    saturation: Share = 0.3
    """The distance to grey is multiplied by 1 - saturation to 1 + saturation."""
    hue: Annotated[float, Field(ge=0, le=180)] = 8.0
    """Largest turn of the colours around the grey axis, in degrees."""
    grey: Share = 0.05
    """Probability of a grey photo."""
    clahe: Share = 0.0
    """Probability of a local equalisation of contrast."""
    clahe_limit: Annotated[float, Field(ge=1, le=40)] = 4.0
    """Largest clip limit of it."""
    blur: Share = 0.1
    """Probability of a Gaussian blur."""
    blur_sigma: Annotated[float, Field(gt=0, le=10)] = 1.2
    """Largest sigma, in pixels."""
    noise: Share = 0.15
    """Probability of Gaussian noise."""
    noise_sigma: Annotated[float, Field(gt=0, le=1)] = 0.06
    """Largest sigma, for values 0..1."""
    jpeg: Share = 0.0
    """Probability of JPEG compression."""
    jpeg_quality: Annotated[int, Field(ge=1, le=99)] = 30
    """Lowest quality of it; the best is 100."""
    erase: Share = 0.1
    """Probability of a grey rectangle."""
    erase_share: Annotated[float, Field(gt=0, le=0.5)] = 0.15
    """Largest share of the photo that the rectangle takes."""
    one_of: Annotated[
        tuple[Annotated[tuple[Change, ...], Field(min_length=2)], ...], Field(max_length=4)
    ] = ()
    """Groups of changes of which each photo gets one: [[brightness, contrast, saturation, hue]]."""
    policy: str = "none"
    """none, randaugment, trivialaugment, or a .yaml file that `maskwise search augment` wrote."""
    policy_share: Share = 1.0
    """Probability that the policy acts on a photo."""
    randaugment_count: Annotated[int, Field(ge=1, le=15)] = 2
    """Changes that randaugment makes to a photo."""
    randaugment_strength: Annotated[float, Field(gt=0, lt=30)] = 9.0
    """Strength of each, from above 0 to below 30."""
    background: Share = 0.0
    """Probability of another background, for photos that have a matte."""
    mattes: UserPath | None = None
    """Folder of the mattes that `maskwise data background` saved."""

    @model_validator(mode="before")
    @classmethod
    def _from_base(cls, values: Any) -> Any:
        if isinstance(values, dict) and values.get("base") == "none":
            return {**dict.fromkeys(_CHANGES, 0), **values}
        return values

    def problems(self) -> Iterator[str]:
        """Yield what cannot stand together."""
        if self.background and self.mattes is None:
            yield "background needs mattes: the folder that data background wrote"
        named = [change for group in self.one_of for change in group]
        for change in dict.fromkeys(named):
            if named.count(change) > 1:
                yield f"one_of names {change} twice"
            if not self.acts(change):
                yield f"one_of names {change}, which is off: give {change} a value above 0"

    def acts(self, change: Change) -> bool:
        """Return whether a change is on."""
        return bool(self.policy != "none" if change == "policy" else getattr(self, change))

    @property
    def used_mattes(self) -> Path | None:
        """The folder of mattes, where training puts them to use."""
        return self.mattes if self.enabled and self.background else None


class MixSettings(Section):
    """Training photos made of two; each half keeps its own labels."""

    cutmix: Share = 0.0
    """Probability that a part of a photo is replaced by the same part of another."""
    cutmix_shape: Literal["box", "half"] = "box"
    """box: a rectangle anywhere; half: all to the left, or all to the right, of the middle."""
    cutmix_keep: tuple[PartialShare, PartialShare] = (0.46, 0.54)
    """Of half: least and largest share that is kept."""
    mixup: Share = 0.0
    """Probability that a photo is blended with another; cutmix goes before."""
    alpha: Annotated[float, Field(gt=0, le=100)] = 1.0
    """The kept share of box and mixup is drawn from Beta(alpha, alpha); 1 is even."""
    with_old: bool = False
    """The other photo is of a person of the old group."""
    within_mask: bool = False
    """The other photo has the same mask state."""
    age_gap: NotNegative = 0.0
    """Largest difference of the two ages in years; 0: any, or unknown."""

    def problems(self) -> Iterator[str]:
        """Yield what cannot stand together."""
        low, high = self.cutmix_keep
        if low > high or not low:
            yield f"cutmix_keep must rise from above 0, not {low:g} to {high:g}"
        if self.cutmix + self.mixup > 1:
            yield "cutmix and mixup are of different photos: together at most 1"

    @property
    def enabled(self) -> bool:
        """Whether photos are mixed at all."""
        return bool(self.cutmix or self.mixup)
