"""Finds faces in photos: one interface to several detectors, and which face a photo is of.

YuNet is part of this package; CenterFace comes with the extra `faces`.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Final, Protocol

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from maskwise.data.boxes import common_area, overlap
from maskwise.data.detector_files import read_network
from maskwise.data.detectors import CenterFace, Network, YuNet
from maskwise.errors import DetectorError
from maskwise.transforms.preprocess import Box

Vector = NDArray[np.float64]
Point = tuple[float, float]
"""x, y in pixels of the photo."""
Points = tuple[Point, Point, Point, Point, Point]
"""Right eye, left eye, nose tip, right and left mouth corner; right is the person's right."""

_NETWORKS: Final[dict[str, Callable[[bytes, int], Network]]] = {
    "yunet": YuNet,
    "centerface": CenterFace,
}
DETECTORS: Final = tuple(_NETWORKS)
"""The detectors there are, the better one first; `python -m benchmarks.detectors` compares."""

_LOOKS: Final = ((256, 640), (128, 128))
"""The shortest and longest larger side of a photo, in pixels, for the first and second look.

The first keeps small faces in large photos; larger photos cost time and show hardly more faces.
Both networks lose faces that fill the photo, and find most of them in the second, small one.
"""
_GLANCE: Final = 256
"""Larger side of the small picture that large faces are found in, where a photo is larger."""
_WORTH: Final = 0.6
"""Scale of that picture above which it costs nearly as much as the photo itself."""
_REDUCED: Final = 1.0
"""Photos are halved, or the like, by plain means before they are scaled: it takes half the time."""
_LARGE: Final = 48
"""Larger side of a large face, in pixels of that picture."""
SAME_FACE: Final = 0.3
"""Two boxes are of one face from this intersection over union on."""
_PART: Final = 0.8
"""A box with this share of its area in another one, and more than half as large, is of its face."""
_CENTRAL: Final = 0.5
_CLEARLY: Final = 0.02
_SURELY: Final = 0.9
# Shares of the box's larger side; for the nose of the way from the eyes to the mouth.
# Of 2,969 faces found in real photos 12 break one of these, all the first: profiles
_EYES_APART: Final = 0.05
_MOUTH_APART: Final = 0.1
_OUTSIDE: Final = 0.25
_NOSE: Final = (0.0, 1.2)


@dataclass(frozen=True)
class Face:
    """A face in a photo: box and points in pixels; both may reach over the photo's border."""

    box: Box
    score: float
    points: Points


class Detector(Protocol):
    """Finds the faces in photos."""

    name: str
    upright: bool
    """Whether even a face that stands on its head is given the points of an upright one."""

    def find(self, image: Image.Image) -> list[Face]:
        """Return all faces of an upright RGB image, best score first."""

    def find_main(self, image: Image.Image) -> Face | None:
        """Return the face that an image is of: what `choose_face` takes of all, but found faster.

        A face that weighs as much as any that only a larger picture should show needs no such
        picture. Its box is that of `find`; score and points are those of the small picture.
        """


def upside_down(detector: Detector, photo: Image.Image, face: Face) -> Face | None:
    """Return a face as it is found in the photo turned round, if it scores clearly higher there.

    YuNet finds most faces that stand on their heads, but gives them the points of an upright one.
    Box and points returned are those of the photo as it is. Of 28,213 bare faces (UTKFace, AFAD)
    the two that do stand on their heads are told so and no other; of 1,587 turned round for a test
    1,573 are. CenterFace gives such points as they stand, and many upright faces score higher.
    """
    if not detector.upright:
        return None
    right, bottom = photo.size
    middle = ((face.box[0] + face.box[2]) / 2, (face.box[1] + face.box[3]) / 2)
    for found in detector.find(photo.transpose(Image.Transpose.ROTATE_180)):
        x0, y0, x1, y1 = found.box
        box = (right - x1, bottom - y1, right - x0, bottom - y0)
        here = box[0] < middle[0] < box[2] and box[1] < middle[1] < box[3]
        if here and found.score > max(face.score + _CLEARLY, _SURELY):
            points = [[right - x, bottom - y] for x, y in found.points]
            return _face(list(box), found.score, points)
    return None


@lru_cache
def open_detector(name: str, threads: int = 1) -> Detector:
    """Return one of `DETECTORS`; this process keeps it for the next call.

    Raises:
        DetectorError: there is no such detector, or its file is missing or damaged.
    """
    if name not in _NETWORKS:
        raise DetectorError(f"no face detector {name!r}; there are {', '.join(DETECTORS)}")
    return _NetworkDetector(name, _NETWORKS[name](read_network(name), threads))


class _NetworkDetector:
    """A network that looks at a photo in sizes that suit it: again, and small, if need be."""

    def __init__(self, name: str, network: Network) -> None:
        self.name = name
        self.upright = network.upright
        self._network = network

    def find(self, image: Image.Image) -> list[Face]:
        """Return all faces of an upright image; see `Detector`."""
        photo = _colours(image)
        return self._all(photo, self._glance(photo))

    def find_main(self, image: Image.Image) -> Face | None:
        """Return the face that an upright image is of; see `Detector`."""
        photo = _colours(image)
        large = self._glance(photo)
        main = choose_face(large, photo.size)
        least = (_LARGE * max(photo.size) / _GLANCE) ** 2
        if main and _weight(main, photo.size) >= least:
            return main
        return choose_face(self._all(photo, large), photo.size)

    def _glance(self, photo: Image.Image) -> list[Face]:
        """Return the large faces of a photo, as they are found in a small picture of it.

        They are found as well as in a large one, and in a fraction of the time.
        """
        scale = _GLANCE / max(photo.size)
        if scale > _WORTH:
            return []
        found = self._look(photo, self._network.thresholds[0], _GLANCE, _GLANCE)
        return [face for face in found if _side(face) * scale >= _LARGE]

    def _all(self, photo: Image.Image, large: list[Face]) -> list[Face]:
        """Return all faces of a photo, best score first; of the large ones the boxes are known.

        Their points are more exact in the larger picture.
        """
        for threshold, sides in zip(self._network.thresholds, _LOOKS, strict=True):
            found = _with_boxes(self._look(photo, threshold, *sides), large)
            if found:
                return sorted(found, key=lambda face: -face.score)
        return []

    def _look(self, photo: Image.Image, threshold: float, least: int, most: int) -> list[Face]:
        """Return the faces found with the larger side scaled to lie in least..most."""
        scale = min(max(*photo.size, least), most) / max(photo.size)
        width, height = (max(round(side * scale), 1) for side in photo.size)
        pixels = np.asarray(
            photo.resize((width, height), Image.Resampling.BILINEAR, reducing_gap=_REDUCED)
        )
        found = self._network.find(pixels, threshold)
        stretch = np.array([photo.width / width, photo.height / height])
        boxes, points = found.boxes.reshape(-1, 2, 2) * stretch, found.points * stretch
        parts = (boxes.reshape(-1, 4).tolist(), found.scores.tolist(), points.tolist())
        return [_face(*face) for face in zip(*parts, strict=True)]


def _colours(image: Image.Image) -> Image.Image:
    return image if image.mode == "RGB" else image.convert("RGB")


def _face(box: list[float], score: float, points: list[list[float]]) -> Face:
    left, top, right, bottom = box
    right_eye, left_eye, nose, right_mouth, left_mouth = ((x, y) for x, y in points)
    marks = (right_eye, left_eye, nose, right_mouth, left_mouth)
    return Face((left, top, right, bottom), score, marks)


def _with_boxes(found: list[Face], large: Sequence[Face]) -> list[Face]:
    """Return the faces found, with the boxes of those that are among the large ones, and these."""
    faces = list(found)
    for other in large:
        shares = [_likeness(face, other) for face in faces]
        if max(shares, default=0.0) >= SAME_FACE:
            place = shares.index(max(shares))
            faces[place] = replace(faces[place], box=other.box)
        else:
            faces.append(other)
    return faces


def _likeness(face: Face, large: Face) -> float:
    """Return the intersection over union of two boxes; 1 where one is a part of the large one.

    A large picture may show a part of a face that fills it.
    """
    area = (face.box[2] - face.box[0]) * (face.box[3] - face.box[1])
    within = common_area(face.box, large.box) >= _PART * area
    part = within and _side(face) * 2 > _side(large)
    return 1.0 if part else overlap(face.box, large.box)


def _side(face: Face) -> float:
    """Return the larger side of a face's box."""
    left, top, right, bottom = face.box
    return max(right - left, bottom - top)


def choose_face(faces: Sequence[Face], size: tuple[int, int]) -> Face | None:
    """Return the face that a photo of `size` (width, height) is of: the largest and most central.

    A face weighs area * exp(-(d / 0.5)^2 / 2), where d is the distance of its middle from the
    photo's middle in halves of the photo's diagonal: in a corner it needs 7.4 times the area of a
    face in the middle. Of equal weights the better score counts, then the leftmost, topmost box.
    """
    return next(iter(by_weight(faces, size)), None)


def by_weight(faces: Sequence[Face], size: tuple[int, int]) -> list[Face]:
    """Return the faces of a photo, the one that `choose_face` takes first."""
    return sorted(faces, key=lambda face: _rank(face, size), reverse=True)


def _rank(face: Face, size: tuple[int, int]) -> tuple[float, ...]:
    left, top, right, bottom = face.box
    return _weight(face, size), face.score, -left, -top, -right, -bottom


def _weight(face: Face, size: tuple[int, int]) -> float:
    left, top, right, bottom = face.box
    away = math.dist(((left + right) / 2, (top + bottom) / 2), (size[0] / 2, size[1] / 2))
    share = away / (math.hypot(*size) / 2)
    area = max(right - left, 0) * max(bottom - top, 0)
    return area * math.exp(-((share / _CENTRAL) ** 2) / 2)


def roll(face: Face) -> float:
    """Return by how many degrees a face is turned in the image, clockwise, -180 to 180.

    The lines through the eyes and through the mouth corners count, and the one from the eyes to the
    mouth, each by its length: in a profile the first two are short and say little.
    """
    across = _eyes(face) + _mouth(face)
    down = _down(face)
    return math.degrees(math.atan2(across[1] - down[0], across[0] + down[1]))


def points_problem(face: Face) -> str:
    """Return why the five points make no sense for a face turned by any angle; "" if they do."""
    return _place_problem(face) or _order_problem(face)


def _place_problem(face: Face) -> str:
    """Return what is wrong with where the points lie in the box."""
    left, top, right, bottom = face.box
    side = max(right - left, bottom - top)
    points = np.array(face.points)
    if not (np.isfinite([*face.box, *points.ravel()]).all() and side > 0):
        return "the box or a point is no place in the photo"
    beyond = max(np.max((left, top) - points), np.max(points - (right, bottom)))
    if beyond > _OUTSIDE * side:
        return "a point lies far outside the box"
    if np.hypot(*_eyes(face)) < _EYES_APART * side:
        return "the eyes lie on one spot"
    if np.hypot(*_down(face)) < _MOUTH_APART * side:
        return "the mouth lies on the eyes"
    return ""


def _order_problem(face: Face) -> str:
    """Return what is wrong with how the points lie to each other, in the face's own frame."""
    eyes, mouth, down = _eyes(face), _mouth(face), _down(face)
    if eyes[0] * down[1] - eyes[1] * down[0] <= 0:
        return "the face is mirrored: the mouth lies above the eyes, or left and right are swapped"
    if eyes @ mouth < 0:
        return "the mouth is turned against the eyes"
    nose = np.array(face.points[2]) - np.mean(face.points[:2], axis=0)
    if not _NOSE[0] <= nose @ down / (down @ down) <= _NOSE[1]:
        return "the nose does not lie between the eyes and the mouth"
    return ""


def _eyes(face: Face) -> Vector:
    """Return the way from the right eye to the left."""
    return np.subtract(face.points[1], face.points[0])


def _mouth(face: Face) -> Vector:
    """Return the way from the right corner of the mouth to the left."""
    return np.subtract(face.points[4], face.points[3])


def _down(face: Face) -> Vector:
    """Return the way from the middle of the eyes to the middle of the mouth."""
    points = np.array(face.points)
    middle: Vector = points[3:].mean(axis=0) - points[:2].mean(axis=0)
    return middle
