"""The head under a mask: its shape in three dimensions, and its pose from five points.

Lengths are in eye distances (about 63 mm). The origin lies between the eyes; x grows to the
right of the image, y down, z towards the camera. The shape is an average of adult faces; pose and
proportions are fitted to each photo.
"""

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import least_squares

from maskwise.data.faces import Face

Array = NDArray[np.float64]

NOSE_TIP: Final = 0.68
MOUTH: Final = 1.08
CHIN: Final = 1.85
"""Heights y on the average face, from the eyes down."""

AXIS: Final = -1.3
"""z of the upright axis that the cheeks are turned about."""
_LEVELS: Final = np.array([-1.6, -1.2, -0.6, 0.0, 0.4, 0.8, 1.1, 1.4, 1.7, 1.88, 2.05, 2.4, 3.2])
_WIDTH: Final = np.array(
    [0.95, 1.06, 1.13, 1.14, 1.12, 1.06, 0.98, 0.87, 0.7, 0.58, 0.55, 0.56, 0.75]
)
"""Half the width of the head at each level."""
_FRONT: Final = np.array(
    [-0.45, -0.1, 0.08, 0.04, 0.08, 0.14, 0.2, 0.17, 0.18, 0.04, -0.45, -0.7, -0.75]
)
"""z of the face's middle line without the nose; the last levels are the neck."""
_NOSE_LEVELS: Final = np.array([-0.1, 0.05, 0.3, 0.6, NOSE_TIP, 0.8, 0.9])
_NOSE: Final = np.array([0.0, 0.1, 0.26, 0.42, 0.46, 0.22, 0.0])
_NOSE_WIDTH: Final = 0.2

_NOSE_STANDS: Final = 0.5
"""z of the tip of the nose."""
_PRIOR_YAW: Final = 0.7
_PRIOR_PITCH: Final = 0.18
_PRIOR_SHAPE: Final = 0.1
_POINT_ERROR: Final = 0.05
_BOX_ERROR: Final = 0.15


@dataclass(frozen=True)
class Head:
    """A head in a photo: where it is, how it is turned, and its proportions."""

    x: float
    y: float
    """Pixel of the middle between the eyes."""
    scale: float
    """Pixels of an eye distance."""
    roll: float
    yaw: float
    pitch: float
    """Radians. Yaw is positive when the nose points to the right of the image, pitch when down."""
    wide: float
    """Width of the face as a share of the average."""
    long: float
    """Length of the lower face as a share of the average."""
    nose: float = NOSE_TIP
    """Height of the tip of the nose, where `long` is taken away."""

    def project(self, points: Array) -> Array:
        """Return pixels and depth (..., 3) of points (..., 3); larger depth is nearer."""
        turned = points * (self.wide, 1.0, 1.0) @ self.rotation().T
        placed: Array = turned * self.scale + (self.x, self.y, 0.0)
        return placed

    def surface(self, turn: Array, level: Array, nose: bool = True) -> Array:
        """Return points (..., 3) of this head where the average one has the heights `level`."""
        return surface(turn, level * np.where(level > 0, self.long, 1.0), self.long, nose)

    def rotation(self) -> Array:
        """Return the rotation (3, 3) from the head's axes to those of the photo."""
        return _rotation(self.roll, self.yaw, self.pitch)


def surface(turn: Array, y: Array, long: float = 1.0, nose: bool = True) -> Array:
    """Return points (..., 3) of the head at `turn` radians about its axis and heights `y`."""
    level = np.where(y > 0, y / long, y)
    width, front = half_width(level), front_line(level)
    x = width * np.sin(turn)
    z = AXIS + (front - AXIS) * np.cos(turn)
    if nose:
        z = z + nose_height(level) * np.exp(-((x / _NOSE_WIDTH) ** 2))
    return np.stack([x, y, z], axis=-1)


def half_width(level: Array) -> Array:
    """Return half the width of the average head at heights `level`."""
    width: Array = np.interp(level, _LEVELS, _WIDTH)
    return width


def front_line(level: Array) -> Array:
    """Return z of the average face's middle line without the nose, at heights `level`."""
    front: Array = np.interp(level, _LEVELS, _FRONT)
    return front


def nose_height(level: Array) -> Array:
    """Return how far the nose stands out at heights `level`."""
    height: Array = np.interp(level, _NOSE_LEVELS, _NOSE)
    return height


def _rotation(roll: float, yaw: float, pitch: float) -> Array:
    cos, sin = np.cos([roll, yaw, pitch]), np.sin([roll, yaw, pitch])
    about_z = np.array([[cos[0], -sin[0], 0], [sin[0], cos[0], 0], [0, 0, 1]])
    about_y = np.array([[cos[1], 0, sin[1]], [0, 1, 0], [-sin[1], 0, cos[1]]])
    about_x = np.array([[1, 0, 0], [0, cos[2], sin[2]], [0, -sin[2], cos[2]]])
    rotation: Array = about_z @ about_y @ about_x
    return rotation


def fit_head(face: Face) -> Head:
    """Return the head whose eyes, nose, mouth and chin best fit a face's five points and box.

    Weak perspective; least squares over pose, mouth width and length of the lower face, with
    priors that keep what five points cannot tell near the average.
    """
    points = np.asarray(face.points, dtype=np.float64)
    eyes = points[1] - points[0]
    # the nose may stand beside a turned face's eyes, so the height of the face counts too
    middle = points[:2].mean(axis=0)
    tall = points[3:].mean(axis=0) - middle
    apart = max(float(np.hypot(*eyes)), 0.45 * float(np.hypot(*tall)))
    left, _, right, bottom = face.box
    roll = float(np.arctan2(eyes[1], eyes[0]))
    upright = abs(roll) < 0.35

    def misfit(values: Array) -> Array:
        x, y, scale, turn, yaw, pitch, mouth, long = values
        model = np.array(
            [
                (-0.5, 0.0, 0.0),
                (0.5, 0.0, 0.0),
                (0.0, NOSE_TIP * (0.5 + 0.5 * long), _NOSE_STANDS),
                (-0.4 * mouth, MOUTH * long, 0.16),
                (0.4 * mouth, MOUTH * long, 0.16),
                (0.0, CHIN * long, 0.1),
            ]
        )
        placed = (model @ _rotation(turn, yaw, pitch).T)[:, :2] * scale + (x, y)
        errors = (placed[:5] - points) / apart / _POINT_ERROR
        chin = (placed[5, 1] - bottom) / apart / _BOX_ERROR if upright else 0.0
        priors = (
            yaw / _PRIOR_YAW,
            pitch / _PRIOR_PITCH,
            (mouth - 1) / (2 * _PRIOR_SHAPE),
            (long - 1) / _PRIOR_SHAPE,
        )
        return np.array([*errors.ravel(), chin, *priors])

    start = [middle[0], middle[1], apart, roll, 0.0, 0.0, 1.0, 1.0]
    found = least_squares(misfit, start, x_scale=[apart, apart, apart, 1, 1, 1, 1, 1], max_nfev=40)
    x, y, scale, turn, yaw, pitch, _, long = (float(value) for value in found.x)
    seen = 2.28 * scale * max(np.cos(yaw), 0.6)
    # the box of a turned or tilted head says little about its width
    trust = max(1 - abs(yaw) / 0.5, 0.0) if upright else 0.0
    wide = 1 + trust * (float(np.clip((right - left) / seen, 0.88, 1.12)) - 1)
    return Head(
        x,
        y,
        scale,
        turn,
        yaw=float(np.clip(yaw, -1.1, 1.1)),
        pitch=float(np.clip(pitch, -0.6, 0.6)),
        wide=wide,
        long=float(np.clip(long, 0.8, 1.2)),
        nose=_nose_level(points[2] - (x, y), scale, turn, pitch, long),
    )


def _nose_level(way: Array, scale: float, roll: float, pitch: float, long: float) -> float:
    """Return the height of the nose's tip from the way to it (2,), in pixels."""
    down = (np.cos(roll) * way[1] - np.sin(roll) * way[0]) / scale
    height = (down - _NOSE_STANDS * np.sin(pitch)) / np.cos(pitch)
    return float(np.clip(height / long, NOSE_TIP - 0.1, NOSE_TIP + 0.12))
