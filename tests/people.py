"""Small photos of drawn people, whose faces the detector centerface finds; and a fake detector."""

from dataclasses import dataclass, field, replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from maskwise.data.drawn.people import plan_person
from maskwise.data.drawn.photos import PhotoPlan, plan_photo
from maskwise.data.drawn.scene import draw_person
from maskwise.data.faces import Face, choose_face
from maskwise.data.samples import PHOTOS
from maskwise.labels import MaskState

SIZE = (192, 256)


@cache
def person(number: int, state: MaskState = MaskState.NOT_WEAR, **changes: Any) -> Image.Image:
    """Return a photo of a drawn person; `changes` are fields of its plan."""
    plan = plan_photo(0, number, "train", 6, state)
    drawn = draw_person(plan_person(0, number, "train"), replace(plan, **changes))
    return drawn.resize(SIZE)


def drawn(person: int, photo: int) -> tuple[Image.Image, PhotoPlan]:
    """Return one of the seven photos of a drawn person, and its plan."""
    plan = plan_photo(0, person, "train", photo, list(PHOTOS.values())[photo])
    return draw_person(plan_person(0, person, "train"), plan), plan


def labels(number: int) -> dict[str, object]:
    """Return person, gender and age of a drawn person, as columns of a manifest."""
    plan = plan_person(0, number, "train")
    return {"person": f"p{number}", "gender": str(plan.gender), "age": plan.age, "source": "drawn"}


def scenery(seed: int) -> Image.Image:
    """Return a photo without a face."""
    rough = np.random.default_rng(seed).integers(0, 256, (4, 3, 3), np.uint8)
    return Image.fromarray(rough).resize(SIZE, Image.Resampling.BICUBIC)


def tilted(photo: Image.Image, degrees: float) -> Image.Image:
    """Return a photo turned clockwise, of the same size."""
    return photo.rotate(-degrees, Image.Resampling.BICUBIC)


def saved(photo: Image.Image, path: Path) -> Path:
    """Write a photo and return where."""
    path.parent.mkdir(parents=True, exist_ok=True)
    photo.save(path)
    return path


def files(folder: Path) -> dict[str, bytes]:
    """Return the bytes of all files in a folder, by name."""
    return {str(p.relative_to(folder)): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


def face_at(x: float, y: float, side: float, score: float = 0.9) -> Face:
    """Return a face around (x, y), its box a square, with points where they belong."""
    places = ((-0.22, -0.12), (0.22, -0.12), (0.0, 0.1), (-0.17, 0.3), (0.17, 0.3))
    points = tuple((x + u * side, y + v * side) for u, v in places)
    box = (x - side / 2, y - side / 2, x + side / 2, y + side / 2)
    return Face(box, score, points)  # type: ignore[arg-type]


@dataclass
class FakeDetector:
    """Finds what it was told, in every photo, and counts the photos."""

    faces: list[Face]
    name: str = "fake"
    upright: bool = False
    asked: list[Image.Image] = field(default_factory=list)

    def find(self, image: Image.Image) -> list[Face]:
        self.asked.append(image)
        return self.faces

    def find_main(self, image: Image.Image) -> Face | None:
        return choose_face(self.find(image), image.size)
