"""Who is drawn: random but repeatable looks, with their cues of gender and age.

A person's plan depends on the seed, the split and the person's number only, so person 3 looks
alike whether 10 or 60 people are drawn.
"""

from dataclasses import dataclass
from typing import Final

import numpy as np

from maskwise.data.drawn.canvas import Colour, mix
from maskwise.labels import Gender

SPLITS: Final = ("train", "eval")

# In each run of 18 people these two are 60 or older: an odd number is male, an even one female.
_PERIOD: Final = 18
_OLD_SLOTS: Final = {"train": (3, 10), "eval": (1, 4)}
_AGES: Final = {"young": (18, 22, 29), "middle": (30, 46, 59), "old": (60, 69, 75)}
"""Youngest, most frequent and oldest age drawn of each group."""


@dataclass(frozen=True)
class HairStyle:
    """Shape of the hair: where it ends, how full it is and what falls over the forehead."""

    name: str
    length: float  # y where it ends; below 0.5 there is none beside the face
    volume: float
    fringe: float  # 0 none, 1 down to the brows
    parting: float  # x of the parting; a sweep falls to the other side
    wave: float = 0.0
    tied: bool = False


_STYLES: Final = {
    "long": HairStyle("long", 2.4, 0.12, 0.0, 0.15),
    "wavy": HairStyle("wavy", 2.1, 0.2, 0.0, 0.3, wave=0.07),
    "long fringe": HairStyle("long", 2.2, 0.12, 1.0, 0.0),
    "bob": HairStyle("bob", 1.2, 0.17, 0.9, 0.2),
    "chin length": HairStyle("bob", 1.45, 0.14, 0.0, 0.35, wave=0.03),
    "tied": HairStyle("tied", 0.2, 0.06, 0.0, 0.2, tied=True),
    "pixie": HairStyle("pixie", 0.3, 0.13, 0.75, 0.3, wave=0.03),
    "crop": HairStyle("crop", 0.1, 0.1, 0.35, 0.0),
    "side": HairStyle("side", 0.1, 0.14, 0.45, 0.45),
    "two block": HairStyle("two block", 0.2, 0.18, 0.95, 0.1),
    "spiky": HairStyle("spiky", 0.05, 0.2, 0.3, 0.0),
    "buzz": HairStyle("buzz", 0.05, 0.03, 0.0, 0.0),
}
_FEMALE_STYLES: Final = {
    "long": 0.26, "wavy": 0.16, "long fringe": 0.14, "bob": 0.12, "chin length": 0.12,
    "tied": 0.12, "pixie": 0.06, "two block": 0.02,
}  # fmt: skip
_MALE_STYLES: Final = {
    "crop": 0.28, "side": 0.26, "two block": 0.16, "spiky": 0.1, "buzz": 0.11, "pixie": 0.03,
    "chin length": 0.03, "tied": 0.03,
}  # fmt: skip

_SKINS: Final[tuple[Colour, ...]] = (
    (247, 220, 198), (241, 208, 180), (232, 194, 162), (222, 178, 142), (204, 156, 118),
    (176, 126, 90),
)  # fmt: skip
_NATURAL_HAIR: Final[tuple[Colour, ...]] = (
    (26, 22, 24), (36, 28, 27), (52, 38, 32), (74, 50, 38), (44, 30, 34),
)  # fmt: skip
_DYED_HAIR: Final[tuple[Colour, ...]] = (
    (112, 66, 38), (150, 104, 62), (190, 152, 100), (122, 44, 38), (92, 86, 106),
)  # fmt: skip
CLOTH_COLOURS: Final[tuple[Colour, ...]] = (
    (238, 238, 236), (40, 42, 48), (52, 72, 112), (128, 132, 138), (172, 60, 58), (86, 110, 86),
    (216, 190, 150), (120, 92, 120), (90, 140, 176), (226, 170, 176), (206, 176, 70),
)  # fmt: skip


@dataclass(frozen=True)
class Person:
    """What stays the same over all photos of a person, in head units where it is a length."""

    gender: Gender
    age: int
    skin: Colour
    width: float
    jaw: float
    chin: float
    length: float
    neck: float
    shoulder: float
    eye_size: float
    eye_gap: float
    eye_tilt: float
    eye_colour: Colour
    lid_droop: float
    lashes: float
    brow_thick: float
    brow_height: float
    brow_tilt: float
    nose_width: float
    nose_tip: float
    mouth_width: float
    lip_full: float
    makeup: float
    hair: HairStyle
    hair_colour: Colour
    grey: float  # share of grey hair, 0..1
    recede: float  # 0 full hairline .. 1 bald
    beard: str  # "", "stubble", "moustache", "goatee" or "full"
    glasses: str  # "", "round", "square" or "thin"
    earrings: bool
    wrinkles: float  # 0..1, grows with age
    forehead_lines: float  # how strongly this person's wrinkles show in each place
    crow_feet: float
    cheek_folds: float
    eye_bags: float
    spots: int
    texture_seed: int


def plan_person(seed: int, index: int, split: str) -> Person:
    """Return person number `index` (from 0) of a split, "train" or "eval".

    Genders alternate and ages run from 18 to 75, with the same numbers 60 or older for every
    seed, so that a small set holds old men and old women too.
    """
    rng = np.random.default_rng([seed, SPLITS.index(split), index])
    gender = Gender.MALE if index % 2 else Gender.FEMALE
    # ages next to a boundary exist but are rare, as nobody could tell 29 from 30 in a drawing
    youngest, usual, oldest = _AGES[_age_slot(index, split)]
    return _random_person(rng, gender, int(rng.triangular(youngest, usual, oldest + 1)))


def _age_slot(index: int, split: str) -> str:
    if index % _PERIOD in _OLD_SLOTS[split]:
        return "old"
    return "middle" if index // 2 % 2 else "young"


def _random_person(rng: np.random.Generator, gender: Gender, age: int) -> Person:
    woman = gender is Gender.FEMALE
    looks = age + rng.normal(0, 1.5)  # people look older or younger than they are
    years = max(looks - 18, 0) / 57
    # Every feature leans to one side by its own draw, so that no single one tells the gender.
    lean = rng.normal(0.9 if woman else -0.9, 0.3)
    recede = 0.0 if woman else float(np.clip(years * rng.uniform(-0.3, 1.7) - 0.15, 0, 1))
    return Person(
        gender=gender,
        age=age,
        skin=mix(_skin(rng), (170, 148, 128), 0.3 * years),  # skin grows duller
        width=rng.normal(0.99, 0.03),
        jaw=rng.normal(0.78 - 0.055 * lean + 0.02 * years, 0.02),
        chin=rng.normal(0.31 - 0.07 * lean, 0.025),
        length=rng.normal(1.33 - 0.045 * lean, 0.03),
        neck=rng.normal(0.6 - 0.1 * lean, 0.03),
        shoulder=rng.normal(1.75 - 0.22 * lean, 0.07),
        eye_size=rng.normal(0.225 + 0.014 * lean - 0.045 * years, 0.01),
        eye_gap=rng.normal(0.44, 0.015),
        eye_tilt=rng.normal(0.02 + 0.015 * lean - 0.04 * years, 0.02),
        eye_colour=mix((58, 36, 24), (112, 78, 48), rng.uniform()),
        lid_droop=float(np.clip(rng.normal(0.9 * years, 0.08), 0, 1)),
        lashes=float(np.clip(rng.normal(0.45 + 0.4 * lean, 0.15), 0, 1)),
        brow_thick=rng.normal(0.08 - 0.026 * lean, 0.01),
        brow_height=rng.normal(0.32 + 0.035 * lean, 0.02),
        brow_tilt=rng.normal(0.03, 0.02),
        nose_width=rng.normal(0.24 - 0.025 * lean + 0.02 * years, 0.015),
        nose_tip=rng.normal(0.5 + 0.03 * years, 0.02),
        mouth_width=rng.normal(0.37 - 0.015 * lean, 0.02),
        lip_full=max(rng.normal(0.095 + 0.025 * lean - 0.045 * years, 0.01), 0.04),
        makeup=rng.uniform(0.1, 1.0) if woman else rng.uniform(0, 0.12),
        hair=_hair(rng, woman, years),
        hair_colour=_hair_colour(rng, woman, looks),
        grey=_grey(rng, woman, looks),
        recede=recede,
        beard="" if woman else pick(rng, _beards(looks)),
        glasses=pick(rng, {"": 0.7, "round": 0.1, "square": 0.12, "thin": 0.08}),
        earrings=bool(rng.uniform() < (0.45 if woman else 0.05)),
        wrinkles=float(np.clip((looks - 20) / 50, 0, 1)) ** 0.8,
        forehead_lines=rng.uniform(0.8, 1.1),
        crow_feet=rng.uniform(0.8, 1.1),
        cheek_folds=rng.uniform(0.8, 1.1),
        eye_bags=rng.uniform(0.8, 1.1),
        spots=int(rng.poisson(1 + 9 * years**2)),
        texture_seed=int(rng.integers(2**32)),
    )


def pick(rng: np.random.Generator, shares: dict[str, float]) -> str:
    """Return a random word, each as often as its share says."""
    weights = np.array(list(shares.values()))
    return list(shares)[int(rng.choice(len(weights), p=weights / weights.sum()))]


def _skin(rng: np.random.Generator) -> Colour:
    first = int(rng.choice(5, p=(0.25, 0.3, 0.25, 0.12, 0.08)))
    return mix(_SKINS[first], _SKINS[first + 1], rng.uniform())


def _hair(rng: np.random.Generator, woman: bool, years: float) -> HairStyle:
    shares = dict(_FEMALE_STYLES if woman else _MALE_STYLES)
    for long in {"long", "long fringe", "wavy"} & shares.keys():
        shares[long] *= 1.2 - 0.8 * years  # long hair is rarer with age
    style = _STYLES[pick(rng, shares)]
    return HairStyle(
        name=style.name,
        length=style.length * rng.uniform(0.92, 1.1),
        volume=style.volume * rng.uniform(0.75, 1.25),
        fringe=style.fringe * rng.uniform(0.8, 1.1),
        parting=style.parting * rng.choice((-1, 1)) + rng.normal(0, 0.04),
        wave=style.wave + rng.uniform(0, 0.02),
        tied=style.tied,
    )


def _hair_colour(rng: np.random.Generator, woman: bool, looks: float) -> Colour:
    dyed = (0.3 if woman else 0.1) if looks < 55 else 0.1
    colours = _DYED_HAIR if rng.uniform() < dyed else _NATURAL_HAIR
    return mix(colours[rng.integers(len(colours))], colours[rng.integers(len(colours))], 0.4)


def _grey(rng: np.random.Generator, woman: bool, looks: float) -> float:
    natural = 1 / (1 + np.exp(-(looks - 57 + rng.normal(0, 4)) / 5))
    covered = looks > 40 and rng.uniform() < (0.25 if woman else 0.12)
    early = 0.25 if rng.uniform() < 0.04 else 0.0
    return float(max(natural * (0.2 if covered else 1.0), early))


def _beards(looks: float) -> dict[str, float]:
    grown = 0.05 if looks < 24 else 0.09
    return {"": 0.55, "stubble": 0.25, "moustache": grown, "goatee": grown, "full": grown}
