"""The networks that find faces, run by ONNX Runtime: from pixels to boxes, scores and points."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final, Protocol

import numpy as np
from numpy.typing import NDArray

from maskwise.errors import DetectorError

Floats = NDArray[np.float32]
Pixels = NDArray[np.uint8]

_MULTIPLE: Final = 32
"""Both networks halve a picture five times, so its sides have to be multiples of this."""
_OVERLAP: Final = 0.3
"""Of two boxes whose intersection is a larger share of their union, the better one is kept."""


@dataclass(frozen=True)
class Findings:
    """The n faces that a network found, best score first, in pixels of its picture."""

    boxes: Floats
    """(n, 4): left, top, right, bottom."""
    scores: Floats
    """(n,): 0 to 1."""
    points: Floats
    """(n, 5, 2): x, y of right eye, left eye, nose tip, right and left mouth corner."""


class Network(Protocol):
    """A network that finds faces in pixels."""

    thresholds: tuple[float, float]
    """The score above which a face counts in the first look at a photo, and in the second.

    The first is the highest that keeps the recall on the real scenes. The second may be lower: in
    a small picture, and where nothing was found before, few false finds come with the true ones.
    """

    upright: bool
    """Whether even a face that stands on its head is given the points of an upright one."""

    def find(self, pixels: Pixels, threshold: float) -> Findings:
        """Return the faces in RGB pixels (height, width, 3) whose score is above a threshold."""


class YuNet:
    """YuNet of libfacedetection.train: a cell at strides 8, 16 and 32 is a face or is none."""

    thresholds = (0.6, 0.4)
    upright = True
    _STRIDES: Final = (8, 16, 32)
    _OUTPUTS: Final = ("cls", "obj", "bbox", "kps")

    def __init__(self, content: bytes, threads: int = 1) -> None:
        self._session = _session(content, threads, "yunet")
        self._names = [f"{kind}_{stride}" for stride in self._STRIDES for kind in self._OUTPUTS]

    def find(self, pixels: Pixels, threshold: float) -> Findings:
        """Return the faces in pixels; see `Network`."""
        picture = _picture(pixels[:, :, ::-1])  # it was trained on BGR
        maps = [part[0] for part in self._session.run(self._names, {"input": picture})]
        parts = []
        for number, stride in enumerate(self._STRIDES):
            kind, thing, bbox, marks = maps[4 * number : 4 * number + 4]
            scores = np.sqrt(kind[:, 0].clip(0, 1) * thing[:, 0].clip(0, 1))
            (cells,) = np.nonzero(scores > threshold)
            columns = picture.shape[3] // stride
            corners = np.stack([cells % columns, cells // columns], axis=1).astype(np.float32)
            middles, halves = corners + bbox[cells, :2], np.exp(bbox[cells, 2:]) / 2
            boxes = np.concatenate([middles - halves, middles + halves], axis=1)
            points = corners[:, None] + marks[cells].reshape(-1, 5, 2)
            parts.append(Findings(boxes * stride, scores[cells], points * stride))
        return _best(parts)


class CenterFace:
    """CenterFace: a map of the middles of faces at stride 4, with maps of sizes and points."""

    thresholds = (0.4, 0.3)
    upright = False
    _STRIDE: Final = 4
    _OUTPUTS: Final = ("537", "538", "539", "540")

    def __init__(self, content: bytes, threads: int = 1) -> None:
        self._session = _session(_any_size(content), threads, "centerface")

    def find(self, pixels: Pixels, threshold: float) -> Findings:
        """Return the faces in pixels; see `Network`."""
        out = self._session.run(self._OUTPUTS, {"input.1": _picture(pixels)})
        (heat,), sizes, shifts, marks = (part[0] for part in out)
        rows, columns = np.nonzero(heat > threshold)
        cells = np.stack([columns, rows], axis=1).astype(np.float32)
        # the maps hold y before x, and points from the box's corner in shares of its sides
        sides = np.exp(sizes[:, rows, columns].T[:, ::-1])
        corners = cells + np.float32(0.5) + shifts[:, rows, columns].T[:, ::-1] - sides / 2
        boxes = np.concatenate([corners, corners + sides], axis=1)
        shares = marks[:, rows, columns].T.reshape(-1, 5, 2)[:, :, ::-1]
        points = corners[:, None] + shares * sides[:, None]
        return _best([Findings(boxes * self._STRIDE, heat[rows, columns], points * self._STRIDE)])


def _session(content: bytes, threads: int, name: str) -> Any:
    """Return a session of ONNX Runtime on the processor that prints nothing.

    Raises:
        DetectorError: ONNX Runtime cannot run the network.
    """
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.log_severity_level = 3
    try:
        return onnxruntime.InferenceSession(content, options, ["CPUExecutionProvider"])
    except Exception as error:  # its kinds of errors share no base of their own
        raise DetectorError(
            f"ONNX Runtime {onnxruntime.__version__} cannot run the face detector {name}: {error}"
        ) from error


def _picture(pixels: Pixels) -> Floats:
    """Return pixels (h, w, 3) as a picture (1, 3, H, W), black to the right and below them."""
    height, width = pixels.shape[:2]
    high, wide = (-(-side // _MULTIPLE) * _MULTIPLE for side in (height, width))
    picture = np.zeros((1, 3, high, wide), np.float32)
    picture[0, :, :height, :width] = pixels.transpose(2, 0, 1)
    return picture


def _best(parts: list[Findings]) -> Findings:
    """Join findings, best score first, without those that overlap a better one."""
    boxes = np.concatenate([part.boxes for part in parts])
    scores = np.concatenate([part.scores for part in parts])
    points = np.concatenate([part.points for part in parts])
    order = np.argsort(-scores, kind="stable")
    kept: list[np.int64] = []
    while len(order):
        kept.append(order[0])
        shares = _overlaps(boxes[order[0]], boxes[order[1:]])
        order = order[1:][shares <= _OVERLAP]
    return Findings(boxes[kept], scores[kept], points[kept])


def _overlaps(box: Floats, others: Floats) -> Floats:
    """Return the intersection over union of a box (4,) with each of n others (n, 4)."""
    sides = np.minimum(box[2:], others[:, 2:]) - np.maximum(box[:2], others[:, :2])
    common = sides.clip(0).prod(axis=1)
    areas = (others[:, 2:] - others[:, :2]).prod(axis=1)
    shares: Floats = common / ((box[2:] - box[:2]).prod() + areas - common)
    return shares


_FIXED_SHAPE: Final = re.compile(
    rb"\n\x02\x08\n(\n\x02\x08.)(?:\n\x02\x08\x20\n\x02\x08\x20|\n\x02\x08\x08\n\x02\x08\x08)",
    re.DOTALL,
)
"""A shape in an ONNX file: ten pictures or maps, some channels, 32x32 or 8x8."""
_GRAPH: Final = 7
_INPUT: Final = 11
_VALUE_INFO_KEY: Final = 13 << 3 | 2


def _any_size(content: bytes) -> bytes:
    """Return the ONNX file of CenterFace for one picture of any size; it is for ten of 32x32.

    The file also lists its weights as inputs. As mere descriptions of values they become
    constants, which ONNX Runtime can fold: that halves its time. No byte moves, so no length in
    the file has to change, and no package that writes ONNX is needed.
    """
    freed = bytearray(_FIXED_SHAPE.sub(_any_shape, content))
    for number, _, start, end in _fields(content, 0, len(content)):
        if number == _GRAPH:
            for part, key, first, last in _fields(content, start, end):
                if part == _INPUT and b"input.1" not in content[first:last]:
                    freed[key] = _VALUE_INFO_KEY
    return bytes(freed)


def _any_shape(shape: re.Match[bytes]) -> bytes:
    """Return a shape as long for one picture, its sides unnamed instead of given."""
    return b"\n\x02\x08\x01" + shape[1] + 2 * b"\n\x02\x12\x00"


def _fields(content: bytes, start: int, end: int) -> Iterator[tuple[int, int, int, int]]:
    """Yield number, place of the key, start and end of each field of a protobuf message.

    Fields are numbers or have a length, as all fields of ONNX models and graphs.
    """
    while start < end:
        key = start
        kind, start = _varint(content, key)
        value, after = _varint(content, start)
        if kind & 7 == 2:
            start, after = after, after + value
        yield kind >> 3, key, start, after
        start = after


def _varint(content: bytes, place: int) -> tuple[int, int]:
    """Return the number that starts at a place, and the place after it."""
    value = shift = 0
    while content[place] & 128:
        value |= (content[place] & 127) << shift
        place, shift = place + 1, shift + 7
    return value | content[place] << shift, place + 1
