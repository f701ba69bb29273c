"""How each photo of a drawn person is taken: mask, pose, light, clothes and camera."""

from dataclasses import dataclass
from typing import Final

import numpy as np

from maskwise.data.drawn.canvas import Colour, mix
from maskwise.data.drawn.people import CLOTH_COLOURS, SPLITS, pick
from maskwise.labels import MaskState


@dataclass(frozen=True)
class MaskLook:
    """A mask, where it sits and how it is coloured.

    `kind` is "surgical", "kf94" or "cloth"; `place` is "worn", "nose out", "tip out",
    "mouth out", "under chin" or "one ear".
    """

    kind: str
    place: str
    colour: Colour
    accent: Colour
    pattern: str  # "plain", "stripes", "dots" or "checks"
    lift: float  # how much higher (below 0) or lower it sits than usual
    side: int  # the ear it hangs from


@dataclass(frozen=True)
class PhotoPlan:
    """What changes from photo to photo of a person."""

    mask: MaskLook | None
    x: float
    y: float
    scale: float
    roll: float
    yaw: float
    pitch: float
    smile: float
    mouth_open: float
    eyes_open: float
    gaze: float
    light_side: float  # -1 from the left .. 1 from the right
    light_fall: float  # brightness lost from one side of the photo to the other, 0..0.5
    warmth: float  # -1 bluish .. 1 yellowish
    exposure: float
    backdrop: str
    cloth: str
    cloth_colour: Colour
    scarf: bool
    noise: float
    blur: float
    quality: int
    texture_seed: int


_MASK_COLOURS: Final[dict[str, tuple[Colour, ...]]] = {
    "surgical": ((150, 196, 224), (236, 240, 242), (46, 46, 50), (234, 186, 196), (168, 212, 196)),
    "kf94": ((242, 242, 240), (40, 40, 44), (176, 178, 182), (220, 196, 170), (226, 192, 196)),
    "cloth": CLOTH_COLOURS,
}
_WRONG_PLACES: Final = {
    "nose out": 0.34, "tip out": 0.2, "mouth out": 0.16, "under chin": 0.22, "one ear": 0.08,
}  # fmt: skip


def plan_photo(seed: int, index: int, split: str, photo: int, state: MaskState) -> PhotoPlan:
    """Return the plan of photo number `photo` (from 0) of a person, in a mask state."""
    # A trailing zero would not change the seed, so photos count from 1 here.
    rng = np.random.default_rng([seed, SPLITS.index(split), index, photo + 1])
    scale = rng.normal(104, 8)
    backdrops = ("plain", "gradient", "shelf", "stripes", "blobs", "window")
    cloths = {"tee": 0.3, "shirt": 0.22, "hoodie": 0.16, "high collar": 0.16, "v-neck": 0.16}
    return PhotoPlan(
        mask=None if state is MaskState.NOT_WEAR else _mask(rng, state),
        x=rng.normal(192, 12),
        y=rng.normal(236, 14),
        scale=float(np.clip(scale, 86, 122)),
        roll=rng.normal(0, 0.06),
        yaw=float(np.clip(rng.normal(0, 0.35), -0.9, 0.9)),
        pitch=float(np.clip(rng.normal(0, 0.4), -1, 1)),
        smile=rng.uniform(-0.1, 1.0),
        mouth_open=max(rng.uniform(-1.0, 1.0), 0.0),
        eyes_open=rng.uniform(0.78, 1.1),
        gaze=rng.normal(0, 0.25),
        light_side=rng.uniform(-1, 1),
        light_fall=rng.uniform(0, 0.4),
        warmth=rng.normal(0, 0.4),
        exposure=rng.uniform(0.75, 1.03),
        backdrop=backdrops[rng.integers(len(backdrops))],
        cloth=pick(rng, cloths),
        cloth_colour=CLOTH_COLOURS[rng.integers(len(CLOTH_COLOURS))],
        scarf=bool(rng.uniform() < (0.25 if state is MaskState.NOT_WEAR else 0.08)),
        noise=rng.uniform(1.0, 7.0),
        blur=max(rng.uniform(-1.2, 1.2), 0.0),
        quality=int(rng.integers(72, 95)),
        texture_seed=int(rng.integers(2**32)),
    )


def _mask(rng: np.random.Generator, state: MaskState) -> MaskLook:
    kind = pick(rng, {"surgical": 0.4, "kf94": 0.35, "cloth": 0.25})
    colours = _MASK_COLOURS[kind]
    first = min(int(rng.exponential(1.3)), len(colours) - 1) if kind != "cloth" else None
    colour = colours[rng.integers(len(colours)) if first is None else first]
    patterns = {"plain": 0.3, "stripes": 0.25, "dots": 0.25, "checks": 0.2}
    return MaskLook(
        kind=kind,
        place="worn" if state is MaskState.WEAR else pick(rng, _WRONG_PLACES),
        colour=mix(colour, (rng.uniform(0, 255), 128, rng.uniform(0, 255)), 0.06),
        accent=CLOTH_COLOURS[rng.integers(len(CLOTH_COLOURS))],
        pattern=pick(rng, patterns) if kind == "cloth" else "plain",
        lift=rng.uniform(-1, 1),
        side=int(rng.choice((-1, 1))),
    )
