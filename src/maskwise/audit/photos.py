"""Faults that single photos show: unreadable, blank, dark, blurred, odd in size, without a face."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Final

import numpy as np
from PIL import Image

from maskwise.audit.findings import Finding, Fix
from maskwise.data.boxes import box_text
from maskwise.data.corrections import DELETED
from maskwise.data.duplicates import (
    Fingerprints,
    Print,
    fingerprint_image,
    gather_prints,
    no_print,
)
from maskwise.data.faces import open_detector
from maskwise.data.frames import PhotoRef
from maskwise.data.workers import map_in_order
from maskwise.errors import PhotoError
from maskwise.transforms.decode import decode_photo

BLANK: Final = 2.0
"""Standard deviation of grey values 0..255 below which a photo shows nothing."""
DARK, BRIGHT = 30.0, 230.0
"""Mean grey values 0..255 beyond which a photo is too dark, or too bright."""
SMALL: Final = 48
"""Pixels of the shorter side below which a face tells little."""
LONG: Final = 3.0
"""Longer side over shorter side from which a photo is no portrait."""
BLURRED: Final = 1 / 8
"""Share of the set's median sharpness below which a photo is blurred."""
_SIDE: Final = 128
"""Sharpness is measured at this longer side at most, to mean the same in most photos."""
_FEW: Final = 64


@dataclass(frozen=True)
class PhotoFacts:
    """What is measured of a photo, or of the part of it in a box."""

    problem: str = ""
    """Why it cannot be used; the rest means nothing then."""
    width: int = 0
    """Of the photo, or the box, in pixels."""
    height: int = 0
    brightness: float = 0.0
    """Mean grey value, 0..255."""
    contrast: float = 0.0
    """Standard deviation of the grey values."""
    sharpness: float = 0.0
    """Variance of the Laplacian over that of the photo: fine structure, whatever the contrast
    (Pech-Pacheco et al., Diatom autofocusing in brightfield microscopy, ICPR 2000)."""
    faces: int | None = None
    """Faces found; None where nobody looked."""


def look_at_photos(
    photos: Sequence[PhotoRef],
    detector: str,
    workers: int,
    progress: Callable[[int], None] | None = None,
) -> tuple[list[PhotoFacts], Fingerprints]:
    """Measure photos and take their fingerprints, in `workers` processes (0: in this one).

    Each is decoded once. `detector` names what counts faces; 'none' counts none.
    """
    facts, prints = [], []
    for fact, taken in map_in_order(partial(_look, detector=detector), photos, workers, 32, _FEW):
        facts.append(fact)
        prints.append(taken)
        if progress:
            progress(1)
    return facts, gather_prints(prints)


def _look(photo: PhotoRef, detector: str) -> tuple[PhotoFacts, Print]:
    try:
        image = decode_photo(photo.path)
        return _measured(image, photo, detector), fingerprint_image(image, photo.path)
    except (PhotoError, OSError) as error:  # a file may vanish between two looks at it
        return PhotoFacts(problem=str(error)), no_print()


def _measured(image: Image.Image, photo: PhotoRef, detector: str) -> PhotoFacts:
    """Measure a photo, or the part of it in its box; faces are counted in the whole photo."""
    problem = _box_problem(photo, image.size)
    if problem:
        return PhotoFacts(problem=problem)
    faces = None if detector == "none" else len(open_detector(detector).find(image))
    part = image.crop(photo.box) if photo.box else image
    grey = np.asarray(part.convert("L"), dtype=np.float32)
    return PhotoFacts(
        "", *part.size, float(grey.mean()), float(grey.std()), _sharpness(part), faces
    )  # fmt: skip


def _box_problem(photo: PhotoRef, size: tuple[int, int]) -> str:
    if photo.box is None:
        return ""
    left, top, right, bottom = photo.box
    if left < size[0] and top < size[1] and right > 0 and bottom > 0:
        return ""
    return f"the box {box_text(photo.box)} lies outside the photo of {size[0]}x{size[1]} pixels"


def _sharpness(image: Image.Image) -> float:
    scale = min(_SIDE / max(image.size), 1.0)
    size = (max(3, round(image.width * scale)), max(3, round(image.height * scale)))
    grey = np.asarray(image.convert("L").resize(size, Image.Resampling.BILINEAR), np.float32)
    across = grey[1:-1, :-2] + grey[1:-1, 2:] - 2 * grey[1:-1, 1:-1]
    down = grey[:-2, 1:-1] + grey[2:, 1:-1] - 2 * grey[1:-1, 1:-1]
    return float((across + down).var() / max(float(grey.var()), 1.0))


def photo_findings(photos: Sequence[PhotoRef], facts: Sequence[PhotoFacts]) -> Iterator[Finding]:
    """Yield what is wrong with photos by themselves; a photo that shows nothing is told once."""
    readable = [fact.sharpness for fact in facts if not fact.problem and fact.contrast >= BLANK]
    usual = float(np.median(readable)) if readable else 0.0
    for row, (photo, fact) in enumerate(zip(photos, facts, strict=True)):
        gone = (Fix(row, DELETED, ""),)
        if fact.problem:
            yield Finding("unreadable", (row,), 1.0, fact.problem, gone)
        elif fact.contrast < BLANK:
            reason = f"grey values differ by {fact.contrast:.1f} of 255 only"
            yield Finding("blank", (row,), 1.0, reason, gone)
        else:
            yield from _faults(row, photo, fact, usual)


def _faults(row: int, photo: PhotoRef, fact: PhotoFacts, usual: float) -> Iterator[Finding]:
    """Yield what is odd about a photo that shows something."""
    if fact.faces == 0:
        yield Finding("no_face", (row,), 0.6, "the detector finds no face")
    if fact.faces is not None and fact.faces > 1 and not photo.box:
        yield Finding("several_faces", (row,), 0.5, f"{fact.faces} faces; the box names none")
    if fact.brightness < DARK:
        score = 1 - fact.brightness / DARK / 2
        yield Finding("dark", (row,), score, f"mean grey value {fact.brightness:.0f} of 255")
    if fact.brightness > BRIGHT:
        score = (fact.brightness - BRIGHT) / (255 - BRIGHT) / 2 + 0.5
        yield Finding("bright", (row,), score, f"mean grey value {fact.brightness:.0f} of 255")
    if fact.sharpness < usual * BLURRED:
        share = fact.sharpness / usual
        reason = f"sharpness {share:.2f} of the set's median"
        yield Finding("blurred", (row,), 1 - share / BLURRED / 2, reason)
    shorter, longer = sorted((fact.width, fact.height))
    if shorter < SMALL or longer > LONG * shorter:
        yield Finding("odd_size", (row,), 0.5, f"{fact.width}x{fact.height} pixels")
