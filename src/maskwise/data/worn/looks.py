"""What a mask looks like and where it sits: drawn by chance, then fixed."""

from dataclasses import dataclass
from typing import Final

import numpy as np

from maskwise.data.drawn.people import pick
from maskwise.labels import MaskState

Colour = tuple[float, float, float]
"""Share of light that is thrown back, per channel, 0 to 1 and linear."""

KINDS: Final = {
    "surgical": 0.43, "kf94": 0.12, "kn95": 0.08, "n95": 0.05, "sponge": 0.16, "cloth": 0.09,
    "bandana": 0.07,
}  # fmt: skip
"""Kind of mask -> share. kf94 is boat-shaped, kn95 a beak, n95 a cup, sponge fits closely."""

WRONG_PLACES: Final = {
    "nose out": 0.4, "tip out": 0.05, "mouth out": 0.19, "under chin": 0.16, "one ear": 0.04,
    "askew": 0.05, "too small": 0.03, "too high": 0.03, "over the eyes": 0.03,
    "on the forehead": 0.02,
}  # fmt: skip
"""Place of a mask that is worn wrong -> share."""

_WHITE: Final = (0.82, 0.82, 0.82)
_BLACK: Final = (0.016, 0.016, 0.019)
_COLOURS: Final[dict[str, tuple[tuple[Colour, float], ...]]] = {
    "surgical": (
        ((0.36, 0.62, 0.78), 0.36), ((0.24, 0.46, 0.66), 0.07), (_WHITE, 0.28), (_BLACK, 0.12),
        ((0.8, 0.5, 0.55), 0.07), ((0.45, 0.68, 0.6), 0.07), ((0.5, 0.5, 0.66), 0.03),
    ),
    "kf94": ((_WHITE, 0.62), (_BLACK, 0.22), ((0.3, 0.3, 0.31), 0.06), ((0.62, 0.45, 0.3), 0.05),
             ((0.75, 0.5, 0.5), 0.05)),
    "kn95": ((_WHITE, 0.8), (_BLACK, 0.14), ((0.4, 0.41, 0.42), 0.06)),
    "n95": ((_WHITE, 0.75), ((0.5, 0.52, 0.53), 0.12), ((0.3, 0.5, 0.62), 0.08), (_BLACK, 0.05)),
    "sponge": ((_BLACK, 0.55), ((0.06, 0.065, 0.08), 0.2), ((0.02, 0.04, 0.1), 0.1),
               (_WHITE, 0.06), ((0.35, 0.36, 0.38), 0.06), ((0.6, 0.25, 0.3), 0.03)),
}  # fmt: skip


@dataclass(frozen=True)
class MaskLook:
    """A mask as it is worn on one photo."""

    kind: str
    place: str
    """'worn', or one of `WRONG_PLACES`."""
    colour: Colour
    accent: Colour
    """Of the pattern, or of seams and valve."""
    strap: Colour
    pattern: str
    """'plain', 'stripes', 'checks', 'dots', 'print' or 'paisley'."""
    lift: float
    """-1 (sits low) to 1 (sits high) within what the place allows."""
    size: float
    """Width and height as a share of the usual."""
    tilt: float
    """Radians that the mask is turned on the face."""
    side: int
    """-1 or 1: the ear it hangs from, the side that hangs lower."""
    bright: float
    """Light on the mask as a share of that on the face."""
    tied: bool
    """Whether straps are seen; a bandana or scarf may lie without."""
    crumple: float
    """Depth of folds, 0 to 1."""
    seed: int
    """Of folds, pattern and noise."""


def plan_look(rng: np.random.Generator, state: MaskState) -> MaskLook:
    """Return the look of a mask that is worn right or wrong.

    Raises:
        ValueError: the state is not_wear, which has no mask.
    """
    if state is MaskState.NOT_WEAR:
        raise ValueError("a bare face has no mask")
    worn = state is MaskState.WEAR
    kind = pick(rng, KINDS)
    place = "worn" if worn else pick(rng, WRONG_PLACES)
    pulled = place in {"mouth out", "under chin", "on the forehead"}
    patterns = {"plain": 0.4, "stripes": 0.12, "checks": 0.14, "dots": 0.14, "print": 0.2}
    if kind == "bandana":
        patterns = {"plain": 0.45, "paisley": 0.35, "dots": 0.1, "checks": 0.1}
    colour = _colour(rng, kind)
    return MaskLook(
        kind=kind,
        place=place,
        colour=colour,
        accent=_any_colour(rng),
        strap=_strap(rng, kind, colour),
        pattern=pick(rng, patterns) if kind in {"cloth", "bandana"} else "plain",
        lift=rng.uniform(-1, 1),
        size=rng.uniform(0.62, 0.74) if place == "too small" else rng.normal(1.0, 0.045),
        tilt=_tilt(rng, place),
        side=int(rng.choice((-1, 1))),
        bright=float(np.clip(rng.normal(1.0, 0.18), 0.6, 1.5)),
        tied=kind != "bandana" or bool(rng.uniform() < 0.3),
        crumple=rng.uniform(0.4, 1.0) if pulled else rng.uniform(0.0, 0.6),
        seed=int(rng.integers(2**32)),
    )


def _tilt(rng: np.random.Generator, place: str) -> float:
    if place == "askew":
        return float(rng.choice((-1, 1)) * rng.uniform(0.26, 0.5))
    return float(rng.normal(0, 0.035 if place == "worn" else 0.07))


def _colour(rng: np.random.Generator, kind: str) -> Colour:
    if kind in {"cloth", "bandana"}:
        return _any_colour(rng)
    colours, shares = zip(*_COLOURS[kind], strict=True)
    chosen = colours[rng.choice(len(colours), p=np.array(shares) / sum(shares))]
    red, green, blue = (float(np.clip(value * rng.normal(1, 0.06), 0.01, 0.88)) for value in chosen)
    return red, green, blue


def _any_colour(rng: np.random.Generator) -> Colour:
    bright = rng.uniform(0.02, 0.75)
    tint = rng.dirichlet((1.2, 1.2, 1.2)) * 3
    share = rng.uniform(0, 0.75)
    red, green, blue = (
        float(np.clip(bright * (1 - share + share * value), 0.01, 0.88)) for value in tint
    )
    return red, green, blue


def _strap(rng: np.random.Generator, kind: str, colour: Colour) -> Colour:
    if kind == "n95" and rng.uniform() < 0.4:
        return 0.75, 0.55, 0.15
    if kind in {"surgical", "kf94", "kn95"} and sum(colour) > 0.3:
        return _WHITE
    return colour
