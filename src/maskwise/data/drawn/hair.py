"""Hair in layers: what hangs behind the neck, the cap on the skull, what falls in front."""

from typing import Final

import numpy as np

from maskwise.data.drawn.canvas import (
    Canvas,
    Colour,
    Points,
    closed,
    ellipse,
    flipped,
    mirrored,
    mix,
    opened,
    scaled,
    shifted,
)
from maskwise.data.drawn.people import Person

_GREY: Final[Colour] = (208, 208, 206)
_BALD: Final = 0.8


def draw_back_hair(canvas: Canvas, person: Person) -> None:
    """Draw the hair that hangs behind neck and ears, or that is tied up behind the head."""
    hair, colour = person.hair, scaled(_tone(person), 0.72)
    wide = 1.08 * person.width + hair.volume
    if hair.tied:
        canvas.fill(ellipse(0.1, -1.35, 0.36, 0.3), colour)
        canvas.fill(ellipse(0.06, -1.4, 0.24, 0.18), scaled(colour, 1.25), 0.6)
    if hair.length < 0.5:
        return
    wave = hair.wave
    right = [(0.0, -1.2), (wide * 0.85, -0.8), (wide, 0.0), (wide + wave, 0.6),
             (wide - wave, hair.length * 0.7), (wide * 0.95 + wave, hair.length),
             (0.0, hair.length)]  # fmt: skip
    canvas.fill(closed(mirrored(right)), colour)


def draw_front_hair(canvas: Canvas, person: Person) -> None:
    """Draw the cap with its strands, the locks beside the face and the fringe."""
    rng = np.random.default_rng([person.texture_seed, 7])
    if person.hair.length > 0.5:
        for side in (-1, 1):
            _draw_lock(canvas, person, rng, side)
    outer, inner = _cap_lines(person)
    if person.recede > _BALD:
        _draw_ring(canvas, person, rng)
        return
    thin = 0.35 if person.hair.name == "buzz" else 0.0
    canvas.fill(np.concatenate([outer, inner[::-1]]), _tone(person), 1.0 - thin)
    _draw_strands(canvas, person, rng, (inner, outer), 26)
    if person.hair.name == "spiky":
        _draw_spikes(canvas, person, rng, outer)
    if person.hair.fringe > 0 and person.recede < 0.45:
        _draw_fringe(canvas, person, rng)


def _tone(person: Person) -> Colour:
    return mix(person.hair_colour, _GREY, person.grey * 0.9)


def _strand_tone(person: Person, rng: np.random.Generator) -> Colour:
    grey = mix(_tone(person), (226, 226, 224), 0.6)
    if rng.uniform() < person.grey * 0.8:
        return grey
    return scaled(mix(_tone(person), (120, 100, 90), 0.12), rng.uniform(0.65, 1.45))


def _cap_lines(person: Person) -> tuple[Points, Points]:
    """Return the outer line and the hairline of the cap, both (N, 2) from left to right."""
    hair, back = person.hair, person.recede
    wide, full = person.width, person.hair.volume
    side = 0.12 if hair.length < 0.5 else 0.0
    out = [(1.0 * wide, side), (1.02 * wide + full * 0.6, -0.35), (0.9 * wide + full * 0.7, -0.8),
           (0.5 * wide + full * 0.4, -1.12 - full), (0.0, -1.24 - full)]  # fmt: skip
    line = [(0.93 * wide, side), (0.91 * wide, -0.3), ((0.74 - 0.05 * back) * wide, -0.58),
            (0.46, -0.78 - 0.3 * back), (0.0, -0.8 - 0.22 * back)]  # fmt: skip
    outer, inner = _both_sides(out), _both_sides(line)
    if not hair.fringe and hair.name not in {"buzz", "tied"}:
        middle = len(inner) // 2
        reach = np.exp(-(((inner[:, 0] - hair.parting) / 0.22) ** 2))
        reach[: middle // 2] = 0
        inner = inner - np.stack([0 * reach, 0.12 * reach], axis=1)
    return outer, inner


def _both_sides(right: list[tuple[float, float]]) -> Points:
    return opened([(-x, y) for x, y in right[:-1]] + right[::-1])


def _draw_strands(
    canvas: Canvas,
    person: Person,
    rng: np.random.Generator,
    between: tuple[Points, Points],
    count: int,
) -> None:
    """Draw strands from one line (N, 2) to another of the same length."""
    start, end = between
    for _ in range(count):
        at = int(rng.integers(1, len(start) - 1))
        low, high = rng.uniform(0.02, 0.4), rng.uniform(0.6, 0.98)
        to = min(max(at + int(rng.integers(-2, 3)), 0), len(start) - 1)
        first = start[at] + (end[at] - start[at]) * low
        last = start[to] + (end[to] - start[to]) * high
        bow = (first + last) / 2 + rng.normal(0, 0.015, 2)
        width = rng.uniform(0.012, 0.035)
        canvas.stroke(opened([first, bow, last]), _strand_tone(person, rng), width, 0.6)


def _draw_lock(canvas: Canvas, person: Person, rng: np.random.Generator, side: int) -> None:
    hair, wide, wave = person.hair, person.width, person.hair.wave
    out = 1.08 * wide + hair.volume
    end = hair.length
    outer = [(0.9 * wide, -0.85), (out, -0.3), (out + wave, 0.3), (out - wave, end * 0.6),
             (out + wave, end * 0.85), (out * 0.92, end)]  # fmt: skip
    inner = [(0.62 * wide, -0.8), (0.93 * wide, -0.2), (0.93 * wide, 0.3),
             (0.9 * wide - wave, end * 0.6), (0.88 * wide + wave, end * 0.85),
             (0.84 * wide, end * 0.98)]  # fmt: skip
    left, right = opened(inner), opened(outer)
    canvas.fill(flipped(np.concatenate([left, right[::-1]]), side), _tone(person))
    for _ in range(10):
        share = rng.uniform(0.08, 0.92)
        line = left + (right - left) * share
        start = int(rng.integers(0, len(line) - 12))
        strand = line[start : start + int(rng.integers(9, 20))]
        tone = _strand_tone(person, rng)
        canvas.stroke(flipped(strand, side), tone, rng.uniform(0.02, 0.045), 0.55)


def _draw_fringe(canvas: Canvas, person: Person, rng: np.random.Generator) -> None:
    hair, wide = person.hair, person.width
    falls_to = -1 if hair.parting > 0 else 1
    low = -0.8 + 0.5 * hair.fringe
    xs = np.linspace(-0.86, 0.86, 15) * wide
    slope = falls_to * xs * (0.0 if abs(hair.parting) < 0.12 else 0.32)
    ragged = np.where(np.arange(15) % 2, 0.05, -0.03) * rng.uniform(0.4, 1.4, 15)
    ends = low + np.minimum(slope, 0.2) + ragged * hair.fringe
    ends = np.minimum(ends, -0.24)
    bottom = np.stack([xs, ends], axis=1)
    root_xs = xs * 0.9
    roots = np.stack([root_xs, -0.62 - 0.42 * np.sqrt(1 - (root_xs / wide) ** 2)], axis=1)
    first, last = opened(roots), opened(bottom)
    canvas.fill(np.concatenate([first, last[::-1]]), scaled(_tone(person), 0.96))
    canvas.shade(shifted(last, 0, 0.05), (60, 50, 50), 0.35)
    _draw_strands(canvas, person, rng, (first, last), 20)


def _draw_spikes(canvas: Canvas, person: Person, rng: np.random.Generator, outer: Points) -> None:
    for at in range(10, len(outer) - 10, 3):
        root, along = outer[at], outer[at + 1] - outer[at - 1]
        tip = root * (1.06, 1.0) + (rng.normal(0, 0.05), -rng.uniform(0.08, 0.2))
        spike = np.array([root - along * 1.6, tip, root + along * 1.6, shifted(root, 0, 0.1)])
        canvas.fill(spike, scaled(_tone(person), rng.uniform(0.85, 1.15)))


def _draw_ring(canvas: Canvas, person: Person, rng: np.random.Generator) -> None:
    wide, full = person.width, person.hair.volume * 0.5
    for side in (-1, 1):
        outer = [(1.0 * wide, 0.12), (1.05 * wide + full, -0.2), (1.0 * wide + full, -0.5),
                 (0.86 * wide, -0.74)]  # fmt: skip
        inner = [(0.93 * wide, 0.12), (0.93 * wide, -0.2), (0.9 * wide, -0.42),
                 (0.82 * wide, -0.7)]  # fmt: skip
        left, right = flipped(opened(inner), side), flipped(opened(outer), side)
        canvas.fill(np.concatenate([left, right[::-1]]), _tone(person), 0.92)
        _draw_strands(canvas, person, rng, (left, right), 8)
