"""Masks on a drawn face: surgical, folded (KF94) and cloth, worn properly or not."""

from dataclasses import dataclass
from typing import Final

import numpy as np

from maskwise.data.drawn.canvas import (
    BLACK,
    NEUTRAL,
    WHITE,
    Canvas,
    Colour,
    Points,
    ellipse,
    mix,
    scaled,
    shifted,
    sideways,
)
from maskwise.data.drawn.people import Person
from maskwise.data.drawn.photos import MaskLook

_ACROSS: Final = np.linspace(-1, 1, 17)
_DOWN: Final = np.linspace(0, 1, 7)


@dataclass(frozen=True)
class _Sheet:
    """The cloth of a mask: `at` maps its own u (-1..1 across) and v (0..1 down) to the face.

    The four heights are those of the upper and the lower edge, in the middle and at the sides.
    """

    top: float
    top_side: float
    bottom: float
    bottom_side: float
    wide_top: float
    wide_bottom: float
    point: float  # 2 gives a round upper edge, 1 one that comes to a point on the nose
    hangs: int = 0  # -1 or 1: the sheet dangles from that ear instead

    def at(self, u: Points, v: Points) -> Points:
        """Return points (N, 2) of the face for coordinates (N,) on the sheet."""
        bend = np.abs(u)
        upper = self.top + (self.top_side - self.top) * bend**self.point
        lower = self.bottom + (self.bottom_side - self.bottom) * bend**2.2
        x = u * (self.wide_top + (self.wide_bottom - self.wide_top) * v)
        y = upper + (lower - upper) * v
        return self._hung(x, y) if self.hangs else np.stack([x, y], axis=1)

    def _hung(self, x: Points, y: Points) -> Points:
        # Turned on its side and seen edge-on, below the ear whose strap still holds it.
        middle = (self.top + self.bottom) / 2
        side = self.hangs
        return np.stack([side * (1.0 + 0.34 * (y - middle) + 0.1 * x), 1.0 + 0.66 * x], axis=1)

    def along(self, v: float | Points) -> Points:
        """Return a line (17, 2) across the sheet at height v."""
        return self.at(_ACROSS, np.broadcast_to(np.asarray(v, dtype=np.float64), _ACROSS.shape))

    def down(self, u: float) -> Points:
        """Return a line (7, 2) down the sheet at u."""
        return self.at(np.full(_DOWN.shape, u), _DOWN)

    def outline(self) -> Points:
        """Return the outline (N, 2)."""
        return np.concatenate(
            [self.along(0.0), self.down(1.0), self.along(1.0)[::-1], self.down(-1.0)[::-1]]
        )


def draw_mask(canvas: Canvas, person: Person, look: MaskLook) -> None:
    """Draw the mask of a photo over the face, with its straps and the shadow it throws."""
    sheet = _placed(_cut(person, look), person, look)
    outline = sheet.outline()
    canvas.shade(shifted(outline * (0.9, 1), 0, 0.05), BLACK, 0.3)
    _draw_straps(canvas, person, look, sheet)
    canvas.fill(outline, scaled(look.colour, 0.72))
    middle = outline.mean(axis=0)
    canvas.fill((outline - middle) * 0.985 + middle, look.colour)
    canvas.shade(outline, NEUTRAL, 1.0)
    {"surgical": _draw_pleats, "kf94": _draw_folds, "cloth": _draw_pattern}[look.kind](
        canvas, sheet, look
    )
    _draw_relief(canvas, sheet)


def _cut(person: Person, look: MaskLook) -> _Sheet:
    """Return the sheet as it lies over nose, mouth and chin."""
    wide, chin = person.width, person.length
    if look.kind == "surgical":
        return _Sheet(0.17, 0.34, chin + 0.06, 0.98, 0.9 * wide, 0.76 * wide, 2.0)
    if look.kind == "kf94":
        return _Sheet(0.12, 0.44, chin + 0.06, 0.74, 0.95 * wide, 0.93 * wide, 1.15)
    return _Sheet(0.15, 0.36, chin + 0.05, 0.9, 0.94 * wide, 0.86 * wide, 1.6)


def _placed(cut: _Sheet, person: Person, look: MaskLook) -> _Sheet:
    """Return the sheet moved to where it is worn."""
    nose, chin, lift = person.nose_tip, person.length, look.lift
    mouth = nose + 0.36
    narrow = (0.97 * cut.wide_top, 0.95 * cut.wide_bottom, cut.point)
    if look.place == "worn":
        return _Sheet(cut.top + 0.06 * lift, cut.top_side, cut.bottom, cut.bottom_side,
                      cut.wide_top, cut.wide_bottom, cut.point)  # fmt: skip
    if look.place == "tip out":
        return _Sheet(nose + 0.06 + 0.02 * lift, cut.top_side + 0.12, chin + 0.1,
                      cut.bottom_side + 0.06, *narrow)  # fmt: skip
    if look.place == "nose out":
        return _Sheet(nose + 0.19 + 0.04 * lift, 0.6, chin + 0.12, cut.bottom_side + 0.1, *narrow)
    if look.place == "mouth out":
        return _Sheet(mouth + 0.19 + 0.03 * lift, 0.78, chin + 0.26, 1.12, *narrow)
    if look.place == "under chin":
        return _Sheet(chin - 0.07 + 0.05 * lift, 0.86, chin + 0.36, 1.16, 0.84 * person.width,
                      0.7 * person.width, 2.0)  # fmt: skip
    return _Sheet(cut.top, cut.top_side, cut.bottom, cut.bottom_side, *narrow, hangs=look.side)


def _draw_straps(canvas: Canvas, person: Person, look: MaskLook, sheet: _Sheet) -> None:
    colour = mix(look.colour, WHITE, 0.5)
    for side in (-1, 1):
        if sheet.hangs and side != sheet.hangs:
            continue
        ear = person.width + 0.05
        corner = sheet.hangs * -1 if sheet.hangs else side
        for v, ear_y in ((0.05, -0.1), (0.95, 0.3)):
            start = sheet.at(np.array([float(corner)]), np.array([v]))[0]
            end = np.array([side * ear, ear_y])
            sag = (start + end) / 2 + (0, 0.03)
            line = np.array([start, sag, end])
            canvas.fill(_band(line, 0.05), scaled(colour, 0.6), 0.5)
            canvas.fill(_band(line, 0.034), colour)


def _band(line: Points, width: float) -> Points:
    offset = sideways(line) * width / 2
    return np.concatenate([line + offset, (line - offset)[::-1]])


def _fold(canvas: Canvas, line: Points, colour: Colour, width: float = 0.035) -> None:
    canvas.stroke(shifted(line, 0, 0.02), mix(colour, WHITE, 0.5), width, 0.7)
    canvas.stroke(line, scaled(mix(colour, BLACK, 0.2), 0.75), width, 0.85)


def _draw_pleats(canvas: Canvas, sheet: _Sheet, look: MaskLook) -> None:
    for v in (0.3, 0.48, 0.66):
        _fold(canvas, sheet.along(v + 0.04 * (1 - _ACROSS**2)), look.colour)
    for v in (0.05, 0.95):
        canvas.stroke(sheet.along(v), mix(look.colour, WHITE, 0.45), 0.035, 0.8)
    _draw_wire(canvas, sheet, look)


def _draw_folds(canvas: Canvas, sheet: _Sheet, look: MaskLook) -> None:
    bulge = 1 - np.abs(_ACROSS) ** 2
    upper, lower = sheet.along(0.5 - 0.2 * bulge), sheet.along(0.5 + 0.22 * bulge)
    canvas.fill(np.concatenate([upper, lower[::-1]]), mix(look.colour, WHITE, 0.12))
    _fold(canvas, upper, look.colour)
    _fold(canvas, lower, look.colour)
    for u in (-0.93, 0.93):
        canvas.stroke(sheet.down(u), scaled(look.colour, 0.7), 0.03, 0.6)
    _draw_wire(canvas, sheet, look)


def _draw_wire(canvas: Canvas, sheet: _Sheet, look: MaskLook) -> None:
    us = np.linspace(-0.3, 0.3, 7)
    wire = sheet.at(us, np.full(7, 0.06))
    canvas.stroke(wire, scaled(mix(look.colour, BLACK, 0.15), 0.85), 0.045, 0.7)


def _draw_pattern(canvas: Canvas, sheet: _Sheet, look: MaskLook) -> None:
    if look.pattern in {"stripes", "checks"}:
        for v in np.arange(0.1, 1, 0.16):
            strip = [sheet.along(v), sheet.along(v + 0.07)[::-1]]
            canvas.fill(np.concatenate(strip), look.accent, 0.75)
    if look.pattern == "checks":
        for u in np.arange(-0.9, 0.9, 0.22):
            strip = [sheet.down(u), sheet.down(u + 0.09)[::-1]]
            canvas.fill(np.concatenate(strip), look.accent, 0.45)
    if look.pattern == "dots":
        us, vs = np.meshgrid(np.arange(-0.9, 1, 0.2), np.arange(0.1, 1, 0.13))
        us = us + 0.1 * (np.arange(len(us))[:, None] % 2)
        for x, y in sheet.at(np.minimum(us, 0.95).ravel(), vs.ravel()):
            canvas.fill(ellipse(x, y, 0.035, 0.035)[::3], look.accent)
    canvas.stroke(sheet.down(0.0), scaled(look.colour, 0.6), 0.025, 0.7)
    for v in (0.03, 0.97):
        canvas.stroke(sheet.along(v), scaled(look.colour, 0.75), 0.03, 0.8)


def _draw_relief(canvas: Canvas, sheet: _Sheet) -> None:
    """Round the sheet: light where it stands out over the nose, dark at its sides and below."""
    for u in (-1.0, 1.0):
        edge = np.concatenate([sheet.down(u), sheet.down(u * 0.62)[::-1]])
        canvas.shade(edge, BLACK, 0.2)
    below = np.concatenate([sheet.along(1.0), sheet.along(0.72)[::-1]])
    canvas.shade(below, BLACK, 0.2)
    ridge = np.concatenate([sheet.down(-0.18), sheet.down(0.12)[::-1]])
    canvas.shade(ridge, WHITE, 0.14)
