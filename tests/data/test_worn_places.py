"""What a drawn mask covers and leaves free on the face: what the name of its place says."""

from dataclasses import replace
from typing import Final

import numpy as np
import pytest

from maskwise.data.worn import looks, render
from maskwise.data.worn.head import MOUTH, NOSE_TIP, Head, half_width, surface
from maskwise.data.worn.looks import KINDS, WRONG_PLACES, MaskLook, plan_look
from maskwise.labels import MaskState

SCALE: Final = 20.0
SKIN: Final = np.full((132, 104, 3), (200, 158, 132), np.uint8)
FRONTAL: Final = Head(52.0, 48.0, SCALE, roll=0.0, yaw=0.0, pitch=0.0, wide=1.0, long=1.0)
HEADS: Final = {
    "frontal": FRONTAL,
    "to the right": replace(FRONTAL, yaw=0.5),
    "to the left": replace(FRONTAL, yaw=-0.5, roll=0.1),
    "long, down": replace(FRONTAL, long=1.15, pitch=0.12),
    "short, up": replace(FRONTAL, long=0.87, pitch=-0.12, wide=1.08),
}
POINTS: Final = {
    "right eye": (-0.5, 0.0), "left eye": (0.5, 0.0), "tip": (0.0, NOSE_TIP),
    "right nostril": (-0.14, 0.8), "left nostril": (0.14, 0.8), "mouth": (0.0, MOUTH),
    "right mouth": (-0.3, MOUTH), "left mouth": (0.3, MOUTH), "chin": (0.0, 1.7),
    "under chin": (0.0, 2.0), "forehead": (0.0, -0.75),
}  # fmt: skip
"""Name -> x in eye distances, height on the average face."""
EYES: Final = {"right eye", "left eye"}
NOSE: Final = {"tip", "right nostril", "left nostril"}
MOUTHS: Final = {"right mouth", "mouth", "left mouth"}
WORN: Final = {*NOSE, *MOUTHS, "chin"}
"""What a mask that is worn right covers."""
RULES: Final[dict[str, tuple[set[str], set[str]]]] = {
    "worn": (WORN, {*EYES, "forehead"}),
    "nose out": ({*MOUTHS, "chin"}, {*EYES, *NOSE}),
    "tip out": ({*MOUTHS, "chin"}, {*EYES, "tip"}),
    "mouth out": ({"chin"}, {*EYES, *NOSE, *MOUTHS}),
    "under chin": ({"under chin"}, {*EYES, *NOSE, *MOUTHS}),
    "one ear": (set(), {*EYES, "tip", "mouth", "chin"}),  # of a turned face it hides the side
    "askew": (MOUTHS, {*EYES, "forehead"}),
    "too small": (MOUTHS, {*EYES, "forehead"}),
    "too high": ({"tip"}, {"mouth", "chin", "forehead"}),
    "over the eyes": (EYES, {*MOUTHS, "chin"}),
    "on the forehead": ({"forehead"}, {*EYES, *WORN}),
}
"""Place -> what is covered, what is free."""


def black_mask(kind: str, place: str, seed: int) -> MaskLook:
    """Return a look of a kind at a place; all of it is black."""
    black = (0.01, 0.01, 0.01)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(looks, "KINDS", {kind: 1.0})
        patch.setattr(looks, "WRONG_PLACES", {place: 1.0})
        state = MaskState.WEAR if place == "worn" else MaskState.INCORRECT
        look = plan_look(np.random.default_rng(seed), state)
    return replace(look, colour=black, accent=black, strap=black, pattern="plain")


def covered(head: Head, look: MaskLook) -> set[str]:
    """Return the points of the face that the cloth of a black mask covers."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(render, "straps", lambda *_: [])
        drawn = render.draw_mask(SKIN, head, look).pixels / SKIN
    names = set()
    for name in POINTS:
        column, row = spot(head, name)
        if drawn[row, column].mean() < 0.5:  # a shadow leaves more
            names.add(name)
    return names


def spot(head: Head, name: str) -> tuple[int, int]:
    """Return column and row of a point of the face."""
    x, y = POINTS[name]
    turn = np.arcsin(x / half_width(np.array(y)))
    height = np.array(y * head.long if y > 0 else y)
    column, row = head.project(surface(turn, height, head.long))[:2].astype(int).tolist()
    return column, row


def problems(place: str, kind: str) -> list[str]:
    """Return where a mask, high or low, is not what its place says, for every head."""
    found = []
    hidden, free = RULES[place]
    for number, (name, head) in enumerate(HEADS.items()):
        lift = 0.95 * (-1) ** (number + list(KINDS).index(kind))
        look = replace(black_mask(kind, place, number), lift=lift)
        seen = covered(head, look)
        wrong = sorted({f"{point} free" for point in hidden - seen})
        wrong += sorted({f"{point} covered" for point in free & seen})
        if place != "worn" and seen >= WORN:
            wrong.append("nothing free")
        if wrong:
            found.append(f"{name}, lift {lift}, tilt {look.tilt:.2f}: {', '.join(wrong)}")
    return found


def test_every_place_has_a_rule() -> None:
    assert set(RULES) == {"worn", *WRONG_PLACES}


@pytest.mark.parametrize("place", RULES)
@pytest.mark.parametrize("kind", KINDS)
def test_mask_covers_and_leaves_free_what_its_place_says(place: str, kind: str) -> None:
    assert problems(place, kind) == []


@pytest.mark.parametrize("kind", KINDS)
def test_mask_worn_right_covers_by_any_draw(kind: str) -> None:
    hidden, free = RULES["worn"]
    for seed in range(12):
        head = list(HEADS.values())[seed % len(HEADS)]
        seen = covered(head, black_mask(kind, "worn", 100 + seed))
        assert seen >= hidden, seed
        assert not seen & free, seed


@pytest.mark.parametrize("place", ["worn", "nose out", "one ear"])
def test_the_head_hides_the_straps_behind_it(place: str) -> None:
    """The far ear of a turned face lies behind its far eye."""
    crossed = []
    for kind in KINDS:
        for seed, yaw in enumerate((-0.55, -0.45, 0.45, 0.55)):
            head = replace(FRONTAL, yaw=yaw)
            look = replace(black_mask(kind, place, seed), side=1 if yaw > 0 else -1)
            drawn = render.draw_mask(SKIN, head, look).pixels / SKIN
            column, row = spot(head, "left eye" if yaw > 0 else "right eye")
            eye = drawn[row - 1 : row + 2, column - 1 : column + 2].mean(axis=2)
            if eye.min() < 0.5:
                crossed.append((kind, yaw))
    assert crossed == []
